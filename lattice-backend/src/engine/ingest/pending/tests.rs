//! A removed op leaves nothing in the indexes.

use lattice_meta::{GenesisHash, Hlc, OpId};

use super::*;
use crate::op::{OpDraft, OpHasher, OpKind, SecretKey};

fn hlc(ms: u64) -> Hlc {
    Hlc::from_parts(ms, 0).expect("a small number of milliseconds fits")
}

fn stamp(seq: u64) -> Stamp {
    let op = OpRef {
        author: PubKey::from_bytes([7; 32]),
        seq,
        id: OpId::from_bytes([9; 32]),
    };
    Stamp { hlc: hlc(1), op }
}

/// An op that names the ops with these sequence numbers.
fn op(seed: u8, deps: impl IntoIterator<Item = u64>, payload_len: usize) -> Op {
    let draft = OpDraft {
        kind: OpKind::Application,
        seq: 0,
        prev: OpId::ZERO,
        hlc: hlc(2),
        deps: deps.into_iter().map(|seq| stamp(seq).op).collect(),
        payload: &vec![0; payload_len],
    };
    let hasher = OpHasher::new(&GenesisHash::from_bytes([1; 32]));
    draft
        .sign(&hasher, &SecretKey::from_bytes(&[seed; 32]))
        .expect("the draft breaks no rule")
}

/// Makes an op wait for its parents from this position on.
fn wait(pending: &mut PendingOps, op: &Op, first: u16) -> Vec<OpId> {
    let missing: Vec<u16> = (first..)
        .take(op.deps().len() - usize::from(first))
        .collect();
    pending.wait(op.clone(), &missing, AuthorTrust::Known)
}

fn assert_empty(pending: &PendingOps) {
    assert_eq!(pending.missing.len(), 0);
    assert_eq!((pending.len(), pending.cost), (0, 0));
    let PendingOps {
        slots,
        moved,
        appended,
        deferred,
        shares,
        ranking,
        ..
    } = pending;
    assert!(slots.is_empty() && moved.is_empty() && appended.is_empty());
    assert!(deferred.is_empty() && shares.is_empty() && ranking.is_empty());
}

#[test]
fn released_ops_leave_no_entries() {
    let mut pending = PendingOps::default();
    let ops: Vec<Op> = (1..=20).map(|seed| op(seed, 0..30, 0)).collect();
    for (op, first) in ops.iter().zip(0..) {
        wait(&mut pending, op, first);
    }
    assert_eq!(pending.missing.len(), (11..=30).sum());
    let mut released = Vec::new();
    for seq in (0..30).rev() {
        released.extend(pending.arrive(&stamp(seq)));
        pending.take_moved();
    }
    assert_eq!(released.len(), 20);
    assert_empty(&pending);
    // Slots are reused.
    wait(&mut pending, &ops[3], 0);
    assert!(pending.ops.keys().all(|slot| *slot < 20));
}

#[test]
fn evicted_ops_leave_no_entries() {
    let mut pending = PendingOps::default();
    let floods: Vec<Op> = (1..=9)
        .map(|nth| op(1, 0..nth * 10, MAX_PENDING_BYTES / 8 - 16_384))
        .collect();
    for (nth, flood) in floods.iter().enumerate() {
        // The first parent arrives; an op may be evicted before the search for its next missing
        // one.
        assert_eq!(wait(&mut pending, flood, 0).len(), nth / 8);
        pending.arrive(&stamp(0));
    }
    assert_eq!(pending.len(), 8);
    assert_eq!(pending.missing.len(), (2..=9).map(|nth| nth * 10 - 1).sum());
    assert_eq!(pending.take_moved().len(), 8);
    // Ops that cost more and miss nothing else replace them.
    for nth in 0..8 {
        let flood = op(1, [5000 + nth], MAX_PENDING_BYTES / 8 - 1000);
        assert_eq!(wait(&mut pending, &flood, 0).len(), 1);
    }
    assert_eq!(pending.missing.len(), 8);
    for nth in 0..8 {
        assert_eq!(pending.arrive(&stamp(5000 + nth)).len(), 1);
    }
    assert_empty(&pending);
}

#[test]
fn an_op_that_can_never_be_applied_leaves_no_entries() {
    let mut pending = PendingOps::default();
    wait(&mut pending, &op(1, 0..10, 0), 0);
    assert!(pending.arrive(&stamp(0)).is_empty());
    let late = Stamp {
        hlc: hlc(2),
        ..stamp(4)
    };
    assert_eq!(pending.arrive(&late).len(), 1);
    assert_empty(&pending);
}

#[test]
fn an_op_that_is_deferred_no_longer_waits_for_parents() {
    let mut pending = PendingOps::default();
    let op = op(1, 0..10, 0);
    wait(&mut pending, &op, 0);
    pending.defer(op.clone(), 5, AuthorTrust::Unknown);
    assert_eq!((pending.len(), pending.missing.len()), (1, 0));
    assert_eq!(pending.first_missing(&op.reference().id), None);
    wait(&mut pending, &op, 0);
    assert!(pending.take_due(5).is_empty());
    assert_eq!(pending.first_missing(&op.reference().id), Some(stamp(0).op));
}

/// Hashes in the index are short: two parents of one op may share one.
#[test]
fn parents_with_the_same_hash_are_distinguished() {
    let mut pending = PendingOps::default();
    let mut seen = BTreeMap::new();
    let (first, second) = (0..)
        .find_map(|seq| {
            let hash = pending.missing.hash(&stamp(seq).op);
            seen.insert(hash, seq).map(|first| (first, seq))
        })
        .expect("there are only 2^32 hashes");
    wait(&mut pending, &op(1, [first, second], 0), 0);
    wait(&mut pending, &op(2, [first], 0), 0);
    wait(&mut pending, &op(3, [second], 0), 0);
    assert_eq!(pending.missing.places(&stamp(first).op).len(), 4);
    let released = pending.arrive(&stamp(second));
    assert_eq!(released, [op(3, [second], 0)]);
    let mut released = pending.arrive(&stamp(first));
    released.sort_by_key(|op| op.deps().len());
    assert_eq!(released, [op(2, [first], 0), op(1, [first, second], 0)]);
    assert_empty(&pending);
}

/// An op that is given again is evicted last, and its author's current trust counts.
#[test]
fn an_op_received_again_becomes_the_newest() {
    let mut pending = PendingOps::default();
    let length = MAX_PENDING_BYTES / 4 - 4096;
    let ops: Vec<Op> = (0..5).map(|nth| op(1, [nth], length)).collect();
    for op in &ops[..4] {
        assert!(wait(&mut pending, op, 0).is_empty());
    }
    pending.renew(&ops[0].reference().id, AuthorTrust::Unknown);
    assert_eq!(wait(&mut pending, &ops[4], 0), [ops[1].reference().id]);
    assert_eq!(pending.missing.len(), 4);
}
