//! The engine: turns commands into signed ops, applies ops of others, and serves reads of the
//! state.

mod call;
pub mod carve;
pub(crate) mod commits;
pub(crate) mod contain;
pub(crate) mod counters;
pub mod ingest;
pub(crate) mod inner;
pub mod open;
pub mod read;
pub mod verify;
pub mod write;

pub use counters::Counters;
pub use read::forks::Fork;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lattice_meta::{Genesis, MetaInfo, PubKey, SchemaVersion, StateHash, StoreId};

use crate::backend::{
    Access, BackendError, FileError, JournalInfo, Result, StateBackend, read_meta,
};
use crate::engine::ingest::{Authors, IngestError, IngestReport};
use crate::engine::inner::{Hashed, Inner};
use crate::engine::open::{OpenError, OpenRequest, create_store};
use crate::engine::read::{
    ChangeFeed, Cursor, FeedError, HeldOps, InfoError, MethodError, OpsAfter, Snapshot, StoreState,
    exchange, forks,
};
use crate::engine::verify::{Depth, Verification};
use crate::engine::write::{AppendAllError, AppendError, CopyConfirmation, PeerSays, Receipt};
use crate::history::copied::Copied;
use crate::history::system::{Ledger, read_frontier};
use crate::history::{View, read_applied, read_op};
use crate::machine::{History, StateMachine, Value};
use crate::op::{ApplyIndex, BranchTips, Op, OpHasher, OpRef};
use crate::progress::ProgressSink;
use crate::state::EffectHash;

/// A running store. Clones are cheap and share the store.
pub struct Engine<M: StateMachine> {
    inner: Arc<Inner<M>>,
}

impl<M: StateMachine> Clone for Engine<M> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<M: StateMachine> fmt::Debug for Engine<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("store_id", &self.store_id())
            .field("store_type", self.inner.machine.logic().store_type())
            .field("path", &self.inner.path)
            .finish_non_exhaustive()
    }
}

impl<M: StateMachine> Engine<M> {
    /// Creates an empty store with the newest schema of its logic. The store is closed when this
    /// returns.
    ///
    /// # Errors
    /// [`FileError::Exists`] if the file exists, and what the backend reports. After an error, no
    /// new file is left.
    pub fn create(
        backend: &dyn StateBackend,
        path: &Path,
        genesis: &Genesis,
        machine: &M,
    ) -> Result<(), FileError> {
        let logic = machine.logic();
        let (schema, version) = (logic.newest_schema(), logic.version());
        create_store(backend, path, genesis, schema, version)
    }

    /// Opens a store. First opens the file for reading only, compares its `meta` table with its
    /// genesis, and checks the expected id, the type, the schema and the version of the logic. A
    /// file that is then opened for writing is checked again. Migrates an older layout, and replays
    /// the history if other logic computed the state, as the request says.
    ///
    /// # Errors
    /// See [`OpenError`]. A refusal leaves the store unchanged.
    pub fn open(request: OpenRequest, machine: M) -> Result<Self, OpenError> {
        let inner = Arc::new(open::open(request, machine)?);
        Ok(Self { inner })
    }

    /// The logic that interprets the store.
    pub fn machine(&self) -> &M {
        &self.inner.machine
    }

    /// The record that the store was created with.
    pub fn genesis(&self) -> &Genesis {
        &self.inner.genesis
    }

    /// The store's id.
    pub fn store_id(&self) -> StoreId {
        self.inner.hasher.store_id()
    }

    /// The layout of the state.
    pub fn schema_version(&self) -> SchemaVersion {
        self.inner.schema
    }

    /// The file that was opened.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Whether the store was opened for reading or also for writing.
    pub fn access(&self) -> Access {
        self.inner.db.access()
    }

    /// The author that this handle writes as, if it has an identity.
    pub fn author(&self) -> Option<PubKey> {
        self.inner
            .identity
            .as_ref()
            .map(|identity| identity.public())
    }

    /// Computes op ids of this store.
    pub fn hasher(&self) -> &OpHasher {
        &self.inner.hasher
    }

    /// A consistent view of the current state.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let tx = self.inner.snapshot()?;
        Ok(Snapshot::new(tx, self.inner.genesis_hash))
    }

    /// What the `meta` table says of the store, as peeking reports it.
    ///
    /// # Errors
    /// See [`InfoError`].
    pub fn info(&self) -> Result<MetaInfo, InfoError> {
        let tx = self.inner.db.snapshot()?;
        read_meta(&*tx).map_err(|fault| InfoError::Meta(fault.at(&self.inner.path)))
    }

    /// The hash of the whole state.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn state_hash(&self) -> Result<StateHash> {
        self.snapshot()?.state_hash()
    }

    /// What the store's journal holds that its file does not; `None` without a journal.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn journal(&self) -> Result<Option<JournalInfo>> {
        self.inner.db.journal()
    }

    /// The frontier: applied ops that no applied op names as parent, ascending.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn frontier(&self) -> Result<Vec<OpRef>> {
        let frontier = read_frontier(&*self.inner.db.snapshot()?)?;
        Ok(frontier.into_iter().map(|(op, _)| op).collect())
    }

    /// The number of applied ops.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn op_count(&self) -> Result<u64> {
        Ok(Ledger::read(&*self.inner.db.snapshot()?)?.applied)
    }

    /// The op with this apply index; `None` beyond the last one.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn op_at(&self, index: ApplyIndex) -> Result<Option<Op>> {
        read_op(&*self.inner.db.snapshot()?, &self.inner.hasher, index)
    }

    /// The effect of the op with this apply index; `None` beyond the last one.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn effect_at(&self, index: ApplyIndex) -> Result<Option<EffectHash>> {
        let applied = read_applied(&*self.inner.db.snapshot()?, &self.inner.hasher, index)?;
        Ok(applied.map(|applied| applied.effect))
    }

    /// Waits until more than `index` ops are applied, but at most for `timeout`. Returns the number
    /// of applied ops.
    ///
    /// # Errors
    /// What the backend reports; [`BackendError::Closed`] if the store is closed during the wait;
    /// [`BackendError::Replaced`] if another process restores or rebuilds it.
    pub fn wait_for_ops(&self, index: u64, timeout: Duration) -> Result<u64> {
        read::wait::wait_for_ops(self, index, timeout)
    }

    /// The tips of all authors' branches, and a few older ops of each branch. Another replica needs
    /// them to send the rest. Costs a few look-ups per branch, however long the history is.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn branch_tips(&self) -> Result<BranchTips> {
        exchange::tips(&*self.inner.db.snapshot()?, &self.inner.hasher)
    }

    /// An applied op; `None` if the op is not applied here.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn op(&self, op: &OpRef) -> Result<Option<Op>> {
        let tx = self.inner.db.snapshot()?;
        let history = View::new(&*tx, self.inner.hasher.clone());
        match history.index_of(op)? {
            Some(index) => read_op(&*tx, &self.inner.hasher, index),
            None => Ok(None),
        }
    }

    /// How many elements this handle has hashed for the ops that it applied, and the bytes of their
    /// keys and values.
    pub fn hashed(&self) -> (u64, u64) {
        let Hashed { elements, bytes } = &self.inner.hashed;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(elements), read(bytes))
    }

    /// What this handle and its clones have done since it was opened.
    ///
    /// ```
    /// # use lattice_backend::engine::{Counters, Engine};
    /// # use lattice_backend::machine::StateMachine;
    /// # fn show<M: StateMachine>(engines: &[Engine<M>]) {
    /// let sum = engines.iter().map(|engine| engine.counters());
    /// let sum = sum.fold(Counters::default(), |all, one| all + one);
    /// println!("{} commits, {} ops rejected", sum.commits, sum.ops_rejected);
    /// # }
    /// ```
    pub fn counters(&self) -> Counters {
        self.inner.counts.read()
    }

    /// The forks found so far, ordered by author and sequence number.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn forks(&self) -> Result<Vec<Fork>> {
        forks::forks(&*self.inner.db.snapshot()?, &self.inner.hasher)
    }

    /// The applied ops that a replica with these tips lacks, in causal order; see [`OpsAfter`]. Ops
    /// of `known` that are not applied here are ignored. For each branch this sends at most the ops
    /// that the other replica lacks plus as many ops as that replica is ahead.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn ops_after(&self, known: &BranchTips) -> Result<OpsAfter> {
        let Inner { db, hasher, .. } = &*self.inner;
        OpsAfter::new(db, &*db.snapshot()?, hasher, known)
    }

    /// The same, with the state of the same moment.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn ops_and_state(&self, known: &BranchTips) -> Result<(OpsAfter, StoreState)> {
        let snapshot = self.snapshot()?;
        let ops = OpsAfter::new(&self.inner.db, snapshot.tx(), &self.inner.hasher, known)?;
        Ok((ops, snapshot.state()?))
    }

    /// Calls a command or a query by name. A command returns its receipt as a record: `author`,
    /// `seq`, `op`, `apply_index`. The arguments have the limits of encoded values:
    /// [`MAX_VALUE_BYTES`](crate::machine::MAX_VALUE_BYTES),
    /// [`MAX_VALUES`](crate::machine::MAX_VALUES),
    /// [`MAX_VALUE_DEPTH`](crate::machine::MAX_VALUE_DEPTH).
    ///
    /// # Errors
    /// See [`MethodError`].
    pub fn call(&self, method: &str, args: Value) -> Result<Value, MethodError> {
        call::call(self, method, args)
    }

    /// Returns the command of a call by name, without appending it: a caller can join the commands
    /// of several calls.
    ///
    /// # Errors
    /// See [`MethodError`]; [`MethodError::NotACommand`] for a query or a stream.
    pub fn command(&self, method: &str, args: Value) -> Result<M::Command, MethodError> {
        call::command(self.machine(), method, args)
    }

    /// Turns a command into an op, applies it and returns its receipt. The op is durable when this
    /// returns. Concurrent callers share commits.
    ///
    /// # Errors
    /// See [`AppendError`]. After a failure of the storage other than
    /// [`BackendError::NotCommitted`] the handle returns [`BackendError::Unusable`] until the store
    /// is reopened: if the failed commit did reach the disk, another op with the same sequence
    /// number would fork this author.
    pub fn append(&self, command: M::Command) -> Result<Receipt, AppendError<M::Refusal>> {
        write::append(&self.inner, command)
    }

    /// Turns each command into an op, in one transaction: when this returns, all of them are
    /// applied and durable, or none of them. Returns the number of commands.
    ///
    /// Takes the commands one by one, keeping only one in memory. Each command sees what the
    /// earlier ones wrote. Other writers of this handle wait until this returns, so a source that
    /// waits for one of them deadlocks.
    ///
    /// # Errors
    /// The first error of the source, or of the first command that cannot be carried out; see
    /// [`AppendAllError`]. After an error, nothing has changed.
    pub fn append_all<E>(
        &self,
        commands: impl IntoIterator<Item = Result<M::Command, E>>,
    ) -> Result<u64, AppendAllError<M::Refusal, E>> {
        write::append_all(&self.inner, commands)
    }

    /// Whether the store is a copy that nothing has confirmed: some authors must not write to it.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn is_unconfirmed_copy(&self) -> Result<bool> {
        Ok(Copied::read(&*self.inner.db.snapshot()?)?.is_some())
    }

    /// Lets this handle's author write to an unconfirmed copy, on the caller's word that the author
    /// has written nothing that the copy lacks: removes the mark of the copy. Returns whether the
    /// author was kept from writing before.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn continue_copy(&self) -> Result<bool> {
        write::continue_copy(&self.inner)
    }

    /// The same on the word of a peer: if the peer has no op of this handle's author that this
    /// store lacks, removes the mark of the copy. The peer's word is as old as the tips or the
    /// bundle that it comes from.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn confirm_copy(&self, says: PeerSays<'_>) -> Result<CopyConfirmation> {
        write::confirm_copy(&self.inner, says)
    }

    /// Ingests ops of others, in any order, and reports the outcome of each. Ops whose parents are
    /// missing and ops dated ahead are pending: they stay in memory, within bounds, until an ingest
    /// brings the last missing parent or runs after their time has come. Closing the store drops
    /// them. Ingesting an op twice changes nothing. A bad op blocks only its causal successors.
    ///
    /// An op that the code of the store type cannot apply is [held](ingest::Outcome::Held), and so
    /// are the ops that follow it.
    ///
    /// # Errors
    /// The errors of the source and of the storage. What was applied before the error stays
    /// applied, and [`IngestError::Source`] carries the report of it.
    pub fn ingest<E>(
        &self,
        ops: impl IntoIterator<Item = Result<Vec<u8>, E>>,
        whose: &Authors,
    ) -> Result<IngestReport, IngestError<E>> {
        Ok(ingest::ingest(&self.inner, ops, whose, None)?.0)
    }

    /// The number of pending ops: those whose parents are missing, and those dated ahead.
    pub fn pending_ops(&self) -> usize {
        self.inner.writer().map_or(0, |state| state.pending.len())
    }

    /// The held ops, in causal order: those that the code of the store type could not apply, and
    /// those that follow one of them. Each is read from its own snapshot.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn held_ops(&self) -> Result<HeldOps> {
        HeldOps::new(Arc::clone(&self.inner.db), self.inner.hasher.clone())
    }

    /// Verifies the store; see [`Depth`] for how thoroughly. `backend` creates the scratch store in
    /// which the history is replayed. Concurrent writes do not disturb it.
    ///
    /// # Errors
    /// What the backend reports. A defect of the store is a finding, not an error.
    pub fn verify(
        &self,
        depth: Depth,
        backend: &dyn StateBackend,
        progress: &ProgressSink,
    ) -> Result<Verification> {
        verify::verify(&self.inner, depth, backend, progress)
    }

    /// Reads every op and compares the id that its bytes hash to with the index by author. For the
    /// last few ops, which are not indexed yet, it checks the signature instead. Takes about as
    /// long as copying the ops. [`verify`](Self::verify) also checks every signature.
    ///
    /// # Errors
    /// [`BackendError::Row`] for the first op that differs, and what the backend reports.
    pub fn check_ops(&self, progress: &ProgressSink) -> Result<()> {
        verify::check_ops(&self.inner, progress)
    }

    /// The events of all ops after a cursor, in the order of application, and then of every op
    /// applied later.
    ///
    /// # Errors
    /// [`FeedError::Rewound`] if the cursor does not belong to this history: the store was restored
    /// to an earlier state, or the cursor comes from another replica.
    pub fn changes<E>(
        &self,
        from: Cursor,
        events: impl Fn(&Op) -> Vec<(u32, E)> + Send + 'static,
    ) -> Result<ChangeFeed<M, E>, FeedError> {
        ChangeFeed::new(self.clone(), from, Box::new(events))
    }

    /// The cursor after the first `count` ops that were applied here, or after all ops if there are
    /// fewer.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn cursor_after(&self, count: u64) -> Result<Cursor> {
        read::cursor_after(self, count)
    }

    /// Returns unused space of the file to the file system, between two commits. Rewrites the
    /// tables so that their pages are full; during that time the file is up to twice as long, and
    /// readers and writers wait. If the process ends at any point, no data is lost.
    ///
    /// # Errors
    /// [`BackendError::SnapshotsLive`] while a snapshot lives, in this process or another;
    /// [`BackendError::ReadOnly`]; and what the backend reports, after which the handle is
    /// unusable.
    pub fn compact(&self, progress: &ProgressSink) -> Result<()> {
        self.inner.check_usable()?;
        let _between_commits = self.inner.writer()?;
        self.inner.db.compact(progress).inspect_err(|error| {
            let is_unchanged = matches!(
                error,
                BackendError::SnapshotsLive | BackendError::Closed | BackendError::InUse(_)
            );
            if !is_unchanged {
                self.inner.poison_after(error);
            }
        })
    }

    /// Whether the store is not closed, no failure has made the handle unusable, and no other file
    /// has replaced the store's.
    pub fn is_usable(&self) -> bool {
        let is_open = !self.inner.closed.load(Ordering::Acquire);
        is_open
            && self.inner.check_usable().is_ok()
            && self.inner.db.is_replaced().is_ok_and(|replaced| !replaced)
    }

    /// Whether this handle has clones.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.inner) > 1
    }

    /// Closes the store for every clone of the handle, and releases the file before it returns.
    /// Closing again does nothing.
    ///
    /// # Errors
    /// What the backend reports. The file is released even then.
    pub fn close(&self) -> Result<()> {
        self.inner.closed.store(true, Ordering::Release);
        let closed = self.inner.db.close();
        self.inner.commits.notify();
        closed.map_err(|error| self.inner.with_first(error))
    }
}
