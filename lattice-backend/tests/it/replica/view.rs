//! Views and tips.

use std::collections::{BTreeMap, BTreeSet};

use lattice_backend::conformance::Rng;
use lattice_backend::engine::read::SinceTip;
use lattice_backend::op::{Op, OpRef, OpsEnd};
use lattice_meta::PubKey;

use super::{applied, forked, held, reader, tips};
use crate::faulty::{APPLY, Faulty, Place, Store, take};
use crate::support::{op, secret};

fn assert_view(store: &Store, what: &str) {
    let view = store.replica_view().unwrap();
    let held = held(store);
    let end = store.ops_end().unwrap();
    assert_eq!(view.end, end, "{what}");
    assert_eq!(view.end.applied, store.op_count().unwrap(), "{what}");
    assert_eq!(view.held, u64::try_from(held.len()).unwrap(), "{what}");
    assert_eq!(&view.tips[..], tips(store), "{what}");
    assert_eq!(&view.tips[..], store.branch_tips().unwrap().tips, "{what}");
    assert_eq!(view.state, store.state_hash().unwrap(), "{what}");
}

/// Also if other handles wrote the ops, and whether or not a caller keeps the last view.
#[test]
fn tips_follow_the_ops() {
    let (mut stuck, mut forks) = (0, 0);
    for seed in 0..20 {
        let mut rng = Rng::new(seed);
        let ops = forked(&mut rng, 60);
        let place = Place::redb();
        let store = place.open(&Faulty::v1());
        let reader = reader(&place);
        let mut kept = None;
        let mut rest = &ops[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(1 + rng.below(6)));
            take(&store, &now.iter().collect::<Vec<_>>());
            rest = later;
            let what = format!("seed {seed}, {} to come", rest.len());
            assert_view(&store, &what);
            assert_view(&reader, &what);
            let view = reader.replica_view().unwrap();
            kept = rng.one_in(2).then_some(view);
        }
        drop(kept);
        stuck += held(&store).len();
        forks += store.forks().unwrap().len();
    }
    assert!(stuck > 100 && forks > 60, "{stuck} held ops, {forks} forks");
}

/// Other code applies held ops, and their numbers are used again.
#[test]
fn tips_are_right_after_held_ops_were_applied() {
    let place = Place::redb();
    let old = Faulty::v1();
    let store = place.open(&old);
    let reader = reader(&place);
    let [a, b] = [secret(2), secret(3)];
    let a0 = op(&a, None, &[], 0, &[APPLY, 1]);
    let a1 = op(&a, Some(&a0), &[], 1, b".a1");
    let b0 = op(&b, None, &[], 0, b".b0");
    take(&store, &[&a0, &a1, &b0]);
    assert_view(&reader, "two are held");
    assert_eq!(
        reader.ops_end().unwrap(),
        OpsEnd {
            applied: 1,
            held: 2
        }
    );
    store.close().unwrap();
    let newer = place.open(&Faulty::v2());
    assert_eq!(
        newer.ops_end().unwrap(),
        OpsEnd {
            applied: 3,
            held: 0
        }
    );
    newer.close().unwrap();
    // The older code comes back, and holds as many ops as before.
    let store = place.open(&Faulty::v1().equal_to("faulty/2"));
    let a2 = op(&a, Some(&a1), &[], 2, &[APPLY, 2]);
    let a3 = op(&a, Some(&a2), &[], 3, b".a3");
    let a4 = op(&a, Some(&a3), &[], 4, b".a4");
    take(&store, &[&a2, &a3]);
    assert_eq!(
        reader.ops_end().unwrap(),
        OpsEnd {
            applied: 3,
            held: 2
        }
    );
    assert_view(&reader, "two others are held");
    take(&store, &[&a4]);
    assert_view(&reader, "one more is held");
    assert_view(&store, "one more is held");
}

#[test]
fn tips_since_an_apply_index_are_those_of_the_authors_after_it() {
    for seed in 0..10 {
        let mut rng = Rng::new(seed);
        let store = Place::memory().open(&Faulty::v1());
        take(&store, &forked(&mut rng, 50).iter().collect::<Vec<_>>());
        let (applied, held) = (applied(&store), held(&store));
        for from in 0..=applied.len() + 1 {
            let mut after = BTreeMap::<PubKey, u64>::new();
            for op in applied.iter().skip(from).chain(&held) {
                let OpRef { author, seq, .. } = op.reference();
                let least = after.entry(author).or_insert(seq);
                *least = seq.min(*least);
            }
            let tips = tips(&store).into_iter().filter_map(|op| {
                let after = *after.get(&op.author)?;
                Some(SinceTip { op, after })
            });
            let (found, end) = store.tips_since(u64::try_from(from).unwrap()).unwrap();
            assert_eq!(found, tips.collect::<Vec<_>>(), "seed {seed}, from {from}");
            assert_eq!(end, store.ops_end().unwrap());
        }
    }
}

#[test]
fn tips_of_some_authors_are_theirs_among_all() {
    for seed in 0..10 {
        let mut rng = Rng::new(seed);
        let ops = forked(&mut rng, 60);
        let store = Place::memory().open(&Faulty::v1());
        take(&store, &ops.iter().collect::<Vec<_>>());
        let all = store.branch_tips().unwrap();
        for authors in [vec![], vec![2], vec![3, 4], vec![2, 9]] {
            let authors: BTreeSet<PubKey> =
                authors.iter().map(|seed| secret(*seed).public()).collect();
            let found = store.tips_of(&authors).unwrap();
            let of_all = all.tips.iter().filter(|op| authors.contains(&op.author));
            assert_eq!(found.tips, of_all.copied().collect::<Vec<_>>());
            let earlier = all.earlier.iter().filter(|op| authors.contains(&op.author));
            let found: BTreeSet<OpRef> = found.earlier.into_iter().collect();
            assert!(
                earlier.copied().all(|op| found.contains(&op)),
                "seed {seed}"
            );
        }
    }
}

#[test]
fn older_held_ops_are_named_as_well() {
    let store = Place::memory().open(&Faulty::v1());
    let a = secret(2);
    let mut chain = vec![op(&a, None, &[], 0, &[APPLY, 1])];
    for nth in 1..20 {
        let next = op(&a, chain.last(), &[], nth, b".more");
        chain.push(next);
    }
    take(&store, &chain.iter().collect::<Vec<_>>());
    let found = store.tips_of(&[a.public()].into()).unwrap();
    let named = |places: &[usize]| -> Vec<OpRef> {
        let names = places.iter().map(|place| chain[*place].reference());
        names.collect()
    };
    assert_eq!(found.tips, named(&[19]));
    assert_eq!(found.earlier, named(&[3, 11, 15, 17, 18]));
}

#[test]
fn ops_that_are_applied_or_held_are_here() {
    let mut rng = Rng::new(3);
    let ops = forked(&mut rng, 60);
    let store = Place::memory().open(&Faulty::v1());
    take(&store, &ops[..40].iter().collect::<Vec<_>>());
    let names: Vec<OpRef> = ops.iter().map(Op::reference).collect();
    let expected: Vec<bool> = (0..60).map(|place| place < 40).collect();
    assert_eq!(store.has_ops(&names).unwrap(), expected);
    assert!(!held(&store).is_empty());
}
