//! Random histories: the ops alone determine what is held, whatever the order of arrival.

use std::collections::BTreeSet;

use lattice_backend::conformance::Rng;
use lattice_backend::engine::verify::Depth;
use lattice_backend::progress::ProgressSink;
use proptest::prelude::*;

use super::*;

const KINDS: [u8; 8] = [PLAIN, PLAIN, PLAIN, PLAIN, INVALID, DECODE, APPLY, ELEMENTS];

/// The plan of one op: its author, its kind, whether it forks, and the ops that it names.
type Plan = (u8, usize, bool, Vec<usize>);

fn plans() -> impl Strategy<Value = Vec<Plan>> {
    let forks = prop::bool::weighted(0.1);
    let deps = prop::collection::vec(any::<usize>(), 0..3);
    let plan = (2..5_u8, 0..KINDS.len(), forks, deps);
    prop::collection::vec(plan, 1..40)
}

/// Ops in a causal order, and the ops that faulting code must hold.
fn history(plans: &[Plan]) -> (Vec<Op>, BTreeSet<OpRef>) {
    let (mut ops, mut stuck) = (Vec::<Op>::new(), BTreeSet::new());
    for (after_ms, (author, kind, forks, deps)) in (0..).zip(plans) {
        let author = secret(*author);
        let own = ops
            .iter()
            .filter(|op| op.reference().author == author.public());
        let own: Vec<&Op> = own.collect();
        let prev = match forks {
            true => own.get(own.len() / 2).copied(),
            false => own.last().copied(),
        };
        let deps = deps.iter().filter(|_| !ops.is_empty());
        let deps: BTreeSet<usize> = deps.map(|dep| dep % ops.len()).collect();
        let deps: Vec<&Op> = deps.into_iter().map(|dep| &ops[dep]).collect();
        // An op does not name ops of its own author as deps.
        let is_other = |dep: &&Op| dep.reference().author != author.public();
        let deps: Vec<&Op> = deps.into_iter().filter(is_other).collect();
        let payload = [KINDS[*kind], u8::try_from(after_ms % 251).unwrap()];
        let next = op(&author, prev, &deps, after_ms, &payload);
        let follows = next.parents().any(|parent| stuck.contains(&parent));
        if follows || PANICS.contains(&KINDS[*kind]) {
            stuck.insert(next.reference());
        }
        ops.push(next);
    }
    (ops, stuck)
}

/// Delivers ops in a random order, in batches, some twice, with reopens between.
fn deliver(place: &Place, machine: &Faulty, ops: &[Op], rng: &mut Rng) -> Store {
    let mut order: Vec<&Op> = ops.iter().collect();
    rng.shuffle(&mut order);
    let mut store = place.open(machine);
    while !order.is_empty() {
        let (batch, rest) = order.split_at((1 + rng.below(7)).min(order.len()));
        take(&store, batch);
        if rng.one_in(4) {
            take(&store, batch);
        }
        order = rest.to_vec();
        // A reopen would lose pending ops.
        if store.pending_ops() == 0 && rng.one_in(3) {
            store.close().unwrap();
            store = place.open(machine);
        }
    }
    assert_eq!(store.pending_ops(), 0);
    store
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_order_holds_and_settles_the_same_ops(plans in plans(), seed in any::<u64>()) {
        let (ops, stuck) = history(&plans);
        let free: Vec<&Op> = ops.iter().filter(|op| !stuck.contains(&op.reference())).collect();
        let never = with(&Faulty::v1(), &free);
        let all = with(&Faulty::v2(), &ops.iter().collect::<Vec<_>>());
        prop_assert_eq!(all.op_count().unwrap(), u64::try_from(ops.len()).unwrap());
        let mut rng = Rng::new(seed);
        for place in [Place::memory(), Place::memory(), Place::redb()] {
            let store = deliver(&place, &Faulty::v1(), &ops, &mut rng);
            let found: BTreeSet<OpRef> = held_names(&store).into_iter().collect();
            prop_assert_eq!(&found, &stuck);
            prop_assert_eq!(store.op_count().unwrap(), u64::try_from(free.len()).unwrap());
            prop_assert_eq!(store.state_hash().unwrap(), never.state_hash().unwrap());
            prop_assert_eq!(store.frontier().unwrap(), never.frontier().unwrap());
            prop_assert_eq!(
                store.branch_tips().unwrap().tips,
                all.branch_tips().unwrap().tips,
                "held ops count as had"
            );
            // Only the faulting op has the fault as its reason; the others follow a held op.
            for held in held(&store) {
                match &held.reason {
                    HeldReason::Follows { parent } => {
                        prop_assert!(stuck.contains(parent));
                        prop_assert!(held.op.parents().any(|named| named == *parent));
                    }
                    reason => prop_assert_eq!(reason, &fault()),
                }
            }
            let verified = store.verify(Depth::Full, &*place.backend, &ProgressSink::none()).unwrap();
            prop_assert_eq!(verified.findings, vec![]);
            prop_assert_eq!(verified.held, u64::try_from(stuck.len()).unwrap());
            // A newer replica gets everything from this one, and settling here gives the same
            // state.
            let newer = Place::memory().open(&Faulty::v2());
            prop_assert_eq!(pull(&store, &newer), ops.len());
            prop_assert_eq!(newer.state_hash().unwrap(), all.state_hash().unwrap());
            store.close().unwrap();
            let settled = place.open(&Faulty::v2());
            prop_assert_eq!(held(&settled), vec![]);
            prop_assert_eq!(settled.state_hash().unwrap(), all.state_hash().unwrap());
            prop_assert_eq!(settled.frontier().unwrap(), all.frontier().unwrap());
            let verified = settled.verify(Depth::Full, &*place.backend, &ProgressSink::none()).unwrap();
            prop_assert_eq!(verified.findings, vec![]);
        }
    }
}
