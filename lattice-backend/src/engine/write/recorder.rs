//! Recording one op: its effect on the state, and its place in history.

use std::collections::BTreeMap;

use lattice_meta::{Hlc, MetaKey, OpId, PubKey};

use crate::backend::{Result, Row, Table, WriteTx};
use crate::engine::Inner;
use crate::engine::write::read_cache::{Reads, Remembered};
use crate::engine::write::state::WriterState;
use crate::history::system::SystemKey;
use crate::history::{AuthorState, Branch, BranchNo, Forks, Index, Past, Place, write_op};
use crate::machine::{Effect, StateMachine};
use crate::op::{Op, OpKind, OpRef, SecretKey};
use crate::state::data_table::DataTable;
use crate::state::staging::Writes;
use crate::state::{EffectHash, ElementChanges, Staged};

/// Records ops in one transaction. [`Recorder::finish`] writes what all of them changed together.
pub(crate) struct Recorder<'a, M: StateMachine> {
    pub(crate) inner: &'a Inner<M>,
    pub(crate) tx: &'a mut dyn WriteTx,
    pub(crate) state: &'a mut WriterState,
    recorded: u64,
    /// Heads that came (with their timestamp) and went.
    frontier: BTreeMap<OpRef, Option<Hlc>>,
    tips: BTreeMap<PubKey, OpId>,
    /// Whether others sign local ops meanwhile, so that they are written last.
    pub(crate) signs_last: bool,
    /// Ops that wait for their signatures, in the order of their apply indexes, and their bytes.
    unwritten: Vec<(Place, EffectHash, Op)>,
    unwritten_bytes: usize,
    /// Keys of elements that the last op changed, the first of them; kept only if asked for.
    pub(crate) changed_keys: Option<Vec<Vec<u8>>>,
}

/// Bytes of ops that wait for their signatures, after which they are written.
const MAX_UNWRITTEN_BYTES: usize = 8 << 20;
/// Keys of elements that are kept of an op.
pub(crate) const MAX_CHANGED_KEYS: usize = 16;

/// An op that was recorded.
pub(crate) struct Recorded {
    /// Where it is.
    pub(crate) place: Place,
    /// The hash of what it did.
    pub(crate) effect: EffectHash,
}

impl<'a, M: StateMachine> Recorder<'a, M> {
    pub(crate) fn new(
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
            unwritten_bytes: 0,
            changed_keys: None,
        }
    }

    /// Whether anything was recorded.
    pub(crate) fn has_recorded(&self) -> bool {
        self.recorded > 0
    }

    /// What is applied so far, in this transaction too.
    pub(crate) fn index(&self) -> Index<'_> {
        Index {
            tx: &*self.tx,
            tail: &self.state.tail,
            forks: self.state.forks,
        }
    }

    /// The same for a state machine, and the op that it is about to apply.
    pub(crate) fn past<'b>(&'b self, current: Option<&'b Op>) -> Past<'b> {
        Past {
            index: self.index(),
            hasher: &self.inner.hasher,
            stamps: &self.state.stamps,
            unwritten: &self.unwritten,
            current: current.map(|op| (self.state.ledger.applied, op)),
        }
    }

    /// An author's tip so far.
    pub(crate) fn tip(&mut self, author: &PubKey) -> Result<Option<OpRef>> {
        Ok(self.author(author)?.tip.map(|(op, _)| op))
    }

    fn author(&mut self, author: &PubKey) -> Result<AuthorState> {
        self.state.author(&*self.tx, author)
    }

    /// Where an op is, if it is applied. An op beyond its author's tip needs no look-up.
    pub(crate) fn place_of(&mut self, op: &OpRef) -> Result<Option<Place>> {
        match self.tip(&op.author)? {
            Some(tip) if op.seq <= tip.seq => self.index().place_of(op),
            _ => Ok(None),
        }
    }

    /// What the op's payload does to the state, before any of it is real. `reads` are rows of the
    /// state as it is now that have been read before.
    pub(crate) fn stage(&self, op: &Op, reads: &Reads) -> Result<(Effect, Writes)> {
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
    pub(crate) fn record(&mut self, op: &Op) -> Result<Recorded> {
        let (_, writes) = self.stage(op, &Reads::new())?;
        let recorded = self.bring_in(op, writes)?;
        write_op(self.tx, recorded.place, &recorded.effect, op)?;
        Ok(recorded)
    }

    /// Signs a local op that has been staged, and records it; gives its apply index.
    pub(crate) fn record_signed(
        &mut self,
        mut op: Op,
        writes: Writes,
        secret: &SecretKey,
    ) -> Result<u64> {
        let id = op.reference().id;
        let Recorded { place, effect } = self.bring_in(&op, writes)?;
        self.state.pending.note_appended(op.stamp());
        if !self.signs_last {
            op.set_signature(&secret.sign(&id));
            write_op(self.tx, place, &effect, &op)?;
            return Ok(place.index);
        }
        self.inner.signing.want(id);
        self.unwritten_bytes += op.bytes().len();
        self.unwritten.push((place, effect, op));
        if self.unwritten_bytes > MAX_UNWRITTEN_BYTES {
            self.write_signed()?;
        }
        Ok(place.index)
    }

    /// Writes the ops that waited for their signatures.
    pub(crate) fn write_signed(&mut self) -> Result<()> {
        let Some(secret) = &self.inner.identity else {
            return Ok(());
        };
        while self.inner.signing.make_one(secret) {}
        for (place, effect, mut op) in self.unwritten.drain(..) {
            let id = op.reference().id;
            op.set_signature(&self.inner.signing.signature(&id, secret));
            write_op(self.tx, place, &effect, &op)?;
        }
        self.unwritten_bytes = 0;
        Ok(())
    }

    /// Brings state and history up to date with an op that has been staged; all but the op's own rows.
    fn bring_in(&mut self, op: &Op, writes: Writes) -> Result<Recorded> {
        let changes = self.write_data(op, writes)?;
        self.state.ledger.state.change(&changes)?;
        self.inner.count_hashed(&changes);
        let branch = self.link_branch(op)?;
        self.move_frontier(op);
        let index = self.state.ledger.applied;
        let place = Place { index, branch };
        self.state.tail.push(op, place);
        self.state.ledger.applied += 1;
        self.state.ledger.clock = self.state.ledger.clock.max(op.hlc());
        self.recorded += 1;
        Ok(Recorded {
            place,
            effect: changes.effect(),
        })
    }

    /// Writes what the ops of this transaction changed together: heads, tips, counters and, when
    /// it is due, the index.
    pub(crate) fn finish(self) -> Result<()> {
        for (op, hlc) in &self.frontier {
            let key = SystemKey::Frontier(*op).to_bytes();
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

    /// Writes the rows of an op, one after another: of each, what it was is hashed and dropped before the
    /// next one is written, so memory does not grow with what an op removes.
    fn write_data(&mut self, op: &Op, writes: Writes) -> Result<ElementChanges> {
        let (machine, schema) = (&*self.inner.machine, self.inner.schema);
        let mut changes = ElementChanges::default();
        let mut keys = self.changed_keys.take();
        keys.iter_mut().for_each(Vec::clear);
        let mut keep = |key: &[u8]| {
            if let Some(keys) = keys.as_mut().filter(|keys| keys.len() < MAX_CHANGED_KEYS)
                && keys.last().is_none_or(|last| last != key)
            {
                keys.push(key.to_vec());
            }
        };
        let mut elements = changes.gather(&self.inner.element_hasher);
        for (key, after) in writes {
            let before = match &after {
                Some(value) => self.tx.replace(Table::Data, &key, value)?,
                None => self.tx.remove(Table::Data, &key)?,
            };
            let history = self.past(Some(op));
            if let Some(value) = &before {
                let row = Row { key: &key, value };
                machine.elements(schema, row, &history, &mut |key, value| {
                    keep(key);
                    elements.remove(key, value);
                })?;
            }
            if let Some(value) = &after {
                let row = Row { key: &key, value };
                machine.elements(schema, row, &history, &mut |key, value| {
                    keep(key);
                    elements.insert(key, value);
                })?;
            }
        }
        drop(elements);
        self.changed_keys = keys;
        Ok(changes)
    }

    /// Keeps the author's tip and branches. Gives the branch that the op is on.
    fn link_branch(&mut self, op: &Op) -> Result<BranchNo> {
        let reference = op.reference();
        let mut author = self.author(&reference.author)?;
        let branch = match author.tip {
            None => BranchNo::FIRST,
            Some((tip, branch)) if Some(tip) == op.prev() => {
                if author.branches > 0 {
                    self.extend(branch, &reference)?;
                }
                branch
            }
            Some((tip, _)) => self.leave_tip(op, &tip, &mut author)?,
        };
        // References of one author order by sequence number, then id: as tips do.
        let tip = author.tip.max(Some((reference, branch)));
        self.state
            .set_author(reference.author, AuthorState { tip, ..author });
        if let Some((tip, _)) = tip {
            self.tips.insert(tip.author, tip.id);
        }
        Ok(branch)
    }

    fn extend(&mut self, branch: BranchNo, op: &OpRef) -> Result<()> {
        let extended = Branch {
            end_seq: op.seq,
            end: op.id,
            ..Branch::read(&*self.tx, &op.author, branch)?
        };
        extended.write(self.tx, &op.author, branch)
    }

    /// Finds or begins the branch of an op that does not follow its author's tip: the author has forked.
    fn leave_tip(&mut self, op: &Op, tip: &OpRef, author: &mut AuthorState) -> Result<BranchNo> {
        let reference = op.reference();
        if author.branches == 0 {
            let only = Branch {
                first_seq: 0,
                end_seq: tip.seq,
                end: tip.id,
                parent: None,
            };
            only.write(self.tx, &tip.author, BranchNo::FIRST)?;
            self.state.forks = Forks::Some;
            author.branches = 1;
        }
        let mut parent = None;
        if let Some(prev) = op.prev() {
            // Its parents are applied; a replay reports those of a damaged history.
            let place = self.index().place_of(&prev)?;
            if let Some(Place { branch, .. }) = place {
                let found = Branch::read(&*self.tx, &prev.author, branch)?;
                if found.end_of(&prev.author) == prev {
                    self.extend(branch, &reference)?;
                    return Ok(branch);
                }
                parent = Some(branch);
            }
        }
        let branch = BranchNo(author.branches);
        let begun = Branch {
            first_seq: reference.seq,
            end_seq: reference.seq,
            end: reference.id,
            parent,
        };
        begun.write(self.tx, &reference.author, branch)?;
        author.branches += 1;
        Ok(branch)
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
