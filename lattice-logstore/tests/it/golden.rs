//! The committed bytes, which another implementation made (`tests/golden/generate.py`).

use lattice_backend::{Accumulator, Effect, ElementHasher, Op, OpHasher, OpKind};
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
        assert_eq!(decode_payload(&words[0]), None, "{name}");
    }
}

/// Rows and state hashes after each op of a history with concurrent ops, a void one and a merge.
#[test]
fn golden_history() {
    let lines = lines("history.txt");
    let genesis = Genesis::decode(&lines[0].1[0]).unwrap().hash();
    let hasher = OpHasher::new(&genesis);
    let mut host = Host::default();
    let (mut leaves, mut runs) = (Vec::new(), Vec::new());
    let mut effects = Vec::new();
    for (name, words) in &lines[1..] {
        // An entry was a row in schema 1, and is a leaf; since schema 2 a row is a run.
        let kind = match &name[..] {
            "row" => Some(&mut leaves),
            "run" => Some(&mut runs),
            _ => None,
        };
        if let Some(kind) = kind {
            kind.push((words[0].clone(), words[1].clone()));
            continue;
        }
        let op = Op::decode(words[0].clone(), &hasher).unwrap();
        op.verify().unwrap();
        match op.kind() {
            OpKind::Application => effects.push(host.apply(&op.view(0))),
            _ => host.record(&op.view(0)),
        }
        let mut state = Accumulator::default();
        let leaf_hasher = ElementHasher::default();
        for (key, value) in host.leaves() {
            state.insert(&leaf_hasher, &key, &value);
        }
        assert_eq!(state.state_hash(&genesis).as_ref(), words[2], "{op:?}");
    }
    assert_eq!(
        effects,
        [
            Effect::Applied,
            Effect::Applied,
            Effect::Void,
            Effect::Applied
        ]
    );
    assert_eq!(host.leaves(), leaves);
    assert_eq!(leaves.len(), 6);
    assert_eq!(host.data.0.into_iter().collect::<Vec<_>>(), runs);
    assert_eq!(runs.len(), 3);
}
