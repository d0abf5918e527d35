//! The committed bytes, made by an independent implementation (`tests/golden/generate.py`).

use lattice_backend::op::{ApplyIndex, Op, OpHasher, OpKind};
use lattice_backend::state::{Accumulator, ElementHasher, Expansion};
use lattice_logstore::{decode_payload, encode_payload};
use lattice_meta::Genesis;

use crate::support::Host;

/// The lines of a golden file: a name and its byte strings.
pub(crate) fn lines(file: &str) -> Vec<(String, Vec<Vec<u8>>)> {
    let path = format!("{}/tests/golden/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let word = |word: &str| match word {
        "empty" => Vec::new(),
        digits => data_encoding::HEXLOWER.decode(digits.as_bytes()).unwrap(),
    };
    text.lines()
        .map(|line| {
            let mut words = line.split(' ');
            (words.next().unwrap().to_owned(), words.map(word).collect())
        })
        .collect()
}

#[test]
fn golden_payloads() {
    let lines = lines("payloads.txt");
    assert_eq!(lines.len(), 5);
    for (_, words) in lines {
        let (payload, entries) = words.split_first().unwrap();
        assert_eq!(encode_payload(entries).unwrap(), *payload);
        assert_eq!(decode_payload(payload).unwrap(), entries);
    }
}

#[test]
fn golden_hostile_payloads() {
    let lines = lines("payload_hostile.txt");
    assert_eq!(lines.len(), 15);
    for (name, words) in lines {
        assert!(decode_payload(&words[0]).is_err(), "{name}");
    }
}

/// The lines of the history with this name.
fn of<'a>(
    lines: &'a [(String, Vec<Vec<u8>>)],
    name: &'static str,
) -> impl Iterator<Item = &'a [Vec<u8>]> {
    let found = lines.iter().filter(move |(found, _)| found == name);
    found.map(|(_, words)| &words[..])
}

/// State hashes after each op of a history with concurrent ops, an invalid one and a merge; the
/// final elements and rows.
#[test]
fn golden_history() {
    let lines = lines("history.txt");
    assert_eq!(lines.len(), 1 + 5 + 6 + 3);
    let genesis = Genesis::decode(&lines[0].1[0]).unwrap().hash();
    let hasher = OpHasher::new(&genesis);
    let mut host = Host::default();
    let mut valid = Vec::new();
    for words in of(&lines, "op") {
        let op = Op::decode(words[0].clone(), &hasher).unwrap();
        op.verify().unwrap();
        match op.kind() {
            OpKind::Application => valid.push(host.apply(&op.view(ApplyIndex::FIRST))),
            _ => host.record(&op.view(ApplyIndex::FIRST)),
        }
        for expansion in Expansion::EACH {
            let mut state = Accumulator::default();
            let hasher = ElementHasher::by(expansion);
            for (key, value) in host.elements() {
                state.insert(&hasher, &key, &value);
            }
            assert_eq!(state.state_hash(&genesis).as_ref(), words[2], "{op:?}");
        }
    }
    assert_eq!(valid, [true, true, false, true]);
    let pairs = |name| -> Vec<_> {
        let pair = |words: &[Vec<u8>]| (words[0].clone(), words[1].clone());
        of(&lines, name).map(pair).collect()
    };
    assert_eq!(host.elements(), pairs("element"));
    assert_eq!(host.elements().len(), 6);
    let rows: Vec<_> = host.data.0.into_iter().collect();
    assert_eq!(rows, pairs("row"));
    assert_eq!(rows.len(), 3);
}
