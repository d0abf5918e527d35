//! What single ops do, and what they cost.

use std::collections::BTreeSet;

use lattice_backend::{Effect, OpKind, OpRef, Value};
use lattice_kvstore::Command;

use crate::support::bytes::{TestWrite, payload};
use crate::support::host::{Cost, Host, TestOp};
use crate::support::op_ref;

fn op(reference: OpRef, hlc: u64, writes: &[TestWrite]) -> TestOp {
    TestOp {
        kind: OpKind::Application,
        reference,
        hlc,
        payload: payload(writes),
    }
}

fn put(key: &[u8], supersedes: &[OpRef], value: &[u8]) -> TestWrite {
    TestWrite {
        key: key.to_vec(),
        supersedes: supersedes.iter().copied().collect(),
        value: Some(value.to_vec()),
    }
}

fn delete(key: &[u8], supersedes: &[OpRef]) -> TestWrite {
    TestWrite {
        value: None,
        ..put(key, supersedes, b"")
    }
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
    // The one range looks for marks of the op; it is one however many keys are written.
    let cost = Cost {
        gets: 3,
        ranges: 1,
        puts: 3,
        removes: 0,
    };
    assert_eq!((host.take_cost(), host.take_asked()), (cost, 0));
}

#[test]
fn a_put_over_the_value_it_has_seen_costs_the_same() {
    let mut host = Host::new();
    let first = op_ref(1, 0, 1);
    host.record(&op(first, 1, &[put(b"a", &[], b"1")]));
    host.take_cost();
    host.apply_only(&op(op_ref(1, 1, 2), 2, &[put(b"a", &[first], b"2")]));
    let cost = Cost {
        gets: 1,
        ranges: 1,
        puts: 1,
        removes: 0,
    };
    assert_eq!((host.take_cost(), host.take_asked()), (cost, 0));
}

/// Ten thousand who all saw the same value and wrote over it: a scan of the others' heads for
/// each would be fifty million rows.
#[test]
fn a_late_superseder_of_a_head_that_is_gone_does_not_scan_the_others() {
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
    // The cell, the index; then cell, further head and its index row, or head and index row.
    let cost = Cost {
        gets: 2,
        ranges: 1,
        puts: 3,
        removes: 0,
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
fn a_marked_put_never_becomes_a_head_while_its_other_writes_count() {
    let late = op_ref(2, 0, 2);
    let mut host = Host::new();
    host.record(&op(op_ref(1, 0, 1), 1, &[delete(b"a", &[late])]));
    assert_eq!(host.rows().len(), 1, "the mark");
    host.record(&op(late, 1, &[put(b"a", &[], b"1"), put(b"b", &[], b"2")]));
    assert_eq!(get(&host, b"a"), Value::Null);
    assert_eq!(get(&host, b"b"), Value::Bytes(b"2".to_vec()));
    assert_eq!(
        host.rows().len(),
        1,
        "recording the op has removed its marks"
    );
}

#[test]
fn marks_go_whatever_the_op_turns_out_to_be() {
    let late = op_ref(2, 0, 2);
    let invalid = TestOp {
        kind: OpKind::Application,
        reference: late,
        hlc: 1,
        payload: vec![2],
    };
    let merge = TestOp {
        kind: OpKind::Merge,
        payload: Vec::new(),
        ..invalid.clone()
    };
    for (op_of_late, effect) in [(invalid, Some(Effect::Void)), (merge, None)] {
        let mut host = Host::new();
        host.record(&op(
            op_ref(1, 0, 1),
            1,
            &[delete(b"a", &[late]), delete(b"b", &[late])],
        ));
        assert_eq!(host.rows().len(), 2);
        assert_eq!(host.record(&op_of_late), effect);
        assert!(host.rows().is_empty());
        // Nor does what comes later mark it again.
        host.record(&op(op_ref(1, 1, 3), 2, &[delete(b"c", &[late])]));
        assert!(host.rows().is_empty());
    }
}

#[test]
fn a_ref_that_lies_about_author_or_number_names_another_op() {
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
fn history_is_asked_once_for_each_ref_however_many_keys_name_it() {
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

/// Heads are removed and promoted many times over; whatever order, the rows are those of the rest.
#[test]
fn the_greatest_of_the_others_takes_the_place_of_a_superseded_winner() {
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
fn a_command_leaves_one_head_of_many() {
    let mut host = Host::new();
    for author in 1..=100 {
        host.record(&op(
            op_ref(author, 0, author),
            1,
            &[put(b"a", &[], &[author])],
        ));
    }
    assert_eq!(host.rows().len(), 1 + 2 * 99);
    let mut command = Command::new();
    command.put("a", "one");
    host.run(op_ref(1, 1, 200), 2, &command).unwrap();
    assert_eq!(host.rows().len(), 1);
    assert_eq!(get(&host, b"a"), Value::Bytes(b"one".to_vec()));
    let keys: BTreeSet<_> = host.rows().keys().cloned().collect();
    assert_eq!(keys, BTreeSet::from([b"ca".to_vec()]));
}
