//! The committed bytes, made by an independent implementation (`tests/golden/generate.py`).

use lattice_backend::backend::{Direction, EVERYTHING};
use lattice_backend::engine::ingest::Outcome;
use lattice_backend::machine::DataRead;
use lattice_backend::op::ApplyIndex;
use lattice_code::releases::{
    Filter, Publish, ReleaseCommand, Withdraw, decode_payload, encode_payload,
};
use lattice_meta::{Cid, Genesis, StateHash, StoreType};
use lattice_registry::{StoreHandle, TypedStore};

use super::support::{On, Replica};

/// The lines of a golden file: a name and its byte strings.
fn lines(file: &str) -> Vec<(String, Vec<Vec<u8>>)> {
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

fn number(bytes: &[u8]) -> u64 {
    let mut number = [0; 8];
    number[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(number)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The command of a line of `payloads.txt`.
fn command(name: &str, fields: &[Vec<u8>]) -> ReleaseCommand {
    let cid = |bytes: &[u8]| Cid::from_bytes(bytes).unwrap();
    match (name, fields) {
        (
            "publish",
            [
                of,
                release,
                module,
                length,
                abi,
                first,
                last,
                replaces,
                notes,
            ],
        ) => ReleaseCommand::Publish(Publish {
            store_type: StoreType::from_bytes(of).unwrap(),
            release: number(release),
            cid: cid(module),
            length: number(length).try_into().unwrap(),
            abi: number(abi).try_into().unwrap(),
            schemas: (number(first), number(last)),
            replaces: (!replaces.is_empty()).then(|| cid(replaces)),
            notes: text(notes),
        }),
        ("withdraw", [module, reason]) => ReleaseCommand::Withdraw(Withdraw {
            cid: cid(module),
            reason: text(reason),
        }),
        other => panic!("{other:?}"),
    }
}

#[test]
fn golden_payloads_of_registries() {
    let lines = lines("payloads.txt");
    assert_eq!(lines.len(), 5);
    for (name, words) in lines {
        let (payload, fields) = words.split_first().unwrap();
        let command = command(&name, fields);
        assert_eq!(encode_payload(&command).unwrap(), *payload);
        assert_eq!(decode_payload(payload).unwrap(), command);
    }
}

#[test]
fn golden_hostile_payloads_of_registries() {
    let lines = lines("payload_hostile.txt");
    assert_eq!(lines.len(), 33);
    for (name, words) in lines {
        assert!(decode_payload(&words[0]).is_err(), "{name}");
    }
}

/// Effects and state hashes after each op of a history with a fork, a conflict, withdrawals, an
/// invalid op and a merge; the final rows, and what they mean.
#[test]
fn golden_history_of_a_registry() {
    let lines = lines("history.txt");
    assert_eq!(lines.len(), 1 + 8 + 6);
    let genesis = Genesis::decode(&lines[0].1[0]).unwrap();
    for on in [On::Memory, On::Redb] {
        let replica = Replica::of(&genesis, on, 77);
        let ops = lines.iter().filter(|(name, _)| name == "op");
        for ((_, words), index) in ops.zip((0..).map(ApplyIndex::new)) {
            let report = replica.take([words[0].clone()]);
            assert_eq!(report.outcomes[0].1, Outcome::Applied { index });
            let effect = replica.store.engine().effect_at(index).unwrap().unwrap();
            assert_eq!(effect[..], words[1], "op {index}");
            let hash = StateHash::from_slice(&words[2]).unwrap();
            assert_eq!(replica.store.state_hash().unwrap(), hash, "op {index}");
        }
        let expected = lines.iter().filter(|(name, _)| name == "row");
        let expected: Vec<_> = expected.map(|(_, words)| words.clone()).collect();
        let snapshot = replica.store.engine().snapshot().unwrap();
        let mut rows = snapshot.range(EVERYTHING, Direction::Forward).unwrap();
        let mut found = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            found.push(vec![row.key.to_vec(), row.value.to_vec()]);
        }
        assert_eq!(found, expected);

        let releases = replica.store.releases(&Filter::default()).unwrap();
        let mut meaning: Vec<_> = releases
            .iter()
            .map(|release| {
                let Publish { cid, notes, .. } = &release.published;
                let [one, two, v2] = [&b"module one"[..], b"module two", b"v2"].map(Cid::of);
                let module = [one, two, v2].iter().position(|known| known == cid);
                let withdrawn = release.withdrawn.as_deref();
                (&**notes, module, withdrawn, release.is_conflicting)
            })
            .collect();
        meaning.sort_unstable();
        let expected = [
            ("", Some(2), None, false),
            // The withdrawal by a stranger is one for the stranger's own release.
            (
                "of a different publisher",
                Some(0),
                Some("by a stranger"),
                false,
            ),
            ("the first", Some(0), None, true),
            (
                "under the same number",
                Some(1),
                Some("by its publisher"),
                true,
            ),
        ];
        assert_eq!(meaning, expected);
    }
}
