//! Causal orders of a history, and histories with ops removed.

use std::collections::{BTreeSet, HashMap};

use lattice_meta::OpId;

use crate::conformance::Rng;
use crate::op::{Op, OpDraft, OpHasher, OpRef};

/// How a random order is chosen. Uniform choices rarely put an old op last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taste {
    /// One author comes last.
    HoldOneBack,
    /// Descendants of an op come soon after it.
    DeepFirst,
    Uniform,
}

/// A random causal order of these ops: each op comes after those that it names.
pub(super) fn causal_order(rng: &mut Rng, ops: &[Op]) -> Vec<Op> {
    let held_back = rng.pick(ops).map(|op| op.reference().author);
    let taste = [Taste::HoldOneBack, Taste::DeepFirst, Taste::Uniform][rng.below(3)];
    let places: HashMap<OpRef, usize> = ops.iter().map(Op::reference).zip(0..).collect();
    let parents = |op: &Op| {
        let parents = op.parents().filter_map(|parent| places.get(&parent));
        parents.copied().collect::<Vec<_>>()
    };
    let mut missing: Vec<usize> = ops.iter().map(|op| parents(op).len()).collect();
    let mut children = vec![Vec::new(); ops.len()];
    for (place, op) in ops.iter().enumerate() {
        parents(op)
            .into_iter()
            .for_each(|parent| children[parent].push(place));
    }
    let mut ready: Vec<usize> = (0..ops.len())
        .filter(|&place| missing[place] == 0)
        .collect();
    let mut order = Vec::with_capacity(ops.len());
    while !ready.is_empty() {
        let nth = match taste {
            Taste::DeepFirst => ready.len() - 1,
            Taste::Uniform => rng.below(ready.len()),
            Taste::HoldOneBack => {
                let is_other = |&nth: &usize| Some(ops[ready[nth]].reference().author) != held_back;
                let others: Vec<usize> = (0..ready.len()).filter(is_other).collect();
                rng.pick(&others).copied().unwrap_or(0)
            }
        };
        let place = ready.swap_remove(nth);
        order.push(ops[place].clone());
        for &child in &children[place] {
            missing[child] -= 1;
            if missing[child] == 0 {
                ready.push(child);
            }
        }
    }
    order
}

/// The references in `dropped` and of all descendants of those ops. `ops` must be in causal order.
pub(super) fn with_followers(ops: &[Op], dropped: &BTreeSet<OpRef>) -> BTreeSet<OpRef> {
    let mut all = dropped.clone();
    for op in ops {
        if op.parents().any(|parent| all.contains(&parent)) {
            all.insert(op.reference());
        }
    }
    all
}

/// Makes the ops again without `dropped`: ops that named it name its parents instead. The ops get
/// new ids, and payloads name the new ids in place of the old ones. The result is keyed by the old
/// references; `None` if no such ops can be made.
pub(super) fn without_one(
    hasher: &OpHasher,
    ops: &[Op],
    dropped: &Op,
) -> Option<HashMap<OpRef, Op>> {
    let mut made = HashMap::<OpRef, Op>::new();
    let again = |made: &HashMap<OpRef, Op>, op: &OpRef| Some(made.get(op)?.reference());
    for op in ops
        .iter()
        .filter(|op| op.reference() != dropped.reference())
    {
        let has_named = op.parents().any(|parent| parent == dropped.reference());
        let prev = match op.prev() {
            Some(prev) if prev == dropped.reference() => dropped.prev(),
            prev => prev,
        };
        let prev = match prev {
            Some(prev) => Some(again(&made, &prev)?),
            None => None,
        };
        let inherited = dropped.parents().filter(|_| has_named);
        let named = op.deps().iter().copied().chain(inherited);
        let named = named.filter(|dep| *dep != dropped.reference());
        let mut deps = named
            .map(|dep| again(&made, &dep))
            .collect::<Option<Vec<_>>>()?;
        deps.sort_unstable();
        deps.dedup();
        deps.retain(|dep| Some(*dep) != prev);
        let mut payload = op.payload().to_vec();
        for (old, new) in &made {
            rename(
                &mut payload,
                old.id.as_bytes(),
                new.reference().id.as_bytes(),
            );
        }
        let draft = OpDraft {
            kind: op.kind(),
            seq: prev.map_or(0, |prev| prev.seq + 1),
            prev: prev.map_or(OpId::ZERO, |prev| prev.id),
            hlc: op.hlc(),
            deps,
            payload: &payload,
        };
        let new = draft.compose(hasher, op.reference().author).ok()?;
        made.insert(op.reference(), new);
    }
    let references: BTreeSet<OpRef> = made.values().map(Op::reference).collect();
    (references.len() == made.len()).then_some(made)
}

/// Replaces an id in a payload by another one.
fn rename(payload: &mut [u8], old: &[u8], new: &[u8]) {
    let mut start = 0;
    while let Some(window) = payload.get_mut(start..start + old.len()) {
        if window == old {
            window.copy_from_slice(new);
        }
        start += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::Forge;

    #[test]
    fn every_order_places_ops_after_the_ops_that_they_name() {
        let mut forge = Forge::for_store("org.example.order".parse().expect("it is a type"));
        let mut ops: Vec<Op> = Vec::new();
        let mut rng = Rng::new(3);
        for author in 0..5 {
            let prev = rng.pick(&ops).cloned();
            let deps: Vec<OpRef> = prev.iter().map(Op::reference).collect();
            ops.push(forge.op(author, None, &deps, b"a"));
            let last = ops[ops.len() - 1].clone();
            ops.push(forge.op(author, Some(&last), &[], b"b"));
        }
        let mut orders = BTreeSet::new();
        for _ in 0..50 {
            let order = causal_order(&mut rng, &ops);
            assert_eq!(order.len(), ops.len());
            let mut before = BTreeSet::new();
            for op in &order {
                assert!(op.parents().all(|parent| before.contains(&parent)));
                before.insert(op.reference());
            }
            orders.insert(order.iter().map(Op::reference).collect::<Vec<_>>());
        }
        assert!(orders.len() > 10, "{} orders", orders.len());
        let first = BTreeSet::from([ops[0].reference()]);
        let gone = with_followers(&ops, &first);
        assert!(gone.contains(&ops[1].reference()));
    }

    #[test]
    fn removing_an_op_rewrites_the_ops_that_name_it() {
        let mut forge = Forge::for_store("org.example.order".parse().expect("it is a type"));
        let first = forge.op(1, None, &[], b"first");
        let second = forge.op(1, Some(&first), &[], b"second");
        let names = second.reference().id.as_bytes().to_vec();
        let third = forge.op(2, None, &[second.reference()], &names);
        let fourth = forge.op(1, Some(&second), &[third.reference()], b"fourth");
        let hasher = OpHasher::new(&forge.genesis().hash());
        let ops = [first.clone(), second.clone(), third.clone(), fourth.clone()];
        let made = without_one(&hasher, &ops, &first).expect("it is made");
        let made = |op: &Op| made[&op.reference()].clone();
        assert_eq!(made(&second).prev(), None);
        assert_eq!(made(&third).deps(), [made(&second).reference()]);
        assert_eq!(
            made(&third).payload(),
            made(&second).reference().id.as_bytes()
        );
        assert_eq!(made(&fourth).prev(), Some(made(&second).reference()));
        let made = without_one(&hasher, &ops, &third).expect("it is made");
        assert!(made[&fourth.reference()].deps().is_empty());
        assert_eq!(made[&second.reference()], {
            let mut unsigned = second.clone();
            unsigned.set_signature(&[0; 64]);
            unsigned
        });
    }
}
