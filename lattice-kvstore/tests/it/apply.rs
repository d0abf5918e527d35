//! The effects of single ops, and their cost.

use std::collections::BTreeSet;

use lattice_backend::machine::Value;
use lattice_backend::op::{OpKind, OpRef};
use lattice_kvstore::Command;

use crate::support::bytes::TestWrite;
use crate::support::host::{Cost, Host, TestOp};
use crate::support::op_ref;

fn op(reference: OpRef, hlc: u64, writes: &[TestWrite]) -> TestOp {
    TestOp::new(reference, hlc, writes)
}

fn put(key: &[u8], supersedes: &[OpRef], value: &[u8]) -> TestWrite {
    TestWrite::put(key, supersedes, value)
}

fn delete(key: &[u8], supersedes: &[OpRef]) -> TestWrite {
    TestWrite::delete(key, supersedes)
}

fn get(host: &Host, key: &[u8]) -> Value {
    host.query("get", [("key", Value::Bytes(key.to_vec()))])
}

#[test]
fn a_put_on_a_fresh_key_costs_one_get_and_one_put() {
    let mut host = Host::new();
    let writes = [
        put(b"a", &[], b"1"),
        put(b"b", &[], b"2"),
        put(b"c", &[], b"3"),
    ];
    host.apply_only(&op(op_ref(1, 0, 1), 1, &writes));
    // The only range looks for marks of the op, however many keys it writes. A cell has a key of 2
    // bytes, and 2 bytes for the index and the value.
    let cost = Cost {
        gets: 3,
        ranges: 1,
        puts: 3,
        written_bytes: 3 * (2 + 2),
        ..Cost::default()
    };
    assert_eq!((host.take_cost(), host.take_asked()), (cost, 0));
}

#[test]
fn a_put_that_supersedes_the_current_value_costs_the_same() {
    let mut host = Host::new();
    let first = op_ref(1, 0, 1);
    host.record(&op(first, 1, &[put(b"a", &[], b"1")]));
    host.take_cost();
    host.apply_only(&op(op_ref(1, 1, 2), 2, &[put(b"a", &[first], b"2")]));
    // The cell is read and replaced. History is queried once, for the superseded op.
    let cost = Cost {
        gets: 1,
        ranges: 1,
        puts: 1,
        read_bytes: 2,
        written_bytes: 2 + 2,
        ..Cost::default()
    };
    assert_eq!((host.take_cost(), host.take_asked()), (cost, 1));
}

/// Ten thousand authors saw the same value and replaced it: a scan of the siblings for each op
/// would read fifty million rows.
#[test]
fn a_late_superseder_of_a_value_that_is_gone_does_not_scan_the_siblings() {
    let mut host = Host::new();
    let first = op_ref(1, 0, 1);
    host.record(&op(first, 1, &[put(b"a", &[], b"1")]));
    for author in 2..=200 {
        host.record(&op(
            op_ref(author, 0, author),
            2,
            &[put(b"a", &[first], &[author])],
        ));
    }
    host.take_cost();
    host.take_asked();
    host.apply_only(&op(op_ref(201, 0, 201), 2, &[put(b"a", &[first], b"201")]));
    // The ops look up the cell and the sibling row of the removed value, and read the greatest
    // sibling (a row of 44 and 42 bytes). They put the row of the value (a key of 12 bytes), its
    // sibling row (44, and 42 for author, number and index) and the cell, with two bytes each for
    // the current index and the count.
    let cost = Cost {
        gets: 2,
        ranges: 2,
        ranged: 1,
        puts: 3,
        read_bytes: 4 + 44 + 42,
        written_bytes: (12 + 3) + (44 + 42) + (2 + 4),
        ..Cost::default()
    };
    assert_eq!((host.take_cost(), host.take_asked()), (cost, 1));
}

#[test]
fn a_put_concurrent_with_a_delete_survives_it() {
    let first = op_ref(1, 0, 1);
    let ops = [
        op(op_ref(2, 0, 2), 2, &[delete(b"a", &[first])]),
        op(op_ref(3, 0, 3), 2, &[put(b"a", &[first], b"3")]),
    ];
    for order in [[0_usize, 1], [1, 0]] {
        let mut host = Host::new();
        host.record(&op(first, 1, &[put(b"a", &[], b"1")]));
        for place in order {
            host.record(&ops[place]);
        }
        assert_eq!(get(&host, b"a"), Value::Bytes(b"3".to_vec()));
        assert_eq!(host.rows().len(), 1, "no tombstone, no mark");
    }
}

#[test]
fn a_marked_put_never_becomes_a_value_while_its_other_writes_count() {
    let late = op_ref(2, 0, 2);
    let mut host = Host::new();
    host.record(&op(op_ref(1, 0, 1), 1, &[delete(b"a", &[late])]));
    assert_eq!(host.rows().len(), 1, "the mark");
    host.record(&op(late, 1, &[put(b"a", &[], b"1"), put(b"b", &[], b"2")]));
    assert_eq!(get(&host, b"a"), Value::Null);
    assert_eq!(get(&host, b"b"), Value::Bytes(b"2".to_vec()));
    assert_eq!(host.rows().len(), 1, "the op has removed its mark");
}

#[test]
fn marks_at_keys_that_the_op_does_not_write_stay_without_effect() {
    let late = op_ref(2, 0, 2);
    let elsewhere = op(late, 1, &[put(b"c", &[], b"1")]);
    let invalid = TestOp {
        payload: vec![2],
        ..elsewhere.clone()
    };
    let merge = TestOp {
        kind: OpKind::Merge,
        payload: Vec::new(),
        ..elsewhere.clone()
    };
    for (op_of_late, is_valid, values) in
        [(elsewhere, true, 1), (invalid, false, 0), (merge, false, 0)]
    {
        let mut host = Host::new();
        let superseding = [delete(b"a", &[late]), delete(b"b", &[late])];
        host.record(&op(op_ref(1, 0, 1), 1, &superseding));
        assert_eq!(host.rows().len(), 2);
        assert_eq!(host.record(&op_of_late), is_valid);
        assert_eq!(host.rows().len(), 2 + values, "both marks are there");
        // A later delete leaves no more marks: it finds the op applied.
        host.record(&op(op_ref(1, 1, 3), 2, &[delete(b"d", &[late])]));
        assert_eq!(host.rows().len(), 2 + values);
        // The marks do not affect puts of other values there.
        host.record(&op(op_ref(1, 2, 4), 3, &[put(b"a", &[], b"2")]));
        assert_eq!(get(&host, b"a"), Value::Bytes(b"2".to_vec()));
        assert_eq!(host.elements().len(), 1 + values);
    }
}

/// A delete takes the mark at its key, as a put does.
#[test]
fn a_marked_delete_leaves_no_mark() {
    let late = op_ref(2, 0, 2);
    let mut host = Host::new();
    host.record(&op(op_ref(1, 0, 1), 1, &[put(b"a", &[late], b"1")]));
    assert_eq!(host.rows().len(), 2, "the cell and the mark");
    host.record(&op(late, 1, &[delete(b"a", &[])]));
    assert_eq!(host.rows().len(), 1);
    assert_eq!(get(&host, b"a"), Value::Bytes(b"1".to_vec()));
}

#[test]
fn a_ref_with_a_wrong_author_or_number_names_a_different_op() {
    let first = op_ref(1, 0, 1);
    for lie in [
        OpRef { seq: 1, ..first },
        OpRef {
            author: op_ref(9, 0, 0).author,
            ..first
        },
    ] {
        let mut host = Host::new();
        host.record(&op(first, 1, &[put(b"a", &[], b"1")]));
        host.record(&op(op_ref(2, 0, 2), 2, &[delete(b"a", &[lie])]));
        assert_eq!(get(&host, b"a"), Value::Bytes(b"1".to_vec()));
        assert_eq!(host.rows().len(), 2, "the cell, and a mark for ever");
    }
}

#[test]
fn history_is_read_once_for_each_ref() {
    let mut host = Host::new();
    let gone = op_ref(1, 0, 1);
    let writes: Vec<TestWrite> = (0..100).map(|key| put(&[key], &[], b"1")).collect();
    host.record(&op(gone, 1, &writes));
    let again: Vec<TestWrite> = (0..100).map(|key| put(&[key], &[gone], b"2")).collect();
    host.record(&op(op_ref(2, 0, 2), 2, &again));
    host.take_asked();
    host.record(&op(op_ref(3, 0, 3), 2, &again));
    assert_eq!(host.take_asked(), 1);
}

#[test]
fn the_greatest_sibling_is_current_once_the_current_value_is_superseded() {
    let mut host = Host::new();
    let ops: Vec<OpRef> = (1..=5).map(|author| op_ref(author, 0, author)).collect();
    for (place, reference) in ops.iter().enumerate() {
        let hlc = u64::try_from(place).unwrap() + 1;
        host.record(&op(
            *reference,
            hlc,
            &[put(b"a", &[], reference.author.as_ref())],
        ));
    }
    for winner in (1..=5).rev() {
        assert_eq!(get(&host, b"a"), Value::Bytes(vec![winner; 32]));
        let remover = op_ref(winner, 1, 100 + winner);
        host.record(&op(
            remover,
            9,
            &[delete(b"a", &[op_ref(winner, 0, winner)])],
        ));
    }
    assert!(host.rows().is_empty());
}

#[test]
fn a_command_leaves_one_value_of_many() {
    let mut host = Host::new();
    for author in 1..=100 {
        host.record(&op(
            op_ref(author, 0, author),
            1,
            &[put(b"a", &[], &[author])],
        ));
    }
    // The cell, and two rows for each value.
    assert_eq!(host.rows().len(), 1 + 2 * 100);
    let mut command = Command::new();
    command.put("a", "one");
    host.run(op_ref(1, 1, 200), 2, &command).unwrap();
    assert_eq!(host.rows().len(), 1);
    assert_eq!(get(&host, b"a"), Value::Bytes(b"one".to_vec()));
    let keys: BTreeSet<_> = host.rows().keys().cloned().collect();
    assert_eq!(keys, BTreeSet::from([b"ca".to_vec()]));
}
