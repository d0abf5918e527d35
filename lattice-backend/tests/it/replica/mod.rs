//! What a replication reads of a store, and what it keeps there, compared with definitions over the
//! whole history.

mod cost;
mod lacking;
mod rows;
mod slice;
mod trace;
mod view;
mod wait;

use std::collections::BTreeSet;

use lattice_backend::backend::Access;
use lattice_backend::conformance::Rng;
use lattice_backend::engine::Engine;
use lattice_backend::op::{ApplyIndex, Op, OpRef};

use crate::faulty::{APPLY, Faulty, PLAIN, Place, Store};
use crate::support::{op, secret};

/// A history of three authors who fork now and then. Old code cannot apply some of the ops.
fn forked(rng: &mut Rng, count: u8) -> Vec<Op> {
    let authors = [secret(2), secret(3), secret(4)];
    let mut ops = Vec::<Op>::new();
    for nth in 0..count {
        let author = rng.pick(&authors).unwrap();
        let public = author.public();
        let own = ops.iter().filter(|op| op.reference().author == public);
        let own: Vec<&Op> = own.collect();
        let prev = match rng.below(8) {
            0 => None,
            1 => rng.pick(&own).copied(),
            _ => own.last().copied(),
        };
        let others = ops.iter().filter(|op| op.reference().author != public);
        let others: Vec<&Op> = others.collect();
        let deps: Vec<&Op> = match rng.one_in(4) {
            true => rng.pick(&others).copied().into_iter().collect(),
            false => Vec::new(),
        };
        let kind = match rng.one_in(12) {
            true => APPLY,
            false => PLAIN,
        };
        let made = op(author, prev, &deps, u64::from(nth) * 2, &[kind, nth]);
        ops.push(made);
    }
    ops
}

fn reader(place: &Place) -> Store {
    let request = place.request().access(Access::ReadOnly);
    Engine::open(request, Faulty::v1()).unwrap()
}

fn applied(store: &Store) -> Vec<Op> {
    let count = store.op_count().unwrap();
    let op = |index| store.op_at(ApplyIndex::new(index)).unwrap().unwrap();
    (0..count).map(op).collect()
}

fn held(store: &Store) -> Vec<Op> {
    let held = store.held_ops().unwrap();
    held.map(|held| held.unwrap().op).collect()
}

/// The ops that no op here follows on its author's chain.
fn tips(store: &Store) -> Vec<OpRef> {
    let ops = [applied(store), held(store)].concat();
    let mut tips: BTreeSet<OpRef> = ops.iter().map(Op::reference).collect();
    for op in &ops {
        if let Some(prev) = op.prev() {
            tips.remove(&prev);
        }
    }
    tips.into_iter().collect()
}
