//! What all clones of a handle share, and the frame of every write transaction.
//!
//! Lock order: `writer` before the locks of [`GroupCommit`] and of [`Signing`]. A thread notifies
//! `commits` after it has released `writer`, and does not write while it has `tips` locked.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use lattice_meta::{Genesis, GenesisHash, MetaKey, SchemaVersion};

use crate::backend::{BackendError, FirstFailure, ReadTx, Result, StateDb, Table, Transaction};
use crate::clock::Clock;
use crate::engine::commits::Commits;
use crate::engine::counters::Counts;
use crate::engine::read::replica::KeptTips;
use crate::engine::write::Answer;
use crate::engine::write::group_commit::GroupCommit;
use crate::engine::write::recorder::Recorder;
use crate::engine::write::signing::Signing;
use crate::engine::write::state::WriterState;
use crate::history::system::LOGIC;
use crate::machine::StateMachine;
use crate::op::{OpHasher, SecretKey};
use crate::state::{ElementChanges, ElementHasher};

pub(crate) struct Inner<M: StateMachine> {
    pub(crate) machine: Arc<M>,
    pub(crate) db: Arc<dyn StateDb>,
    pub(crate) path: PathBuf,
    pub(crate) genesis: Genesis,
    pub(crate) genesis_hash: GenesisHash,
    pub(crate) schema: SchemaVersion,
    pub(crate) hasher: OpHasher,
    pub(crate) element_hasher: ElementHasher,
    pub(crate) hashed: Hashed,
    pub(crate) counts: Counts,
    pub(crate) identity: Option<Arc<SecretKey>>,
    pub(crate) clock: Arc<dyn Clock>,
    /// The state of the single writer; `None` in a store opened for reading.
    writer: Option<Mutex<WriterState>>,
    /// A transaction was rolled back, and has left its changes in the writer's state. Read and set
    /// while `writer` is locked.
    is_stale: AtomicBool,
    pub(crate) group: GroupCommit<M::Command, Answer<M>>,
    pub(crate) signing: Signing,
    /// The first failure after which memory and disk may differ.
    unusable: OnceLock<FirstFailure>,
    pub(crate) closed: AtomicBool,
    /// The number of applied ops, as this handle last knew it.
    pub(crate) applied: AtomicU64,
    /// Wakes threads that wait for ops.
    pub(crate) commits: Arc<Commits>,
    /// The branch tips, once they have been asked for.
    pub(crate) tips: Mutex<Option<KeptTips>>,
    /// The last snapshot whose schema was checked. It is not kept: that is the backend's decision.
    checked: Mutex<Option<Weak<dyn ReadTx + Send + Sync>>>,
}

/// The elements and bytes that a handle has hashed for the state hash.
#[derive(Debug, Default)]
pub(crate) struct Hashed {
    pub(crate) elements: AtomicU64,
    pub(crate) bytes: AtomicU64,
}

/// The parts of a running store.
pub(crate) struct Parts<M> {
    pub(crate) machine: Arc<M>,
    pub(crate) db: Arc<dyn StateDb>,
    pub(crate) path: PathBuf,
    pub(crate) genesis: Genesis,
    pub(crate) schema: SchemaVersion,
    pub(crate) identity: Option<Arc<SecretKey>>,
    pub(crate) clock: Arc<dyn Clock>,
    /// The number of applied ops.
    pub(crate) applied: u64,
    /// The writer's state; `None` for a reader.
    pub(crate) writer: Option<WriterState>,
    /// Shared with the other handles of the store in this process.
    pub(crate) commits: Arc<Commits>,
}

/// The failure of a handle whose transaction panicked.
#[derive(Debug, thiserror::Error)]
#[error("a write to the store panicked")]
struct Panicked;

/// Why a transaction is rolled back.
pub(crate) enum Undo<E> {
    /// The caller's request is refused; the store and the handle are unchanged.
    Refused(E),
    /// The backend failed: the handle must not be used until the store is reopened.
    Backend(BackendError),
}

impl<E> From<BackendError> for Undo<E> {
    fn from(error: BackendError) -> Self {
        Self::Backend(error)
    }
}

impl<M: StateMachine> Inner<M> {
    pub(crate) fn new(parts: Parts<M>) -> Self {
        let genesis_hash = parts.genesis.hash();
        Self {
            machine: parts.machine,
            db: parts.db,
            path: parts.path,
            genesis: parts.genesis,
            genesis_hash,
            schema: parts.schema,
            hasher: OpHasher::new(&genesis_hash),
            element_hasher: ElementHasher::default(),
            hashed: Hashed::default(),
            counts: Counts::default(),
            identity: parts.identity,
            clock: parts.clock,
            writer: parts.writer.map(Mutex::new),
            is_stale: AtomicBool::new(false),
            group: GroupCommit::default(),
            signing: Signing::default(),
            unusable: OnceLock::new(),
            closed: AtomicBool::new(false),
            applied: AtomicU64::new(parts.applied),
            commits: parts.commits,
            tips: Mutex::default(),
            checked: Mutex::default(),
        }
    }

    /// The writer's state between two transactions. A poisoned lock says no more than `unusable`.
    pub(crate) fn writer(&self) -> Result<MutexGuard<'_, WriterState>> {
        let writer = self.writer.as_ref().ok_or(BackendError::ReadOnly)?;
        Ok(writer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn check_usable(&self) -> Result<()> {
        match self.unusable.get() {
            Some(first) => Err(BackendError::Unusable {
                first: Some(first.clone()),
            }),
            None => Ok(()),
        }
    }

    /// Makes the handle unusable. The first failure is kept, and later errors have it as their
    /// source.
    pub(crate) fn poison(&self, failure: &dyn Error) {
        self.unusable.get_or_init(|| {
            let (store, path) = (self.genesis.store_id(), self.path.display());
            tracing::error!(%store, %path, error = %failure, "the store must be opened again");
            FirstFailure::of(failure)
        });
    }

    /// Makes the handle unusable after a failure, unless nothing of it is on disk: the next
    /// transaction then reads the writer's state again.
    pub(crate) fn poison_after(&self, failure: &BackendError) {
        if !matches!(failure, BackendError::NotCommitted { .. }) {
            self.poison(failure);
        }
    }

    /// Adds the first failure to an error of the backend, which refuses a call after a failure and
    /// does not know the failure.
    pub(crate) fn with_first(&self, error: BackendError) -> BackendError {
        match error {
            BackendError::Unusable { first: None } => BackendError::Unusable {
                first: self.unusable.get().cloned(),
            },
            error => error,
        }
    }

    /// Runs `work` in one write transaction, which is durable when this returns. All writes of a
    /// handle go through here. After a failed commit the handle refuses further use: if that commit
    /// did reach the disk, another op with the same sequence number would fork the author.
    ///
    /// # Errors
    /// What `work` refuses: nothing is written, and the handle stays usable. What the backend
    /// reports: the handle is then [`BackendError::Unusable`], unless the transaction had not
    /// begun, or is known not to be on disk.
    pub(crate) fn transact<T, E: From<BackendError>>(
        &self,
        work: impl FnOnce(&mut Recorder<'_, M>) -> Result<T, Undo<E>>,
    ) -> Result<T, E> {
        self.transact_then(work, || ())
    }

    /// The same. Calls `committed` once the next transaction can begin, while this one becomes
    /// durable.
    pub(crate) fn transact_then<T, E: From<BackendError>>(
        &self,
        work: impl FnOnce(&mut Recorder<'_, M>) -> Result<T, Undo<E>>,
        committed: impl FnOnce(),
    ) -> Result<T, E> {
        let mut state = self.writer()?;
        self.check_usable()?;
        let mut tx = self.contain(|| self.begin(&mut state))?;
        let before = state.ledger.applied;
        let worked = self.contain(|| {
            let mut recorder = Recorder::new(self, &mut *tx, &mut state);
            let value = work(&mut recorder)?;
            let has_changes = recorder.has_changes();
            if has_changes {
                recorder.finish()?;
            }
            Ok((value, has_changes))
        });
        self.signing.close();
        let (value, ticket) = match worked {
            Ok((value, false)) => (value, None),
            Ok((value, true)) => {
                let ticket = tx.commit().inspect_err(|error| self.poison_after(error))?;
                (value, Some(ticket))
            }
            Err(Undo::Refused(error)) => {
                self.is_stale.store(true, Ordering::Relaxed);
                return Err(error);
            }
            Err(Undo::Backend(error)) => {
                self.poison_after(&error);
                return Err(error.into());
            }
        };
        let applied = state.ledger.applied;
        drop(state);
        if let Some(ticket) = ticket {
            committed();
            // Transactions that have begun since fail as well: they follow this one.
            ticket
                .wait()
                .inspect_err(|error| self.poison_after(error))?;
            self.counts.commit(applied - before);
            // A later transaction may have come first.
            self.applied.fetch_max(applied, Ordering::Relaxed);
            self.commits.notify();
        }
        Ok(value)
    }

    /// Makes the handle unusable if `call` panics.
    fn contain<T>(&self, call: impl FnOnce() -> T) -> T {
        catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
            self.signing.close();
            self.poison(&Panicked);
            resume_unwind(panic)
        })
    }

    /// Begins a transaction, and reads the writer's state again if another process has written, or
    /// if the last transaction was rolled back.
    ///
    /// # Errors
    /// What the backend reports. The handle stays usable if it was not its turn, or if the turn
    /// could not be had: nothing has begun then. It is unusable if the file was replaced or is
    /// damaged, or other code is recorded.
    fn begin(&self, state: &mut WriterState) -> Result<Box<dyn Transaction + '_>> {
        let unusable = |error| {
            let error = self.with_first(error);
            self.poison(&error);
            error
        };
        let tx = self.db.begin_write().map_err(|error| match error {
            error @ (BackendError::Closed
            | BackendError::ReadOnly
            | BackendError::InUse(_)
            | BackendError::NotCommitted { .. }
            | BackendError::Storage { .. }) => error,
            error => unusable(error),
        })?;
        if tx.follows_others() {
            self.follow(&*tx, state).map_err(unusable)?;
        } else if self.is_stale.load(Ordering::Relaxed) {
            state.reload(&*tx, &self.hasher).map_err(unusable)?;
        }
        self.is_stale.store(false, Ordering::Relaxed);
        Ok(tx)
    }

    /// Reads what this handle remembers again.
    fn follow(&self, tx: &dyn Transaction, state: &mut WriterState) -> Result<()> {
        self.check_schema(tx)?;
        let row = tx.get(Table::System, LOGIC)?;
        let found = row.map(|row| row.escape_ascii().to_string());
        let missing = || BackendError::row(Table::System, "the version of the logic", "none");
        let found = found.ok_or_else(missing)?;
        if !self.machine.logic().computes_as(&found) {
            return Err(BackendError::LogicChanged { found });
        }
        state.reload(tx, &self.hasher)?;
        state.pending.note_others();
        Ok(())
    }

    /// A snapshot of the store. Backends return the same one until there is a new commit; it is
    /// checked once.
    pub(crate) fn snapshot(&self) -> Result<Arc<dyn ReadTx + Send + Sync>> {
        self.check_usable()?;
        let tx = self.db.snapshot()?;
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        let is_checked = checked
            .as_ref()
            .and_then(Weak::upgrade)
            .is_some_and(|checked| Arc::ptr_eq(&checked, &tx));
        if !is_checked {
            self.check_schema(&*tx)?;
            *checked = Some(Arc::downgrade(&tx));
        }
        Ok(tx)
    }

    /// Fails if another process has migrated the store since this handle opened it for reading: the
    /// handle does not know the new rows.
    pub(crate) fn check_schema(&self, tx: &dyn ReadTx) -> Result<()> {
        let row = tx.get(Table::Meta, &MetaKey::SchemaVersion.to_bytes())?;
        let opened = self.schema;
        match row.as_deref().and_then(|row| row.try_into().ok()) {
            Some(row) if row == opened.get().to_le_bytes() => Ok(()),
            Some(row) => Err(BackendError::SchemaChanged {
                opened,
                found: SchemaVersion::new(u64::from_le_bytes(row)),
            }),
            None => {
                let found = format!("{row:?}");
                Err(BackendError::row(Table::Meta, "a schema version", found))
            }
        }
    }

    pub(crate) fn count_hashed(&self, changes: &ElementChanges) {
        let (elements, bytes) = changes.hashed();
        self.hashed.elements.fetch_add(elements, Ordering::Relaxed);
        self.hashed.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}
