//! Ops by their positions.

use lattice_backend::op::{Op, OpOrder};

use super::{applied, held};
use crate::faulty::{APPLY, Faulty, Place, Store, take};
use crate::support::{op, secret};

/// Reads an order in slices, and checks that they continue one another.
fn read(store: &Store, order: OpOrder, until: u64, max_bytes: usize) -> Vec<Vec<u8>> {
    let (mut from, mut all) = (0, Vec::new());
    while from < until {
        let slice = store.op_slice(order, from..until, max_bytes).unwrap();
        assert!(slice.next > from && slice.next <= until);
        let bytes: usize = slice.ops.iter().map(|(_, op)| op.len()).sum();
        assert!(bytes <= max_bytes || slice.ops.len() == 1, "{bytes} bytes");
        assert!(slice.ops.len() <= 1024);
        for (name, op) in &slice.ops {
            let op = Op::decode(op.clone(), store.hasher()).unwrap();
            assert_eq!(op.reference(), *name);
        }
        all.extend(slice.ops.into_iter().map(|(_, op)| op));
        from = slice.next;
    }
    all
}

fn bytes(ops: &[Op]) -> Vec<Vec<u8>> {
    ops.iter().map(|op| op.bytes().to_vec()).collect()
}

/// Two chains: one is applied, and has a long op; of the other, all but the first op are held.
fn store() -> Store {
    let store = Place::redb().open(&Faulty::v1());
    let [a, b] = [secret(2), secret(3)];
    let long = [&b"."[..], &[7; 5000]].concat();
    let mut ops = vec![op(&b, None, &[], 0, b".first")];
    ops.push(op(&b, ops.last(), &[], 1, &[APPLY, 0]));
    for nth in 2..40 {
        ops.push(op(&b, ops.last(), &[], nth, b".held"));
    }
    let mut chain = Vec::<Op>::new();
    for nth in 0..1100 {
        let payload = if nth == 500 { &long[..] } else { b".short" };
        chain.push(op(&a, chain.last(), &[], nth, payload));
    }
    take(&store, &ops.iter().collect::<Vec<_>>());
    take(&store, &chain.iter().collect::<Vec<_>>());
    store
}

#[test]
fn slices_join_to_the_order() {
    let store = store();
    let end = store.ops_end().unwrap();
    assert_eq!((end.applied, end.held), (1101, 39));
    for max_bytes in [1, 300, 2000, 1 << 20] {
        let applied = bytes(&applied(&store));
        assert_eq!(
            read(&store, OpOrder::Applied, end.applied, max_bytes),
            applied
        );
        let held = bytes(&held(&store));
        assert_eq!(read(&store, OpOrder::Held, end.held, max_bytes), held);
    }
}

#[test]
fn a_slice_ends_with_its_range_and_with_the_order() {
    let store = store();
    let applied = bytes(&applied(&store));
    let slice = store.op_slice(OpOrder::Applied, 3..7, 1 << 20).unwrap();
    let found: Vec<_> = slice.ops.into_iter().map(|(_, op)| op).collect();
    assert_eq!((found, slice.next), (applied[3..7].to_vec(), 7));
    for order in [OpOrder::Applied, OpOrder::Held] {
        let end = match order {
            OpOrder::Applied => 1101,
            OpOrder::Held => 39,
        };
        let slice = store.op_slice(order, end - 1..end + 5, 1 << 20).unwrap();
        assert_eq!((slice.ops.len(), slice.next), (1, end));
        let slice = store.op_slice(order, end + 2..end + 5, 1 << 20).unwrap();
        assert_eq!((slice.ops.len(), slice.next), (0, end + 2));
    }
}

/// Settled ops leave gaps in the numbers.
#[test]
fn gaps_between_held_ops_are_skipped() {
    let place = Place::memory();
    let store = place.open(&Faulty::v1());
    let [a, b] = [secret(2), secret(3)];
    let of = |author, kind| op(author, None, &[], 0, &[kind, 0]);
    let (first, second) = (of(&a, APPLY), of(&b, crate::faulty::DECODE));
    take(&store, &[&first, &second]);
    store.close().unwrap();
    let store = place.open(&Faulty::version("faulty/3", &[crate::faulty::DECODE]));
    let slice = store.op_slice(OpOrder::Held, 0..2, 1).unwrap();
    assert_eq!(slice.ops, [(second.reference(), second.bytes().to_vec())]);
    assert_eq!(slice.next, 2);
    assert!(
        store
            .op_slice(OpOrder::Held, 0..1, 1)
            .unwrap()
            .ops
            .is_empty()
    );
}
