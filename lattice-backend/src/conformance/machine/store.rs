//! Delivers a history to stores.

use std::convert::Infallible;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;

use lattice_meta::Genesis;

use crate::backend::{Direction, EVERYTHING, MemoryBackend};
use crate::clock::ManualClock;
use crate::conformance::Rng;
use crate::conformance::broke::broke;
use crate::conformance::machine::broken::{Broken, Rule};
use crate::conformance::machine::context::Context;
use crate::conformance::machine::model::Model;
use crate::conformance::machine::rows::{DataRows, demand_same_rows};
use crate::engine::Engine;
use crate::engine::ingest::Authors;
use crate::engine::open::OpenRequest;
use crate::machine::{DataRead, StateMachine};
use crate::op::{ApplyIndex, Op};
use crate::state::{Accumulator, ElementHasher};

/// Later than all ops, so that no op has a timestamp in the future.
const LATE_MS: u64 = 3_400_000_000_000;

/// How a history is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// In batches.
    Batches,
    /// In batches, some ops repeatedly, and each before or after its parents.
    Shuffled,
}

/// A store in its own in-memory backend.
pub(super) struct Recipient<M: StateMachine> {
    pub(super) engine: Engine<M>,
    pub(super) request: OpenRequest,
}

fn failed<E: std::error::Error>(doing: &'static str) -> impl Fn(E) -> Broken {
    move |error| Broken::new(Rule::Error, broke(doing, &error))
}

impl<M: StateMachine> Recipient<M> {
    pub(super) fn new(genesis: &Genesis, machine: M) -> Result<Self, Broken> {
        let backend = MemoryBackend::new();
        let path = PathBuf::from("state.db");
        Engine::create(&backend, &path, genesis, &machine).map_err(failed("creating"))?;
        let mut request = OpenRequest::new(Arc::new(backend), path);
        request.clock = Arc::new(ManualClock::new(LATE_MS));
        let engine = Engine::open(request.clone(), machine).map_err(failed("opening"))?;
        Ok(Self { engine, request })
    }

    /// Closes and reopens the store.
    fn reopen(&mut self, machine: M) -> Result<(), Broken> {
        self.engine.close().map_err(failed("closing"))?;
        let reopened = Engine::open(self.request.clone(), machine);
        self.engine = reopened.map_err(failed("opening again"))?;
        Ok(())
    }

    fn ingest(&self, ops: &[&Op]) -> Result<(), Broken> {
        let bytes = ops
            .iter()
            .map(|op| Ok::<_, Infallible>(op.bytes().to_vec()));
        let report = self
            .engine
            .ingest(bytes, &Authors::Any)
            .map_err(failed("ingest"))?;
        match report.rejected().next() {
            Some((_, rejection)) => Err(failed("ingest of an op that keeps all rules")(
                rejection.clone(),
            )),
            None => Ok(()),
        }
    }

    /// Delivers the ops in batches of up to `most`.
    pub(super) fn in_batches(&self, rng: &mut Rng, ops: &[&Op], most: usize) -> Result<(), Broken> {
        let mut rest = ops;
        while !rest.is_empty() {
            let (batch, later) = rest.split_at((1 + rng.below(most)).min(rest.len()));
            self.ingest(batch)?;
            rest = later;
        }
        Ok(())
    }

    /// Delivers ops given in causal order, and checks that all are applied and none is held.
    pub(super) fn deliver(&self, rng: &mut Rng, order: &[Op], how: Manner) -> Result<(), Broken> {
        let mut ops: Vec<&Op> = order.iter().collect();
        if how == Manner::Shuffled {
            let again = order.iter().filter(|_| rng.one_in(3));
            ops.extend(again);
            rng.shuffle(&mut ops);
        }
        self.in_batches(rng, &ops, 9)?;
        self.demand_all_applied(order.len())
    }

    /// Checks that `expected` ops are applied and none is held.
    pub(super) fn demand_all_applied(&self, expected: usize) -> Result<(), Broken> {
        let mut held = self.engine.held_ops().map_err(failed("reading held ops"))?;
        if let Some(held) = held.next() {
            let held = held.map_err(failed("reading held ops"))?;
            let op = held.op.reference();
            let message = format!("a store holds op {op}: {}", held.reason);
            return Err(Broken::new(Rule::Fault, message).at(op));
        }
        let applied = self.engine.op_count().map_err(failed("counting"))?;
        if usize::try_from(applied) == Ok(expected) {
            return Ok(());
        }
        let message = format!("{applied} of {expected} ops were applied after all were delivered");
        Err(Broken::new(Rule::Store, message))
    }

    fn applied_order(&self) -> Result<Vec<Op>, Broken> {
        let count = self.engine.op_count().map_err(failed("counting"))?;
        let mut order = Vec::new();
        for index in 0..count {
            let op = self.engine.op_at(ApplyIndex::new(index));
            order.extend(op.map_err(failed("reading history"))?);
        }
        Ok(order)
    }

    fn rows(&self) -> Result<DataRows, Broken> {
        let reading = "reading the state";
        let snapshot = self.engine.snapshot().map_err(failed(reading))?;
        let mut rows = DataRows::default();
        let mut cursor = snapshot
            .range(EVERYTHING, Direction::Forward)
            .map_err(failed(reading))?;
        while let Some(row) = cursor.next().map_err(failed(reading))? {
            rows.0.insert(row.key.to_vec(), row.value.to_vec());
        }
        Ok(rows)
    }
}

/// Delivers a history to two stores, in batches and shuffled. Compares each with a model that
/// applies the ops in the store's order. One store is closed and reopened in between.
pub(super) fn check<M: StateMachine>(
    context: &Context<'_, M>,
    ops: &[Op],
    seed: u64,
) -> Result<(), Broken> {
    let mut rng = Rng::new(seed);
    let signed = context.keys.sign(ops);
    let (before, after) = signed.split_at(rng.below(signed.len() + 1));
    let mut store = Recipient::new(context.genesis, (context.make)())?;
    store.deliver(&mut rng, before, Manner::Batches)?;
    store.reopen((context.make)())?;
    store.in_batches(&mut rng, &after.iter().collect::<Vec<_>>(), 9)?;
    store.demand_all_applied(signed.len())?;
    compare(context, &store)?;
    let store = Recipient::new(context.genesis, (context.make)())?;
    store.deliver(&mut rng, &signed, Manner::Shuffled)?;
    compare(context, &store)
}

fn compare<M: StateMachine>(context: &Context<'_, M>, store: &Recipient<M>) -> Result<(), Broken> {
    let (machine, mut model) = ((context.make)(), Model::default());
    model.apply_all(&machine, &store.applied_order()?, NonZero::<u64>::MIN)?;
    demand_same_rows(
        &model.rows,
        &store.rows()?,
        "the same ops in the same order gave different rows, in a store and without one",
    )?;
    let (hasher, mut sum) = (ElementHasher::default(), Accumulator::default());
    for (key, value) in &model.elements().0 {
        sum.insert(&hasher, key, value);
    }
    let scanned = sum.state_hash(&context.genesis.hash());
    let kept = store.engine.state_hash().map_err(failed("hashing"))?;
    if scanned == kept {
        return Ok(());
    }
    let message = format!(
        "the state hash is {kept}, a scan of the elements gives {scanned}: `elements` does not \
         depend on its row alone"
    );
    Err(Broken::new(Rule::Store, message))
}
