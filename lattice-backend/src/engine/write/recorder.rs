//! Records one op: its effect on the state, and its position in history.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map;

use lattice_meta::{Hlc, MetaKey, OpId, PubKey};

use crate::backend::{BackendError, ReadTx, Result, Row, RowCursor, Table, WriteTx};
use crate::engine::Inner;
use crate::engine::contain::{Decoded, contain};
use crate::engine::write::state::WriterState;
use crate::history::held::{HeldOp, HeldReason};
use crate::history::system::SystemKey;
use crate::history::{AuthorState, Branch, BranchNo, Forks, Index, Past, Place, write_op};
use crate::machine::{Limits, StateMachine};
use crate::op::{ApplyIndex, Op, OpRef, SecretKey};
use crate::state::data_table::DataTable;
use crate::state::reads::Reads;
use crate::state::staging::{Writes, Written};
use crate::state::{CountedHistory, EffectHash, Gathered, Staged};

/// Records ops in one transaction. [`Recorder::finish`] writes what they changed together.
pub(crate) struct Recorder<'a, M: StateMachine> {
    pub(crate) inner: &'a Inner<M>,
    pub(crate) tx: &'a mut dyn WriteTx,
    pub(crate) state: &'a mut WriterState,
    has_changes: bool,
    /// Ops that joined the frontier, with their timestamps, and ops that left it.
    frontier: BTreeMap<OpRef, Option<Hlc>>,
    tips: BTreeMap<PubKey, OpId>,
    /// Local ops that are not signed yet, ascending by apply index.
    unsigned: Vec<(Place, EffectHash, Op)>,
    unsigned_bytes: usize,
    /// The first keys of elements that the last op changed, if the caller asked for them.
    pub(crate) changed_keys: Option<Vec<Vec<u8>>>,
}

/// Once unsigned ops exceed this many bytes, they are signed and written.
const MAX_UNSIGNED_BYTES: usize = 8 << 20;
/// The most element keys that are kept for one op.
pub(crate) const MAX_CHANGED_KEYS: usize = 16;

/// The changes that an op makes to the state, none of them written yet.
pub(crate) struct StagedOp {
    writes: Writes,
    changes: Gathered,
}

/// A recorded op.
pub(crate) struct Recorded {
    /// Its position.
    pub(crate) place: Place,
    /// The hash of its changes.
    pub(crate) effect: EffectHash,
}

impl<'a, M: StateMachine> Recorder<'a, M> {
    pub(crate) fn new(
        inner: &'a Inner<M>,
        tx: &'a mut dyn WriteTx,
        state: &'a mut WriterState,
    ) -> Self {
        Self {
            inner,
            tx,
            state,
            has_changes: false,
            frontier: BTreeMap::new(),
            tips: BTreeMap::new(),
            unsigned: Vec::new(),
            unsigned_bytes: 0,
            changed_keys: None,
        }
    }

    /// Whether there is anything to commit.
    pub(crate) fn has_changes(&self) -> bool {
        self.has_changes
    }

    /// Makes the transaction commit: rows were written without the recorder.
    pub(crate) fn note_change(&mut self) {
        self.has_changes = true;
    }

    /// The ops applied so far, including those of this transaction.
    pub(crate) fn index(&self) -> Index<'_> {
        Index {
            tx: &*self.tx,
            tail: &self.state.tail,
            forks: self.state.forks,
        }
    }

    /// The same for a state machine, with the op that it is about to apply.
    pub(crate) fn past<'b>(&'b self, current: Option<&'b Op>) -> Past<'b> {
        Past {
            index: self.index(),
            hasher: &self.inner.hasher,
            stamps: &self.state.stamps,
            unwritten: &self.unsigned,
            current: current.map(|op| (self.next_index(), op)),
        }
    }

    fn next_index(&self) -> ApplyIndex {
        ApplyIndex::new(self.state.ledger.applied)
    }

    /// An author's tip so far.
    pub(crate) fn tip(&mut self, author: &PubKey) -> Result<Option<OpRef>> {
        Ok(self.author(author)?.tip.map(|(op, _)| op))
    }

    fn author(&mut self, author: &PubKey) -> Result<AuthorState> {
        self.state.author(&*self.tx, author)
    }

    /// The position of an op, if it is applied. An op beyond its author's tip needs no look-up.
    pub(crate) fn place_of(&mut self, op: &OpRef) -> Result<Option<Place>> {
        match self.tip(&op.author)? {
            Some(tip) if op.seq <= tip.seq => self.index().place_of(op),
            _ => Ok(None),
        }
    }

    /// The timestamp of an op, if it is held.
    pub(crate) fn held(&self, op: &OpRef) -> Result<Option<Hlc>> {
        self.state.held.hlc_of(&*self.tx, op)
    }

    /// Computes what an op changes in the state. It writes nothing, so a fault of the store type's
    /// code leaves the transaction unchanged. `reads` holds rows already read for the op.
    ///
    /// # Errors
    /// [`BackendError::Fault`] if the code of the store type failed.
    pub(crate) fn stage(
        &mut self,
        op: &Op,
        decoded: Decoded<M::Payload<'_>>,
        reads: Reads,
    ) -> Result<StagedOp> {
        let payload = match decoded {
            Decoded::Valid(payload) => Some(payload),
            Decoded::Nothing => None,
            Decoded::Failed(fault) => return Err(BackendError::Fault(fault)),
        };
        let mut keys = self.changed_keys.take();
        keys.iter_mut().for_each(Vec::clear);
        let staged = self.stage_payload(op, payload, reads, &mut keys);
        self.changed_keys = keys;
        staged
    }

    fn stage_payload(
        &self,
        op: &Op,
        payload: Option<M::Payload<'_>>,
        reads: Reads,
        keys: &mut Option<Vec<Vec<u8>>>,
    ) -> Result<StagedOp> {
        let machine = &*self.inner.machine;
        let limits = Limits::new(op.payload().len());
        let past = self.past(Some(op));
        let history = CountedHistory::new(&past, &limits);
        let table = DataTable(&*self.tx);
        let mut staged = Staged::after(reads, &table, &limits);
        let view = op.view(self.next_index());
        contain(|| machine.run(op.kind(), &view, payload, &mut staged, &history))?;
        let mut writes = staged.into_writes();
        let sides = RefCell::default();
        let mut rows = ChangedRows {
            tx: &*self.tx,
            writes: writes.iter_mut(),
            replacement: None,
            before: None,
            sides: &sides,
        };
        let mut elements = self.inner.element_hasher.gather();
        let mut each = |row: usize, key: &[u8], value: &[u8]| {
            keep_key(keys, key);
            match sides.borrow()[row] {
                Side::Before => elements.remove(key, value),
                Side::After => elements.insert(key, value),
            }
        };
        contain(|| machine.elements_of(self.inner.schema, &mut rows, &history, &mut each))?;
        let changes = elements.end();
        Ok(StagedOp { writes, changes })
    }

    /// Records a staged op. Its parents must be applied, and its timestamp must exceed theirs.
    pub(crate) fn record(&mut self, op: &Op, staged: StagedOp) -> Result<Recorded> {
        let recorded = self.advance(op, staged)?;
        write_op(self.tx, recorded.place, &recorded.effect, op)?;
        Ok(recorded)
    }

    /// Records a staged local op that is not signed yet, and returns its apply index. The op is
    /// signed and written before the transaction ends.
    pub(crate) fn record_unsigned(&mut self, op: Op, staged: StagedOp) -> Result<ApplyIndex> {
        let Recorded { place, effect } = self.advance(&op, staged)?;
        self.state.pending.note_appended(op.stamp());
        self.inner.signing.want(op.reference().id);
        self.unsigned_bytes += op.bytes().len();
        self.unsigned.push((place, effect, op));
        if self.unsigned_bytes > MAX_UNSIGNED_BYTES {
            self.sign_all()?;
        }
        Ok(place.index)
    }

    /// Signs the unsigned ops and writes them.
    pub(crate) fn sign_all(&mut self) -> Result<()> {
        let Some(secret) = &self.inner.identity else {
            return Ok(());
        };
        while self.sign_one(secret) {}
        for (place, effect, mut op) in self.unsigned.drain(..) {
            let id = op.reference().id;
            op.set_signature(&self.inner.signing.signature(&id, secret));
            write_op(self.tx, place, &effect, &op)?;
        }
        self.unsigned_bytes = 0;
        Ok(())
    }

    /// Signs one queued op. Returns whether there was one.
    pub(crate) fn sign_one(&self, secret: &SecretKey) -> bool {
        self.inner.signing.make_one(secret)
    }

    /// Holds an op that cannot be applied. Returns its number.
    pub(crate) fn hold(&mut self, op: Op, reason: HeldReason) -> Result<u64> {
        let logic = self.inner.machine.logic().version().as_str().to_owned();
        let held = HeldOp { op, logic, reason };
        let number = self.state.held.next();
        self.state.held.push(self.tx, &held)?;
        self.has_changes = true;
        Ok(number)
    }

    /// Updates state and history for a staged op, except for the op's own rows.
    fn advance(&mut self, op: &Op, staged: StagedOp) -> Result<Recorded> {
        let StagedOp { writes, changes } = staged;
        for (key, written) in &writes {
            match &written.after {
                Some(value) => self.tx.put(Table::Data, key, value)?,
                None => drop(self.tx.remove(Table::Data, key)?),
            }
        }
        // While another thread hashes elements, this one has written the rows.
        let changes = changes.sum();
        self.state.ledger.state.change(&changes)?;
        self.inner.count_hashed(&changes);
        let branch = self.link_branch(op)?;
        self.move_frontier(op);
        let index = self.next_index();
        let place = Place { index, branch };
        self.state.tail.push(op, place);
        self.state.ledger.applied += 1;
        self.state.ledger.clock = self.state.ledger.clock.max(op.hlc());
        self.has_changes = true;
        Ok(Recorded {
            place,
            effect: changes.effect(),
        })
    }

    /// Signs the unsigned ops and writes what the ops of this transaction changed together:
    /// frontier, tips, counters and, when it is due, the index.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.sign_all()?;
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

    /// Indexes by author the ops that are not indexed yet.
    pub(crate) fn index_all(&mut self) -> Result<()> {
        if self.state.ledger.indexed < self.state.ledger.applied {
            self.state.tail.index(self.tx)?;
            self.state.ledger.indexed = self.state.ledger.applied;
            self.has_changes = true;
        }
        Ok(())
    }

    /// Updates the author's tip and branches. Returns the op's branch.
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
        // References of one author order by sequence number, then by id, as tips do.
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

    /// Extends or starts the branch of an op that does not follow its author's tip: the author has
    /// forked.
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
            // The op's parents are applied; for a damaged history, the replay reports missing ones.
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
            // An op that joined the frontier in this transaction is in no table yet.
            if self.frontier.remove(&parent).is_none() {
                self.frontier.insert(parent, None);
            }
        }
        self.state.frontier.insert(op.reference(), op.hlc());
        self.frontier.insert(op.reference(), Some(op.hlc()));
    }
}

/// Whether a row shows the state before the op or after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

/// The rows that an op changes, each before and after the op. The old value of a row is dropped
/// before the next row is read, so memory does not grow with the rows that an op removes.
struct ChangedRows<'a> {
    tx: &'a dyn ReadTx,
    writes: btree_map::IterMut<'a, Vec<u8>, Written>,
    /// The row that replaces the one returned last.
    replacement: Option<Row<'a>>,
    before: Option<Vec<u8>>,
    /// The side of each row returned so far.
    sides: &'a RefCell<Vec<Side>>,
}

impl ChangedRows<'_> {
    fn note(&self, side: Side) {
        self.sides.borrow_mut().push(side);
    }
}

impl RowCursor for ChangedRows<'_> {
    fn next(&mut self) -> Result<Option<Row<'_>>> {
        if let Some(row) = self.replacement.take() {
            self.note(Side::After);
            return Ok(Some(row));
        }
        let (key, after) = loop {
            let Some((key, written)) = self.writes.next() else {
                return Ok(None);
            };
            self.before = match written.before.take() {
                Some(known) => known,
                None => self.tx.get(Table::Data, key)?,
            };
            if self.before.is_some() || written.after.is_some() {
                break (key, &written.after);
            }
        };
        let before = self.before.as_ref().map(|value| Row { key, value });
        let after = after.as_ref().map(|value| Row { key, value });
        Ok(match before {
            Some(row) => {
                self.note(Side::Before);
                self.replacement = after;
                Some(row)
            }
            None => {
                self.note(Side::After);
                after
            }
        })
    }
}

/// Keeps the first keys of elements that an op changes, without adjacent duplicates.
fn keep_key(keys: &mut Option<Vec<Vec<u8>>>, key: &[u8]) {
    if let Some(keys) = keys.as_mut().filter(|keys| keys.len() < MAX_CHANGED_KEYS)
        && keys.last().is_none_or(|last| last != key)
    {
        keys.push(key.to_vec());
    }
}
