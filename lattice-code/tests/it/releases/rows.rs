//! The rows that ops make in a registry's `data`, in any order of arrival.

use lattice_backend::backend::BackendError;
use lattice_backend::machine::{CallError, MachineError, Value};
use lattice_code::releases::ReleaseCommand;
use proptest::prelude::*;

use super::support::{CHAT, CHAT_V2, MapData, cid, publish, withdraw};

fn is_damage(found: &Result<Value, MachineError<CallError>>) -> bool {
    matches!(found, Err(MachineError::Backend(BackendError::Row { .. })))
}

fn of_module(module: u8) -> Value {
    Value::record([("cid", Value::Text(cid(module).to_string()))])
}

/// The bytes of both rows, written by hand.
#[test]
fn each_op_is_one_row() {
    let mut data = MapData::default();
    let mut first = publish(CHAT, 0x0102_0304_0506_0708, 1);
    first.schemas = (3, 4);
    first.replaces = Some(cid(2));
    first.notes = "new".into();
    data.apply(9, 0x1112_1314_1516_1718, 7, ReleaseCommand::Publish(first));
    data.apply(
        8,
        0x2122_2324_2526_2728,
        6,
        ReleaseCommand::Withdraw(withdraw(1, "old")),
    );

    let release = [
        &b"porg.example.chat\0"[..],
        &[9; 32],
        &[1, 2, 3, 4, 5, 6, 7, 8],
        &[7; 32],
    ];
    let value = [
        // hlc, cid, length, abi, schemas, replaces, notes.
        &[0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11][..],
        &cid(1).to_bytes(),
        &[0xe8, 3, 0, 0],
        &[1, 0],
        &[3, 0, 0, 0, 0, 0, 0, 0],
        &[4, 0, 0, 0, 0, 0, 0, 0],
        &[1],
        &cid(2).to_bytes(),
        &[3, 0, 0, 0, 0, 0, 0, 0],
        b"new",
    ];
    let withdrawal = [
        &b"w"[..],
        &cid(1).to_bytes(),
        &[8; 32],
        &[0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28],
        &[6; 32],
    ];
    let rows = [
        (release.concat(), value.concat()),
        (withdrawal.concat(), b"old".to_vec()),
    ];
    assert_eq!(data.0.into_iter().collect::<Vec<_>>(), rows);
}

/// Reading is total: a row that no registry has written is damage; it neither panics nor is
/// skipped.
#[test]
fn malformed_releases_are_damage() {
    let mut data = MapData::default();
    data.apply(9, 5, 7, ReleaseCommand::Publish(publish(CHAT, 1, 1)));
    let (key, value) = data.0.first_key_value().unwrap();
    let (key, value) = (key.clone(), value.clone());
    let with = |at: usize, bytes: &[u8]| {
        let mut value = value.clone();
        value[at..at + bytes.len()].copy_from_slice(bytes);
        value
    };
    let mut upper_case = key.clone();
    upper_case[1] = b'O';
    let without_end: Vec<u8> = key.iter().copied().filter(|&byte| byte != 0).collect();
    for (key, value) in [
        (key[..key.len() - 1].to_vec(), value.clone()),
        ([&key[..], &[0]].concat(), value.clone()),
        (b"p".to_vec(), value.clone()),
        (b"p\0".to_vec(), value.clone()),
        (upper_case, value.clone()),
        (without_end, value.clone()),
        (key.clone(), Vec::new()),
        (key.clone(), value[..value.len() - 1].to_vec()),
        (key.clone(), [&value[..], &[0]].concat()),
        // Version of the content id, length, version of the interface, first schema, notes.
        (key.clone(), with(8, &[0])),
        (key.clone(), with(44, &[0; 4])),
        (key.clone(), with(48, &[0; 2])),
        (key.clone(), with(50, &[3])),
        (key.clone(), with(value.len() - 1, &[0xff])),
    ] {
        let damaged = MapData([(key, value)].into());
        for (method, args) in [("releases", Value::Null), ("release", of_module(1))] {
            let found = damaged.query(method, args);
            assert!(is_damage(&found), "{method} of {damaged:?}: {found:?}");
        }
    }
    let intact = data.query("releases", Value::Null);
    assert!(intact.is_ok(), "{intact:?}");
}

#[test]
fn malformed_types_are_damage() {
    for key in [&b"p"[..], b"p\0", b"pchat\0", b"porg.example.chat"] {
        let damaged = MapData([(key.to_vec(), Vec::new())].into());
        let found = damaged.query("types", Value::Null);
        assert!(is_damage(&found), "{key:?}: {found:?}");
    }
}

#[test]
fn malformed_withdrawals_are_damage() {
    let mut data = MapData::default();
    data.apply(9, 5, 7, ReleaseCommand::Publish(publish(CHAT, 1, 1)));
    let mut with_both = data.clone();
    with_both.apply(9, 6, 8, ReleaseCommand::Withdraw(withdraw(1, "reason")));
    let intact = with_both.query("releases", Value::Null);
    assert!(intact.is_ok(), "{intact:?}");
    let (key, value) = with_both.0.last_key_value().unwrap();
    for (key, value) in [
        (key[..key.len() - 1].to_vec(), value.clone()),
        ([&key[..], &[0]].concat(), value.clone()),
        (key.clone(), b"\xff".to_vec()),
        (key.clone(), b"r".repeat(1025)),
    ] {
        let mut damaged = data.clone();
        damaged.0.insert(key, value);
        let found = damaged.query("releases", Value::Null);
        assert!(is_damage(&found), "{damaged:?}: {found:?}");
    }
}

/// A damaged value shows which rows a query reads.
#[test]
fn queries_read_only_the_rows_of_their_type_publisher_and_number() {
    let intact = |id: u8, publisher: u8, of: &str, release: u64| {
        let mut data = MapData::default();
        let publish = ReleaseCommand::Publish(publish(of, release, 1));
        data.apply(publisher, 1, id, publish);
        data.0
    };
    let damaged = |id, publisher, of, release| {
        let rows = intact(id, publisher, of, release).into_keys();
        rows.map(|key| (key, Vec::new()))
    };
    let text = |text: String| Value::Text(text);
    let of_type = ("type", text(CHAT.into()));
    let publisher = ("publisher", text("05".repeat(32)));
    let number = ("release", Value::from(1));

    let mut data = MapData(intact(1, 5, CHAT, 1));
    data.0.extend(damaged(2, 5, CHAT_V2, 1));
    data.0.extend(damaged(3, 5, "a:b", 1));
    let args = Value::record([of_type.clone()]);
    assert_eq!(data.list("releases", args.clone()).len(), 1);
    assert_eq!(data.list("types", Value::Null).len(), 3);
    assert!(is_damage(&data.query("releases", Value::Null)));

    data.0.extend(damaged(4, 4, CHAT, 1));
    assert!(is_damage(&data.query("releases", args)));
    let args = Value::record([of_type.clone(), publisher.clone()]);
    assert_eq!(data.list("releases", args.clone()).len(), 1);

    data.0.extend(damaged(5, 5, CHAT, 0));
    assert!(is_damage(&data.query("releases", args)));
    let args = Value::record([of_type, publisher, number]);
    assert_eq!(data.list("releases", args).len(), 1);
}

/// Author, time and command of an op; its place is its id.
type TestOp = (u8, u64, ReleaseCommand);

fn ops() -> impl Strategy<Value = Vec<TestOp>> {
    // Everything but ids collides on purpose.
    let publish = (0..2_u64, 0..3_u8)
        .prop_map(|(release, module)| ReleaseCommand::Publish(publish(CHAT, release, module)));
    let withdraw = (0..3_u8).prop_map(|module| ReleaseCommand::Withdraw(withdraw(module, "why")));
    let command = prop_oneof![publish, withdraw];
    prop::collection::vec((0..3_u8, 0..2_u64, command), 0..12)
}

proptest! {
    /// [`MapData`] panics if a row is overwritten or removed, so each op has a row of its own.
    #[test]
    fn any_order_of_ops_gives_the_same_rows(
        (ops, shuffled) in ops().prop_flat_map(|ops| {
            let numbered: Vec<_> = (0_u8..).zip(ops).collect();
            (Just(numbered.clone()), Just(numbered).prop_shuffle())
        }),
    ) {
        let applied = |ops: &[(u8, TestOp)]| {
            let mut data = MapData::default();
            for (id, (author, hlc, command)) in ops {
                data.apply(*author, *hlc, *id, command.clone());
            }
            data
        };
        let rows = applied(&ops);
        prop_assert_eq!(rows.0.len(), ops.len());
        prop_assert_eq!(applied(&shuffled), rows);
    }
}
