//! Orders in which a history reaches a replica.

use std::collections::BTreeSet;
use std::sync::Arc;

use lattice_meta::Genesis;

use crate::clock::ManualClock;
use crate::conformance::machine::Rng;
use crate::conformance::machine::history::{broke, replica};
use crate::engine::Engine;
use crate::engine::ingest::Authors;
use crate::engine::open::OpenRequest;
use crate::machine::StateMachine;
use crate::op::{Op, OpRef};

/// Long after every op: nothing is dated ahead.
const LATE_MS: u64 = 3_400_000_000_000;

/// How a history is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Each op by itself.
    OneByOne,
    /// Several at a time.
    Batches,
    /// Several at a time, some of them again.
    Duplicates,
    /// Several at a time, what follows before what it follows too.
    Shuffled,
}

impl Manner {
    const ALL: [Self; 4] = [
        Self::OneByOne,
        Self::Batches,
        Self::Duplicates,
        Self::Shuffled,
    ];

    pub(super) fn nth(nth: usize) -> Self {
        Self::ALL[nth % Self::ALL.len()]
    }
}

/// A random order of these ops in which each comes after those that it names.
pub(super) fn causal_order(rng: &mut Rng, ops: &[Op]) -> Vec<Op> {
    // Uniform choices seldom bring an old op last: some orders hold one author back, some go
    // deep first.
    let held_back = rng.pick(ops).map(|op| op.reference().author);
    let taste = rng.below(3);
    let mut left: Vec<&Op> = ops.iter().collect();
    let mut taken = BTreeSet::<OpRef>::new();
    let mut order = Vec::with_capacity(ops.len());
    while !left.is_empty() {
        let ready: Vec<usize> = (0..left.len())
            .filter(|&place| left[place].parents().all(|parent| taken.contains(&parent)))
            .collect();
        let others: Vec<usize> = ready
            .iter()
            .copied()
            .filter(|&place| Some(left[place].reference().author) != held_back)
            .collect();
        let place = match taste {
            0 if !others.is_empty() => rng.pick(&others),
            1 => ready.last(),
            _ => rng.pick(&ready),
        };
        let op = left.remove(*place.expect("some op follows only from those taken"));
        taken.insert(op.reference());
        order.push(op.clone());
    }
    order
}

/// A replica to which things are delivered.
pub(super) struct Recipient<M: StateMachine> {
    pub(super) engine: Engine<M>,
    pub(super) request: OpenRequest,
}

impl<M: StateMachine> Recipient<M> {
    pub(super) fn new(genesis: &Genesis, machine: M) -> Result<Self, String> {
        let clock = Arc::new(ManualClock::new(LATE_MS));
        let (engine, request) = replica(genesis, machine, None, clock)?;
        Ok(Self { engine, request })
    }

    /// Closes the store and opens it again.
    pub(super) fn reopen(&mut self, machine: M) -> Result<(), String> {
        self.engine
            .close()
            .map_err(|error| broke("closing", &error))?;
        self.engine = Engine::open(self.request.clone(), machine)
            .map_err(|error| broke("opening again", &error))?;
        Ok(())
    }

    fn ingest(&self, ops: &[&Op]) -> Result<(), String> {
        let mut bytes = ops.iter().map(|op| op.bytes().to_vec());
        self.engine
            .ingest(&mut bytes, &Authors::Any)
            .map(drop)
            .map_err(|error| broke("ingest", &error))
    }

    /// Hands the ops over in batches of up to `most`.
    pub(super) fn in_batches(&self, rng: &mut Rng, ops: &[&Op], most: usize) -> Result<(), String> {
        let mut rest = ops;
        while !rest.is_empty() {
            let (batch, behind) = rest.split_at((1 + rng.below(most)).min(rest.len()));
            self.ingest(batch)?;
            rest = behind;
        }
        Ok(())
    }

    /// Hands over ops that stand in a causal order; all are applied then.
    pub(super) fn deliver(&self, rng: &mut Rng, order: &[Op], how: Manner) -> Result<(), String> {
        let mut ops: Vec<&Op> = order.iter().collect();
        match how {
            Manner::OneByOne => self.in_batches(rng, &ops, 1)?,
            Manner::Batches => self.in_batches(rng, &ops, 9)?,
            Manner::Duplicates => {
                let again: Vec<&Op> = ops.iter().copied().filter(|_| rng.one_in(3)).collect();
                for op in again {
                    ops.insert(rng.below(ops.len() + 1), op);
                }
                self.in_batches(rng, &ops, 9)?;
            }
            Manner::Shuffled => {
                rng.shuffle(&mut ops);
                self.in_batches(rng, &ops, 9)?;
            }
        }
        let applied = self
            .engine
            .op_count()
            .map_err(|error| broke("counting", &error))?;
        if usize::try_from(applied) == Ok(order.len()) {
            Ok(())
        } else {
            Err(format!(
                "{applied} of {} ops were applied after all were delivered ({how:?})",
                order.len()
            ))
        }
    }
}
