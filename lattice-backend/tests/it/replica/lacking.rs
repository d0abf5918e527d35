//! The ops that another replica lacks.

use std::collections::BTreeSet;

use lattice_backend::conformance::Rng;
use lattice_backend::op::{Has, Lack, Lacking, Op, OpRef, OpsEnd};
use lattice_meta::PubKey;

use super::{applied, forked, held};
use crate::faulty::{Faulty, PLAIN, Place, Store, take};
use crate::support::{op, secret};

/// The definition: every op of a named author that the other replica does not have.
fn expected(store: &Store, lacking: &Lacking, until: OpsEnd) -> Vec<OpRef> {
    let (applied, held) = (applied(store), held(store));
    let prev = |of: &OpRef| {
        let mut ops = applied.iter().chain(&held);
        ops.find(|op| op.reference() == *of).map(|op| op.prev())
    };
    let is_lacking = |op: &Op, index: u64| {
        let own = op.reference();
        let lacks = match lacking {
            Lacking::All => return true,
            Lacking::Of(lacks) => lacks,
        };
        let Some(lack) = lacks.iter().find(|lack| lack.author == own.author) else {
            return false;
        };
        match &lack.has {
            Has::Before(from) => index >= *from,
            Has::Ops(ops) => {
                let mut has = BTreeSet::new();
                for op in ops {
                    let mut at = Some(*op);
                    while let Some(op) = at
                        && let Some(prev) = prev(&op)
                    {
                        has.insert(op);
                        at = prev;
                    }
                }
                !has.contains(&own)
            }
        }
    };
    let before = applied.iter().zip(0..until.applied);
    let before = before.filter(|(op, index)| is_lacking(op, *index));
    // Numbers have no gaps here.
    let stuck = held.iter().zip(0..until.held);
    let stuck = stuck.filter(|(op, _)| is_lacking(op, u64::MAX));
    before.chain(stuck).map(|(op, _)| op.reference()).collect()
}

fn found(store: &Store, lacking: &Lacking, until: OpsEnd, max_bytes: usize) -> Vec<OpRef> {
    let mut ops = store.ops_lacking(lacking, until).unwrap();
    let (count, mut found) = (ops.len(), Vec::new());
    while let Some(slice) = ops.next_slice(max_bytes).unwrap() {
        let bytes: usize = slice.iter().map(|(_, op)| op.len()).sum();
        assert!(!slice.is_empty() && (bytes <= max_bytes || slice.len() == 1));
        found.extend(slice.into_iter().map(|(op, _)| op));
    }
    assert_eq!((found.len(), ops.len()), (count, 0));
    found
}

/// Histories with forks and held ops, some so long that a part of them is indexed.
#[test]
fn they_equal_those_of_the_definition() {
    for seed in 0..30 {
        let mut rng = Rng::new(seed);
        let store = Place::memory().open(&Faulty::v1());
        if seed % 3 == 0 {
            let (author, mut chain) = (secret(2), Vec::<Op>::new());
            for nth in 0..300 {
                chain.push(op(&author, chain.last(), &[], nth, &[PLAIN, 1]));
            }
            take(&store, &chain.iter().collect::<Vec<_>>());
        }
        let ops = forked(&mut rng, 60);
        take(&store, &ops.iter().collect::<Vec<_>>());
        let all: Vec<OpRef> = applied(&store)
            .iter()
            .chain(&held(&store))
            .map(Op::reference)
            .collect();
        let end = store.ops_end().unwrap();
        for round in 0..24 {
            let below = |rng: &mut Rng, end: u64| {
                let end = usize::try_from(end).unwrap();
                u64::try_from(rng.below(end + 1)).unwrap()
            };
            let until = match rng.one_in(2) {
                true => end,
                false => OpsEnd {
                    applied: below(&mut rng, end.applied),
                    held: below(&mut rng, end.held),
                },
            };
            let mut lacks = Vec::new();
            for seed in [2, 3, 4, 9] {
                let author: PubKey = secret(seed).public();
                let own: Vec<OpRef> = all
                    .iter()
                    .filter(|op| op.author == author)
                    .copied()
                    .collect();
                let has = match rng.below(4) {
                    0 => continue,
                    1 => Has::Before(below(&mut rng, end.applied)),
                    _ => {
                        let known = (0..rng.below(4)).filter_map(|_| rng.pick(&own).copied());
                        Has::Ops(known.collect())
                    }
                };
                lacks.push(Lack { author, has });
            }
            let lacking = match rng.one_in(8) {
                true => Lacking::All,
                false => Lacking::Of(lacks),
            };
            let max_bytes = *rng.pick(&[1, 700, 1 << 20]).unwrap();
            let expected = expected(&store, &lacking, until);
            let found = found(&store, &lacking, until, max_bytes);
            assert_eq!(
                found, expected,
                "seed {seed}, round {round}: {lacking:?} {until:?}"
            );
        }
    }
}

/// What is applied or settled between two slices changes nothing.
#[test]
fn slices_are_of_the_time_of_the_call() {
    let place = Place::redb();
    let store = place.open(&Faulty::v1());
    let ops = forked(&mut Rng::new(5), 60);
    take(&store, &ops.iter().collect::<Vec<_>>());
    let (all, end) = (Lacking::All, store.ops_end().unwrap());
    let expected = expected(&store, &all, end);
    assert!(end.held > 2);
    let reader = super::reader(&place);
    let mut lacking = reader.ops_lacking(&all, end).unwrap();
    let mut found = lacking.next_slice(1).unwrap().unwrap();
    store.close().unwrap();
    // Applies all that was held.
    let newer = place.open(&Faulty::v2());
    assert_eq!(newer.ops_end().unwrap().held, 0);
    take(&newer, &[&op(&secret(7), None, &[], 0, b".new")]);
    while let Some(slice) = lacking.next_slice(2000).unwrap() {
        found.extend(slice);
    }
    let found: Vec<OpRef> = found.into_iter().map(|(op, _)| op).collect();
    assert_eq!(found, expected);
}
