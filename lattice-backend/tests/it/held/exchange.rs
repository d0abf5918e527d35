//! In an exchange, a held op counts as present.

use std::collections::BTreeSet;

use lattice_backend::bundle::{BundleReader, write_bundle};
use lattice_backend::engine::ingest::Outcome;
use lattice_backend::op::BranchTips;

use super::*;
use crate::support::{genesis, given};

#[test]
fn held_ops_are_known_and_not_sent_again() {
    let story = Story::new(APPLY);
    let here = with(&Faulty::v1(), &story.all());
    let tips = here.branch_tips().unwrap().tips;
    for end in [&story.a[2], &story.b[2], &story.c[1]] {
        assert!(tips.contains(&end.reference()));
    }
    assert!(!tips.contains(&story.a[1].reference()), "it is no end");
    let again = take(&here, &story.all());
    assert!(
        again.iter().all(|outcome| *outcome == Outcome::Known),
        "{again:?}"
    );
    // Nothing is sent to a replica that holds the same ops, nor to or from one that has applied
    // them.
    let there = with(&Faulty::v1(), &story.all());
    let newer = with(&Faulty::v2(), &story.all());
    for (from, to) in [(&here, &there), (&here, &newer), (&newer, &here)] {
        assert_eq!(pull(from, to), 0);
    }
    assert_eq!(held_names(&here), story.stuck_names());
}

#[test]
fn held_ops_are_sent_in_causal_order() {
    let story = Story::new(DECODE);
    let here = with(&Faulty::v1(), &story.all());
    let sent = here.ops_after(&BranchTips::default()).unwrap();
    assert_eq!(sent.len(), 8);
    let mut seen = BTreeSet::new();
    for bytes in sent {
        let op = Op::decode(bytes.unwrap(), here.hasher()).unwrap();
        assert!(op.parents().all(|parent| seen.contains(&parent)));
        assert!(seen.insert(op.reference()));
    }
    assert_eq!(seen.len(), 8);
    // A third replica with the same code holds the same ops, and passes them on to newer code.
    let third = Place::redb().open(&Faulty::v1());
    assert_eq!(pull(&here, &third), 8);
    assert_eq!(held_names(&third), story.stuck_names());
    assert_eq!(third.state_hash().unwrap(), here.state_hash().unwrap());
    let newer = Place::memory().open(&Faulty::v2());
    assert_eq!(pull(&third, &newer), 8);
    let direct = with(&Faulty::v2(), &story.all());
    assert_eq!(newer.state_hash().unwrap(), direct.state_hash().unwrap());
    assert_eq!(held(&newer), []);
}

/// A replica that has part of a held chain gets the rest of it, and no more.
#[test]
fn the_missing_part_of_a_held_chain_is_sent() {
    let author = secret(2);
    let mut ops = vec![op(&author, None, &[], 0, &[APPLY])];
    for nth in 1..9 {
        ops.push(op(&author, ops.last(), &[], nth, b".next"));
    }
    let ops: Vec<&Op> = ops.iter().collect();
    let here = with(&Faulty::v1(), &ops);
    for machine in [Faulty::v1(), Faulty::v2()] {
        for have in 0..=ops.len() {
            let there = with(&machine, &ops[..have]);
            assert_eq!(pull(&here, &there), ops.len() - have);
            assert_eq!(pull(&there, &here), 0);
        }
    }
}

#[test]
fn a_bundle_carries_held_ops() {
    let story = Story::new(ELEMENTS);
    let here = with(&Faulty::v1(), &story.all());
    let mut ops = here.ops_after(&BranchTips::default()).unwrap();
    let mut bundle = Vec::new();
    let counts = write_bundle(&mut bundle, &genesis(), &mut ops).unwrap();
    assert_eq!(counts.ops, 8);
    let mut reader = BundleReader::new(&bundle[..]).unwrap();
    let read = std::iter::from_fn(|| reader.next_op().unwrap());
    let newer = Place::memory().open(&Faulty::v2());
    let report = newer.ingest(given(read), &lattice_backend::engine::ingest::Authors::Any);
    assert_eq!(report.unwrap().applied(), 8);
    let direct = with(&Faulty::v2(), &story.all());
    assert_eq!(newer.state_hash().unwrap(), direct.state_hash().unwrap());
}

/// Pending ops become held when their last missing parent is held, whichever parent comes first.
#[test]
fn pending_ops_whose_last_missing_parent_is_held_are_held() {
    let story = Story::new(APPLY);
    let [a0, a1, a2] = &story.a;
    let [b0, b1, b2] = &story.b;
    let store = Place::memory().open(&Faulty::v1());
    take(&store, &[b2, b1, a2]);
    assert_eq!(store.pending_ops(), 3);
    take(&store, &[a0]);
    let report = report_of(&store, &[a1]);
    assert_eq!(report.outcomes[0].1, is_held(fault()));
    assert_eq!(
        report.released,
        [(a2.reference().id, is_held(follows(a1)))],
        "the others miss an op still"
    );
    assert_eq!(store.pending_ops(), 2);
    // The last missing parent of `b1` is applied; the other one is held.
    let report = report_of(&store, &[b0]);
    assert!(matches!(report.outcomes[0].1, Outcome::Applied { .. }));
    let mut released = [
        (b1.reference().id, is_held(follows(a1))),
        (b2.reference().id, is_held(follows(b1))),
    ];
    released.sort_by_key(|(id, _)| *id);
    assert_eq!(report.released, released);
    assert_eq!(report.held(), 2);
    assert_eq!(store.pending_ops(), 0);
    assert_eq!(store.op_count().unwrap(), 2);
    let all: BTreeSet<_> = held_names(&store).into_iter().collect();
    assert_eq!(all, story.stuck_names().into_iter().collect());
}

/// A report lists a held op once, as held, however often it was delivered.
#[test]
fn a_report_lists_each_held_op_once() {
    let story = Story::new(APPLY);
    let [a0, a1, a2] = &story.a;
    let store = with(&Faulty::v1(), &[a0]);
    let report = report_of(&store, &[a1, a1]);
    let found: Vec<_> = report.outcomes.iter().map(|(_, outcome)| outcome).collect();
    assert_eq!(found, [&is_held(fault()), &Outcome::Known]);
    assert_eq!(report.held(), 1);
    // The op was pending, this call releases it, and the queue then delivers it again.
    let store = with(&Faulty::v1(), &[a0, a2]);
    assert_eq!(store.pending_ops(), 1);
    let report = report_of(&store, &[a1, a2]);
    let found: Vec<_> = report.outcomes.iter().map(|(_, outcome)| outcome).collect();
    assert_eq!(found, [&is_held(fault()), &is_held(follows(a1))]);
    assert_eq!(report.held(), 2);
}
