//! Traces: hashes of the effects of a replay in canonical order.

use std::sync::atomic::{AtomicU64, Ordering};

use lattice_backend::backend::MemoryBackend;
use lattice_backend::op::{ApplyIndex, Op};
use lattice_backend::progress::ProgressSink;

use crate::registers::payload;
use crate::support::*;

/// Ops of three authors, some with equal times, all of which write to the same keys.
fn ops() -> Vec<Op> {
    let mut ops = Vec::<Op>::new();
    for nth in 0..60_u8 {
        let author = secret(2 + nth % 3);
        let public = author.public();
        let prev = ops.iter().rfind(|op| op.reference().author == public);
        let text = payload(&[b'k', nth % 4], &[nth]);
        let made = op(&author, prev, &[], u64::from(nth / 3), &text);
        ops.push(made);
    }
    ops
}

/// The definition.
fn expected(ops: &[Op], at: &[u64]) -> Vec<[u8; 16]> {
    let mut ops: Vec<&Op> = ops.iter().collect();
    ops.sort_by_key(|op| (op.hlc(), op.reference().id));
    let store = replica(9);
    ingest(&store, &ops);
    assert_eq!(store.op_count().unwrap(), 60);
    let effects = (0..60).map(|index| store.effect_at(ApplyIndex::new(index)).unwrap().unwrap());
    let effects: Vec<_> = effects.collect();
    let hash = |at: &u64| {
        let upto = usize::try_from(*at).unwrap().min(effects.len());
        *blake3::hash(&effects[..upto].concat())
            .as_bytes()
            .first_chunk()
            .unwrap()
    };
    at.iter().map(hash).collect()
}

#[test]
fn replicas_with_the_same_ops_have_the_same_traces() {
    let ops = ops();
    let at: Vec<u64> = (0..=62).collect();
    let expected = expected(&ops, &at);
    let backend = MemoryBackend::new();
    let forward: Vec<&Op> = ops.iter().collect();
    // One author after the other.
    let mut by_author = forward.clone();
    by_author.sort_by_key(|op| op.reference());
    let mut effects = Vec::new();
    for order in [forward, by_author] {
        let store = replica(1);
        ingest(&store, &order);
        let none = ProgressSink::none();
        assert_eq!(
            store.trace(&at, &backend, &none).unwrap(),
            (60, expected.clone())
        );
        let some = store.trace(&[0, 17, 17, 44], &backend, &none).unwrap().1;
        assert_eq!(some, [0, 17, 17, 44].map(|place| expected[place]));
        effects.push(store.effect_at(ApplyIndex::new(30)).unwrap());
    }
    assert_ne!(effects[0], effects[1], "effects depend on the order");
    assert_eq!(expected[60], expected[62]);
}

#[test]
fn a_length_needs_no_replay() {
    static REPORTS: AtomicU64 = AtomicU64::new(0);
    let store = replica(1);
    ingest(&store, &ops().iter().collect::<Vec<_>>());
    let backend = MemoryBackend::new();
    let progress = ProgressSink::new(|_| {
        REPORTS.fetch_add(1, Ordering::Relaxed);
    });
    assert_eq!(store.trace(&[], &backend, &progress).unwrap(), (60, vec![]));
    assert_eq!(REPORTS.load(Ordering::Relaxed), 0);
    store.trace(&[60], &backend, &progress).unwrap();
    assert!(REPORTS.load(Ordering::Relaxed) > 0);
}
