//! The cost of ops in rows and bytes, counted by the host that holds the rows.

use lattice_backend::machine::Value;
use lattice_backend::op::OpRef;
use lattice_kvstore::Command;

use crate::support::bytes::TestWrite;
use crate::support::host::{Cost, Host, TestOp};
use crate::support::numbered;

/// Limit on the bytes that an op on one key reads and writes, however long the values that remain.
const CAP_BYTES: usize = 2 << 10;

/// Records an op and returns its cost.
fn cost(host: &mut Host, reference: OpRef, hlc: u64, write: TestWrite) -> Cost {
    let op = TestOp::new(reference, hlc, &[write]);
    host.take_cost();
    host.record(&op);
    host.take_cost()
}

fn check_cap(cost: Cost, what: &str) {
    assert!(cost.read_bytes < CAP_BYTES, "{what} reads: {cost:?}");
    assert!(cost.written_bytes < CAP_BYTES, "{what} writes: {cost:?}");
}

fn current(host: &Host) -> Value {
    host.query("get", [("key", Value::Bytes(b"key".to_vec()))])
}

/// A host whose key has one value of this length, and the op that put it.
fn with_value(len: usize) -> (Host, OpRef) {
    let (mut host, first) = (Host::new(), numbered(1, 0));
    let put = TestWrite::put(b"key", &[], &vec![b'v'; len]);
    host.record(&TestOp::new(first, 1000, &[put]));
    (host, first)
}

const LENGTHS: [usize; 4] = [0, 1024, 1025, 1 << 20];

/// Other authors put values beside a long one and delete them: the long value is neither read nor
/// written.
#[test]
fn adding_and_removing_siblings_does_not_rewrite_the_current_value() {
    for len in LENGTHS {
        // Siblings that become current, and siblings that do not.
        for hlc in [1, 2000] {
            let (mut host, _) = with_value(len);
            for round in 0..20 {
                let sibling = numbered(2, 2 * round);
                let put = TestWrite::put(b"key", &[], b"small");
                check_cap(cost(&mut host, sibling, hlc, put), "a concurrent put");
                let long = Value::Bytes(vec![b'v'; len]);
                let small = Value::Bytes(b"small".to_vec());
                let expected = if hlc == 1 { &long } else { &small };
                assert_eq!(current(&host), *expected);
                let delete = TestWrite::delete(b"key", &[sibling]);
                let delete = cost(&mut host, numbered(2, 2 * round + 1), 3000, delete);
                check_cap(delete, "a delete of it");
                assert_eq!(current(&host), long);
                assert_eq!(host.rows().len(), 2, "the cell and the value");
            }
        }
    }
}

#[test]
fn a_concurrent_put_beside_a_lone_value_costs_four_rows_and_its_delete_four() {
    let (mut host, _) = with_value(1 << 20);
    let put = TestWrite::put(b"key", &[], b"small");
    let found = cost(&mut host, numbered(2, 0), 1, put);
    // The cell is read. The sibling rows of both values, the row of the new value, and the cell are
    // put.
    let expected = Cost {
        gets: 1,
        ranges: 1,
        puts: 4,
        read_bytes: 1,
        written_bytes: 2 * (46 + 41) + (14 + 5) + (4 + 2),
        ..Cost::default()
    };
    assert_eq!(found, expected);
    let delete = TestWrite::delete(b"key", &[numbered(2, 0)]);
    let found = cost(&mut host, numbered(2, 1), 2, delete);
    // The cell and the sibling row are looked up; a range finds the last sibling, beside the range
    // for marks. Both sibling rows and the row of the value are removed; the cell is put.
    let expected = Cost {
        gets: 2,
        ranges: 2,
        ranged: 1,
        puts: 1,
        removes: 3,
        read_bytes: 2 + 41 + (46 + 41),
        written_bytes: 2 * 46 + 14 + (4 + 1),
    };
    assert_eq!(found, expected);
}

/// An op that replaces a long value pays only for its key; the host pays for the removed value.
#[test]
fn a_put_over_a_long_value_reads_none_of_it() {
    for len in LENGTHS {
        let (mut host, first) = with_value(len);
        let put = TestWrite::put(b"key", &[first], b"small");
        check_cap(cost(&mut host, numbered(2, 0), 1001, put), "a put over it");
        assert_eq!(host.rows().len(), 1);
        assert_eq!(current(&host), Value::Bytes(b"small".to_vec()));
    }
}

#[test]
fn reads_that_need_no_value_do_not_read_a_long_one() {
    let (mut host, _) = with_value(1 << 20);
    let put = TestWrite::put(b"key", &[], b"small");
    host.record(&TestOp::new(numbered(2, 0), 2000, &[put]));
    let alone = TestWrite::put(b"other", &[], &vec![0; 1 << 20]);
    host.record(&TestOp::new(numbered(2, 1), 2000, &[alone]));
    let key = || ("key", Value::Bytes(b"key".to_vec()));
    let limit = || ("limit", 1_u64.into());
    let keys_only = || ("keys_only", Value::Bool(true));
    for (method, args) in [
        ("get", vec![key()]),
        ("contains", vec![key()]),
        ("contains", vec![("key", Value::Bytes(b"other".to_vec()))]),
        ("scan", vec![limit()]),
        ("scan", vec![keys_only()]),
        ("count", vec![]),
        ("conflicted_keys", vec![]),
    ] {
        host.take_cost();
        host.query(method, args);
        let cost = host.take_cost();
        assert!(cost.read_bytes < CAP_BYTES, "{method}: {cost:?}");
    }
    let mut command = Command::new();
    command.put("key", "over both").delete("other");
    host.take_cost();
    host.prepare(&command).unwrap();
    let cost = host.take_cost();
    assert!(cost.read_bytes < CAP_BYTES, "prepare: {cost:?}");
}

/// Bytes may differ by the length of a varint, rows must not.
fn check_same(tenth: Cost, late: Cost) {
    let rows = |cost: Cost| Cost {
        read_bytes: 0,
        written_bytes: 0,
        ..cost
    };
    assert_eq!(rows(tenth), rows(late));
    assert!(late.rows() <= 8, "{late:?}");
    assert!(late.read_bytes.abs_diff(tenth.read_bytes) <= 8);
    assert!(late.written_bytes.abs_diff(tenth.written_bytes) <= 8);
}

#[test]
fn a_write_among_300_siblings_costs_as_much_as_among_10() {
    const SIBLINGS: u16 = 300;
    for is_reversed in [false, true] {
        let mut host = Host::new();
        let added: Vec<Cost> = (0..SIBLINGS)
            .map(|number| {
                let put = TestWrite::put(b"key", &[], &[7; 100]);
                cost(&mut host, numbered(2, number), u64::from(number), put)
            })
            .collect();
        check_same(added[10], added[290]);
        // In ascending order, no current value is superseded until the last; in reverse order, each
        // one is.
        let mut order: Vec<u16> = (0..SIBLINGS).collect();
        if is_reversed {
            order.reverse();
        }
        let superseded: Vec<Cost> = order
            .into_iter()
            .map(|number| {
                let delete = TestWrite::delete(b"key", &[numbered(2, number)]);
                cost(&mut host, numbered(3, number), 1000, delete)
            })
            .collect();
        check_same(superseded[10], superseded[290]);
        assert!(host.rows().is_empty());
    }
}

/// An op pays once for each value that it removes, and the same for each.
#[test]
fn an_op_that_supersedes_siblings_costs_the_same_for_each() {
    let of = |siblings: u16| {
        let mut host = Host::new();
        let ops: Vec<OpRef> = (0..siblings).map(|number| numbered(2, number)).collect();
        for op in &ops {
            let put = TestWrite::put(b"key", &[], &[7; 3000]);
            host.record(&TestOp::new(*op, 1, &[put]));
        }
        let put = TestWrite::put(b"key", &ops, b"one");
        let cost = cost(&mut host, numbered(3, 0), 2, put);
        assert_eq!(host.rows().len(), 1);
        cost.rows()
    };
    // Beside reading and putting the cell, for each sibling: its row is looked up and removed, and
    // the row of the value is removed.
    assert_eq!((of(100), of(200)), (2 + 3 * 100, 2 + 3 * 200));
}

/// An op supersedes the values of another op at 1,000 keys, which that op never wrote: the other op
/// must not pay for these marks.
#[test]
fn an_op_with_a_thousand_marks_looks_up_only_marks_at_its_own_keys() {
    let late = numbered(2, 0);
    let key = |number: u16| [&b"key "[..], &number.to_be_bytes()].concat();
    let writes: Vec<TestWrite> = (0..1000)
        .map(|number| TestWrite::delete(&key(number), &[late]))
        .collect();
    let hostile = TestOp::new(numbered(3, 0), 1, &writes);
    // A put at a marked key never counts; a put at an unmarked key does.
    for (written, values, marks_left) in [(key(500), 0, 999), (b"other".to_vec(), 1, 1000)] {
        let mut host = Host::new();
        host.record(&hostile);
        assert_eq!(host.rows().len(), 1000, "a mark for each");
        let put = TestWrite::put(&written, &[], b"value");
        let found = cost(&mut host, late, 1, put.clone());
        // Two ranges find one mark each: the store has marks, and the op has marks. The cell and
        // the mark at the key are looked up.
        let rows = (found.gets, found.ranges, found.ranged);
        assert_eq!(rows, (2, 2, 2));
        assert_eq!(
            found.puts + found.removes,
            1,
            "a cell, or a mark: {found:?}"
        );
        check_cap(found, "an op with marks");
        assert_eq!(host.elements().len(), values);
        assert_eq!(host.rows().len(), values + marks_left);

        let mut other = Host::new();
        other.record(&TestOp::new(late, 1, &[put]));
        other.record(&hostile);
        assert_eq!(other.elements(), host.elements());
        assert_eq!(other.rows().len(), values, "no marks of an applied op");
    }
}
