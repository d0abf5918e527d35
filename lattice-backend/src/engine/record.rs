//! Recording one op: its effect on the state, and its place in history.

use std::collections::BTreeMap;

use lattice_meta::{Hlc, MetaKey, OpId, PubKey};

use super::Inner;
use super::reads::{Reads, Remembered};
use super::state::WriterState;
use crate::history::{Applied, Past, write_op};
use crate::staging::Writes;
use crate::state_hash::{LeafChanges, RowChange};
use crate::system::Mark;
use crate::tx::{DataTable, Result, Table, WriteTx};
use crate::{Effect, EffectHash, Op, OpKind, OpRef, SecretKey, Staged, StateMachine};

/// Records ops in one transaction. [`Recorder::finish`] writes what all of them changed together.
pub(super) struct Recorder<'a, M: StateMachine> {
    pub(super) inner: &'a Inner<M>,
    pub(super) tx: &'a mut dyn WriteTx,
    pub(super) state: &'a mut WriterState,
    recorded: u64,
    /// Heads that came (with their timestamp) and went.
    frontier: BTreeMap<OpRef, Option<Hlc>>,
    tips: BTreeMap<PubKey, OpId>,
    /// Whether others sign local ops meanwhile, so that they are written last.
    pub(super) signs_last: bool,
    /// Ops that wait for their signatures, in the order of their numbers.
    unwritten: Vec<(u64, EffectHash, Op)>,
}

/// An op that was recorded.
pub(super) struct Recorded {
    /// Its place in the order of application.
    pub(super) index: u64,
    /// The hash of what it did.
    pub(super) effect: EffectHash,
    /// What it did.
    pub(super) changes: LeafChanges,
}

impl<'a, M: StateMachine> Recorder<'a, M> {
    pub(super) fn new(
        inner: &'a Inner<M>,
        tx: &'a mut dyn WriteTx,
        state: &'a mut WriterState,
    ) -> Self {
        let (frontier, tips) = (BTreeMap::new(), BTreeMap::new());
        Self {
            inner,
            tx,
            state,
            recorded: 0,
            frontier,
            tips,
            signs_last: false,
            unwritten: Vec::new(),
        }
    }

    /// Whether anything was recorded.
    pub(super) fn has_recorded(&self) -> bool {
        self.recorded > 0
    }

    /// What is applied so far, in this transaction too.
    pub(super) fn applied(&self) -> Applied<'_> {
        Applied {
            tx: &*self.tx,
            tail: &self.state.tail,
        }
    }

    /// The same for a state machine, and the op that it is about to apply.
    pub(super) fn past<'b>(&'b self, current: Option<&'b Op>) -> Past<'b> {
        Past {
            applied: self.applied(),
            hasher: &self.inner.hasher,
            stamps: &self.state.stamps,
            unwritten: &self.unwritten,
            current: current.map(|op| (self.state.ledger.applied, op)),
        }
    }

    /// An author's tip so far.
    pub(super) fn tip(&mut self, author: &PubKey) -> Result<Option<OpRef>> {
        self.state.tip(&*self.tx, author)
    }

    /// What the op's payload does to the state, before any of it is real. `reads` are rows of the
    /// state as it is now that have been read before.
    pub(super) fn stage(&self, op: &Op, reads: &Reads) -> Result<(Effect, Writes)> {
        let machine = &self.inner.machine;
        let view = op.view(self.state.ledger.applied);
        let data = DataTable(&*self.tx);
        let data = Remembered { base: &data, reads };
        let mut staged = Staged::new(&data);
        let mut outcome = Effect::Applied;
        if op.kind() == OpKind::Application {
            outcome = machine.apply(&view, &mut staged, &self.past(Some(op)))?;
            if outcome == Effect::Void {
                staged.clear();
            }
        }
        machine.settle(op.kind(), &view, &mut staged)?;
        Ok((outcome, staged.into_writes()))
    }

    /// Records an op that follows from what is applied: its parents are, and its timestamp exceeds
    /// theirs.
    pub(super) fn record(&mut self, op: &Op) -> Result<Recorded> {
        let (_, writes) = self.stage(op, &Reads::new())?;
        let recorded = self.bring_in(op, writes)?;
        write_op(self.tx, recorded.index, &recorded.effect, op)?;
        Ok(recorded)
    }

    /// Signs a local op that has been staged, and records it; gives its number.
    pub(super) fn record_signed(
        &mut self,
        mut op: Op,
        writes: Writes,
        secret: &SecretKey,
    ) -> Result<u64> {
        let id = op.reference().id;
        let Recorded { index, effect, .. } = self.bring_in(&op, writes)?;
        self.state.pending.note_appended(op.stamp());
        if self.signs_last {
            self.inner.signing.want(id);
            self.unwritten.push((index, effect, op));
        } else {
            op.set_signature(&secret.sign(&id));
            write_op(self.tx, index, &effect, &op)?;
        }
        Ok(index)
    }

    /// Writes the ops that waited for their signatures.
    pub(super) fn write_signed(&mut self) -> Result<()> {
        let Some(secret) = &self.inner.identity else {
            return Ok(());
        };
        while self.inner.signing.make_one(secret) {}
        for (index, effect, mut op) in self.unwritten.drain(..) {
            let id = op.reference().id;
            op.set_signature(&self.inner.signing.signature(&id, secret));
            write_op(self.tx, index, &effect, &op)?;
        }
        Ok(())
    }

    /// Brings state and history up to date with an op that has been staged; all but the op's own rows.
    fn bring_in(&mut self, op: &Op, writes: Writes) -> Result<Recorded> {
        let rows = self.write_data(writes)?;
        let (machine, schema) = (&*self.inner.machine, self.inner.schema);
        let changes = LeafChanges::of(machine, schema, &rows, &self.past(Some(op)))?;
        self.state
            .ledger
            .state
            .change(&self.inner.leaf_hasher, &changes)?;
        self.link_branches(op)?;
        self.move_frontier(op);
        let index = self.state.ledger.applied;
        let effect = changes.effect();
        self.state.tail.push(op, index);
        self.state.ledger.applied += 1;
        self.state.ledger.clock = self.state.ledger.clock.max(op.hlc());
        self.recorded += 1;
        Ok(Recorded {
            index,
            effect,
            changes,
        })
    }

    /// Writes what the ops of this transaction changed together: heads, tips, counters and, when
    /// it is due, the index.
    pub(super) fn finish(self) -> Result<()> {
        for (op, hlc) in &self.frontier {
            let key = Mark::Frontier.key(op);
            match hlc {
                Some(hlc) => {
                    self.tx
                        .put(Table::System, &key, &hlc.to_u64().to_le_bytes())?;
                }
                None => {
                    self.tx.remove(Table::System, &key)?;
                }
            }
        }
        for (author, id) in &self.tips {
            self.tx.put(
                Table::Meta,
                &MetaKey::Tip(*author).to_bytes(),
                id.as_bytes(),
            )?;
        }
        if self.state.tail.is_due() {
            self.state.tail.index(self.tx)?;
            self.state.ledger.indexed = self.state.ledger.applied;
        }
        self.state.ledger.write(self.tx)
    }

    fn write_data(&mut self, writes: Writes) -> Result<Vec<RowChange>> {
        let mut rows = Vec::with_capacity(writes.len());
        for (key, after) in writes {
            let before = match &after {
                Some(value) => self.tx.replace(Table::Data, &key, value)?,
                None => self.tx.remove(Table::Data, &key)?,
            };
            rows.push(RowChange { key, before, after });
        }
        Ok(rows)
    }

    /// Keeps the author's tip, the ends of other branches, and the evidence of forks.
    fn link_branches(&mut self, op: &Op) -> Result<()> {
        let reference = op.reference();
        let prev = op.prev();
        let tip = self.tip(&reference.author)?;
        if let Some(tip) = tip.filter(|tip| Some(*tip) != prev) {
            // The author has forked: this op follows another than the tip.
            for other in self.applied().with_seq(&reference.author, reference.seq)? {
                self.tx.put(Table::System, &Mark::Fork.key(&other), &[])?;
                self.tx
                    .put(Table::System, &Mark::Fork.key(&reference), &[])?;
            }
            if let Some(prev) = prev {
                self.tx.remove(Table::System, &Mark::Branch.key(&prev))?;
            }
            self.tx
                .put(Table::System, &Mark::Branch.key(&tip.min(reference)), &[])?;
        }
        // References of one author order by sequence number, then id: as tips do.
        let tip = tip.map_or(reference, |tip| tip.max(reference));
        self.state.set_tip(tip);
        self.tips.insert(tip.author, tip.id);
        Ok(())
    }

    fn move_frontier(&mut self, op: &Op) {
        for parent in op.parents() {
            if self.state.frontier.remove(&parent).is_none() {
                continue;
            }
            // A head that came in this transaction is in no table yet.
            if self.frontier.remove(&parent).is_none() {
                self.frontier.insert(parent, None);
            }
        }
        self.state.frontier.insert(op.reference(), op.hlc());
        self.frontier.insert(op.reference(), Some(op.hlc()));
    }
}
