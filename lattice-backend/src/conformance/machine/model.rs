//! A replica reduced to what a state machine sees of it.
//!
//! Rows and history are in memory; nothing is signed, hashed or committed. So the suite delivers
//! many orders of a history in the time that a store takes for one. [`store`](super::store)
//! compares stores with the model.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZero;

use lattice_meta::{Hlc, PubKey};

use crate::backend::{BackendError, Result as BackendResult, Table};
use crate::conformance::machine::broken::Broken;
use crate::conformance::machine::elements::{Changed, Elements, changed};
use crate::conformance::machine::rows::DataRows;
use crate::engine::contain::{Decoded, contain, decode};
use crate::machine::{History, Limits, StateMachine};
use crate::op::{ApplyIndex, Op, OpRef, OpView, Stamp};
use crate::state::{CountedHistory, Staged};

/// The applied ops, in their order.
#[derive(Debug, Clone, Default)]
pub(super) struct Applied {
    ops: Vec<Op>,
    indexes: HashMap<OpRef, ApplyIndex>,
    frontier: BTreeSet<OpRef>,
    tips: BTreeMap<PubKey, OpRef>,
    clock: Option<Hlc>,
}

impl Applied {
    pub(super) fn ops(&self) -> &[Op] {
        &self.ops
    }

    pub(super) fn contains(&self, op: &OpRef) -> bool {
        self.indexes.contains_key(op)
    }

    /// Whether the op is new and all its parents are applied.
    pub(super) fn can_follow(&self, op: &Op) -> bool {
        !self.contains(&op.reference()) && op.parents().all(|parent| self.contains(&parent))
    }

    /// The applied ops that no applied op names.
    pub(super) fn frontier(&self) -> &BTreeSet<OpRef> {
        &self.frontier
    }

    /// The author's op with the greatest sequence number.
    pub(super) fn tip(&self, author: &PubKey) -> Option<OpRef> {
        self.tips.get(author).copied()
    }

    /// The greatest timestamp of an applied op.
    pub(super) fn clock(&self) -> Option<Hlc> {
        self.clock
    }

    fn next_index(&self) -> ApplyIndex {
        ApplyIndex::new(u64::try_from(self.ops.len()).expect("they are in memory"))
    }

    pub(super) fn push(&mut self, op: &Op) {
        let reference = op.reference();
        self.indexes.insert(reference, self.next_index());
        for parent in op.parents() {
            self.frontier.remove(&parent);
        }
        self.frontier.insert(reference);
        let tip = self.tips.entry(reference.author).or_insert(reference);
        *tip = reference.max(*tip);
        self.clock = self.clock.max(Some(op.hlc()));
        self.ops.push(op.clone());
    }
}

/// History as a state machine sees it, possibly while an op is being applied.
pub(super) struct Past<'a> {
    pub(super) applied: &'a Applied,
    pub(super) current: Option<&'a Op>,
}

impl Past<'_> {
    fn op(&self, index: ApplyIndex) -> BackendResult<&Op> {
        let place = usize::try_from(index.get()).ok();
        let applied = place.and_then(|place| self.applied.ops.get(place));
        let current = self.current.filter(|_| index == self.applied.next_index());
        applied.or(current).ok_or_else(|| {
            let found = format!("none under {index}");
            BackendError::row(Table::Ops, "an op under every index", found)
        })
    }
}

impl History for Past<'_> {
    fn count(&self) -> BackendResult<u64> {
        Ok(self.applied.next_index().get())
    }

    fn index_of(&self, op: &OpRef) -> BackendResult<Option<ApplyIndex>> {
        Ok(self.applied.indexes.get(op).copied())
    }

    fn stamp(&self, index: ApplyIndex) -> BackendResult<Stamp> {
        Ok(self.op(index)?.stamp())
    }

    fn show(&self, index: ApplyIndex, see: &mut dyn FnMut(&OpView<'_>)) -> BackendResult<()> {
        see(&self.op(index)?.view(index));
        Ok(())
    }
}

/// The functions through which the host calls a state machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// `run`.
    Run,
    /// `apply`, then `settle`.
    ApplyAndSettle,
}

/// The rows that an op writes: a value, or `None` for a removed row.
pub(super) type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// The effect of one op.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Step {
    pub(super) writes: Writes,
    pub(super) changed: Changed,
}

/// A replica.
#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    pub(super) rows: DataRows,
    pub(super) applied: Applied,
    elements: Elements,
}

impl Model {
    /// All elements, by key.
    pub(super) fn elements(&self) -> &Elements {
        &self.elements
    }

    pub(super) fn past(&self) -> Past<'_> {
        Past {
            applied: &self.applied,
            current: None,
        }
    }

    /// Computes the effect of an op without changing the replica.
    pub(super) fn try_op<M: StateMachine>(
        &self,
        machine: &M,
        entry: Entry,
        op: &Op,
        decoded: Decoded<M::Payload<'_>>,
        divisor: NonZero<u64>,
    ) -> Result<Step, Broken> {
        let limits = Limits::tightened(op.payload().len(), divisor);
        let failed = |doing: &str, error: &BackendError| {
            let doing = format!("{doing} of op {}", op.reference());
            Broken::failed(&doing, error, &limits).at(op.reference())
        };
        let payload = match decoded {
            Decoded::Valid(payload) => Some(payload),
            Decoded::Nothing => None,
            Decoded::Failed(fault) => return Err(failed("`decode`", &BackendError::Fault(fault))),
        };
        let past = Past {
            applied: &self.applied,
            current: Some(op),
        };
        let history = CountedHistory::new(&past, &limits);
        let mut staged = Staged::new(&self.rows, &limits);
        let view = op.view(self.applied.next_index());
        contain(|| match (entry, payload) {
            (Entry::Run, payload) => machine.run(op.kind(), &view, payload, &mut staged, &history),
            (Entry::ApplyAndSettle, payload) => {
                if let Some(payload) = payload {
                    machine.apply(&view, payload, &mut staged, &history)?;
                }
                machine.settle(op.kind(), &view, &mut staged)
            }
        })
        .map_err(|error| failed("applying the payload", &error))?;
        let writes = staged.into_writes().into_iter();
        let writes = writes.map(|(key, row)| (key, row.after)).collect();
        let changed = contain(|| changed(machine, &self.rows, &writes, &history))
            .map_err(|error| failed("`elements_of` the rows", &error))?;
        Ok(Step { writes, changed })
    }

    /// Applies the effect of an op that has been tried.
    pub(super) fn commit(&mut self, op: &Op, step: &Step) -> Result<(), Broken> {
        for (key, value) in &step.writes {
            match value {
                Some(value) => drop(self.rows.0.insert(key.clone(), value.clone())),
                None => drop(self.rows.0.remove(key)),
            }
        }
        self.applied.push(op);
        let changed = self.elements.change(&step.changed);
        changed.map_err(|broken| broken.at(op.reference()))
    }

    /// Applies an op.
    pub(super) fn apply<M: StateMachine>(
        &mut self,
        machine: &M,
        op: &Op,
        decoded: Decoded<M::Payload<'_>>,
        divisor: NonZero<u64>,
    ) -> Result<Step, Broken> {
        let step = self.try_op(machine, Entry::Run, op, decoded, divisor)?;
        self.commit(op, &step)?;
        Ok(step)
    }

    /// Applies ops like one transaction of a store: decodes all payloads first.
    pub(super) fn apply_all<M: StateMachine>(
        &mut self,
        machine: &M,
        ops: &[Op],
        divisor: NonZero<u64>,
    ) -> Result<Vec<Step>, Broken> {
        let decoded: Vec<_> = ops.iter().map(|op| (op, decode(machine, op))).collect();
        let steps = decoded.into_iter();
        steps
            .map(|(op, decoded)| self.apply(machine, op, decoded, divisor))
            .collect()
    }

    /// Rereads all rows, and compares their elements with those recorded when the rows were
    /// written.
    pub(super) fn scan<M: StateMachine>(&self, machine: &M) -> Result<(), Broken> {
        self.elements
            .compare_with_rows(machine, &self.rows, &self.past())
    }
}
