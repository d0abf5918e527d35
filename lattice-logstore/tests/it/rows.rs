//! The rows that ops make in a log's `data`, in any order of arrival.

use lattice_backend::backend::BackendError;
use lattice_backend::machine::{CallError, MachineError, StateMachine, Value};
use lattice_logstore::{LogMachine, LogRefusal, encode_payload};
use lattice_meta::SchemaVersion;
use proptest::prelude::*;

use crate::support::{FakeOp, Host, MapData};

/// An op with its entries; no entries if its payload is invalid.
#[derive(Debug, Clone)]
struct TestOp {
    op: FakeOp,
    entries: Vec<Vec<u8>>,
}

fn ops() -> impl Strategy<Value = Vec<TestOp>> {
    let entries = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..6), 0..5);
    // Times and authors collide on purpose; ids are hashes and do not.
    let op = (0..3_u8, prop_oneof![0..3_u64, any::<u64>()], entries);
    prop::collection::vec(op, 0..12).prop_map(|ops| {
        let made = |(number, (author, hlc, entries)): (u64, (u8, u64, Vec<Vec<u8>>))| {
            let payload = encode_payload(&entries).unwrap_or(b"invalid".to_vec());
            let id = scrambled(number);
            TestOp {
                op: FakeOp {
                    author,
                    hlc,
                    id,
                    payload,
                },
                entries,
            }
        };
        (0..).zip(ops).map(made).collect()
    })
}

/// Different for every number, and in no order (the finalizer of SplitMix64).
fn scrambled(number: u64) -> [u8; 32] {
    let mut state = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let mut id = [0; 32];
    id[..8].copy_from_slice(&(state ^ (state >> 31)).to_be_bytes());
    id
}

/// Time, op, index in it, author, content.
type Line = (u64, [u8; 32], usize, u8, Vec<u8>);

/// The log as a sorted list, computed without keys.
fn model(ops: &[TestOp]) -> Vec<Line> {
    let mut log: Vec<_> = ops
        .iter()
        .flat_map(|TestOp { op, entries }| {
            let entry = |(index, content): (usize, &Vec<u8>)| {
                (op.hlc, op.id, index, op.author, content.clone())
            };
            entries.iter().enumerate().map(entry)
        })
        .collect();
    log.sort();
    log
}

fn applied<'a>(ops: impl IntoIterator<Item = &'a TestOp>) -> Host {
    let mut host = Host::default();
    for TestOp { op, entries } in ops {
        assert_eq!(host.apply(&op.view()), !entries.is_empty());
    }
    host
}

#[test]
fn each_op_is_a_row_and_each_entry_an_element() {
    let payload = encode_payload(&[&b"x"[..], b""]).unwrap();
    let op = FakeOp {
        author: 9,
        hlc: 0x0102_0304_0506_0708,
        id: [7; 32],
        payload,
    };
    let mut host = Host::default();
    let merge = FakeOp {
        payload: Vec::new(),
        ..op.clone()
    };
    for _ in 0..130 {
        host.record(&merge.view());
    }
    host.apply(&op.view());
    let run = [&[1, 2, 3, 4, 5, 6, 7, 8][..], &[7; 32]].concat();
    let key = |index: u8| [&run[..], &[0, 0, 0, index]].concat();
    let elements = [
        (key(0), [&[9; 32][..], b"x"].concat()),
        (key(1), vec![9; 32]),
    ];
    assert_eq!(host.elements(), elements);
    // Apply index 130, two entries.
    let rows = [(run, vec![0x82, 1, 2])];
    assert_eq!(host.data.0.into_iter().collect::<Vec<_>>(), rows);
}

#[test]
fn an_invalid_payload_writes_nothing() {
    let good = encode_payload(&[b"x"]).unwrap();
    for payload in [Vec::new(), b"\x01".to_vec(), [&good[..], b"\0"].concat()] {
        let op = FakeOp {
            author: 1,
            hlc: 1,
            id: [1; 32],
            payload,
        };
        let mut host = Host::default();
        assert!(!host.apply(&op.view()));
        assert!(host.data.0.is_empty());
    }
}

#[test]
fn an_append_of_nothing_is_refused() {
    let nothing = lattice_logstore::Append {
        entries: Vec::new(),
    };
    let prepared = LogMachine::new().prepare(&nothing, &MapData::default(), &Host::default().past);
    assert!(
        matches!(prepared, Err(MachineError::Refused(LogRefusal::Nothing))),
        "{prepared:?}"
    );
}

#[test]
fn the_logic_has_its_type_version_and_schemas() {
    let machine = LogMachine::new();
    let logic = machine.logic();
    assert_eq!(logic.store_type().as_str(), "core:logstore");
    assert_eq!(logic.version().as_str(), "core:logstore/1");
    assert_eq!(logic.oldest_schema(), SchemaVersion::new(1));
    assert_eq!(logic.newest_schema(), SchemaVersion::new(1));
    // The module built from it.
    let equal: Vec<_> = logic
        .equals()
        .iter()
        .map(|version| version.as_str())
        .collect();
    assert!(
        matches!(*equal, [module] if module.parse::<lattice_meta::Cid>().is_ok()),
        "{equal:?}"
    );
}

fn is_damage(found: &Result<Value, MachineError<CallError>>) -> bool {
    matches!(found, Err(MachineError::Backend(BackendError::Row { .. })))
}

/// Reading is total: a row that no log has written is damage; it neither panics nor is skipped.
#[test]
fn malformed_rows_are_damage() {
    for (key, value) in [
        (vec![0; 39], vec![0, 1]),
        (vec![0; 41], vec![0, 1]),
        (vec![0; 44], vec![0, 1]),
        (Vec::new(), vec![0, 1]),
        (vec![0; 40], Vec::new()),
        (vec![0; 40], vec![0]),
        (vec![0; 40], vec![0, 0x80]),
        (vec![0; 40], vec![0, 1, 0]),
        // A varint that is not the shortest.
        (vec![0; 40], vec![0x80, 0, 1]),
    ] {
        let host = Host {
            data: MapData([(key, value)].into()),
            ..Host::default()
        };
        for method in ["read", "tail", "len"] {
            let found = host.query(method, Value::Null);
            assert!(is_damage(&found), "{found:?}");
        }
    }
}

/// A row names an op: its id must be that of the key, and it must have this many entries.
#[test]
fn rows_that_name_a_different_op_are_damage() {
    let payload = encode_payload(&[b"x", b"y"]).unwrap();
    let op = FakeOp {
        author: 9,
        hlc: 5,
        id: [7; 32],
        payload,
    };
    let other = FakeOp {
        id: [8; 32],
        payload: b"invalid".to_vec(),
        ..op.clone()
    };
    let mut host = Host::default();
    host.apply(&op.view());
    host.apply(&other.view());
    let key = host.data.0.keys().next().unwrap().clone();
    assert!(host.query("read", Value::Null).is_ok());
    for value in [[1, 2], [0, 1], [0, 3]] {
        host.data = MapData([(key.clone(), value.to_vec())].into());
        let found = host.query("read", Value::Null);
        assert!(is_damage(&found), "{found:?}");
    }
    host.data = MapData([(key, vec![2, 2])].into());
    assert!(host.query("read", Value::Null).is_err());
}

proptest! {
    #[test]
    fn any_order_of_ops_gives_the_same_sorted_elements(
        (ops, shuffled) in ops().prop_flat_map(|ops| (Just(ops.clone()), Just(ops).prop_shuffle())),
    ) {
        let elements = applied(&ops).elements();
        prop_assert_eq!(&applied(&shuffled).elements(), &elements);
        prop_assert_eq!(&applied(ops.iter().rev()).elements(), &elements);

        let found: Vec<_> = elements.iter().map(|(key, value)| {
            let position = lattice_logstore::Position::from_key(key).unwrap();
            let index = usize::try_from(position.index).unwrap();
            let (author, content) = value.split_at(32);
            (position.hlc.to_u64(), *position.op.as_bytes(), index, author[0], content.to_vec())
        }).collect();
        prop_assert_eq!(found, model(&ops));
    }
}
