//! The engine: turns commands into signed ops, applies ops of others, and answers for the state.

pub mod ingest;
pub mod open;
pub mod read;
pub mod verify;
pub mod write;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lattice_meta::{
    Genesis, GenesisHash, MetaInfo, MetaKey, PubKey, SchemaVersion, StateHash, StoreId,
};

use crate::backend::{Access, BackendError, ReadTx, Result, StateDb, Table, read_meta};
use crate::clock::Clock;
use crate::history::system::{Ledger, read_frontier};
use crate::history::{View, read_applied, read_op};
use crate::machine::{Args, CallError, History, MethodKind, StateMachine, Value};
use crate::op::{BranchTips, Op, OpHasher, OpRef, SecretKey};
use crate::state::{EffectHash, ElementChanges, ElementHasher};

use crate::engine::read::{InfoError, MethodError, OpsAfter, Snapshot, exchange};
use crate::engine::write::group_commit::Group;
use crate::engine::write::signing::Signing;
use crate::engine::write::state::WriterState;
use crate::engine::write::{Done, Job};

/// A fork: an author made several ops that follow one op, as after writing to a restored backup. All
/// of them are applied; the signed ops ([`Engine::op`]) are the evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fork {
    /// The author.
    pub author: PubKey,
    /// The sequence number at which branches begin.
    pub seq: u64,
    /// The ops that begin a branch there, and those on the branches that they left; ascending by id.
    pub ops: Vec<OpRef>,
}

/// A running store. Clones are cheap and are the same store.
pub struct Engine<M: StateMachine> {
    inner: Arc<Inner<M>>,
}

pub(crate) struct Inner<M: StateMachine> {
    machine: Arc<M>,
    db: Arc<dyn StateDb>,
    path: PathBuf,
    genesis: Genesis,
    genesis_hash: GenesisHash,
    schema: SchemaVersion,
    hasher: OpHasher,
    element_hasher: ElementHasher,
    hashed: Hashed,
    identity: Option<Arc<SecretKey>>,
    clock: Arc<dyn Clock>,
    /// What the single writer knows; nothing in a store opened for reading.
    writer: Option<Mutex<WriterState>>,
    group: Group<Job<M>, Done<M>>,
    signing: Signing,
    /// Set by the first failure after which memory and disk may differ.
    unusable: AtomicBool,
    closed: AtomicBool,
    progress: Progress,
}

/// What a handle has hashed for the state hash.
#[derive(Debug, Default)]
struct Hashed {
    elements: AtomicU64,
    bytes: AtomicU64,
}

/// Ops applied, for those who wait for more.
struct Progress {
    applied: Mutex<u64>,
    changed: Condvar,
}

/// How often a waiter looks at a store that another process may write.
const FOREIGN_POLL: Duration = Duration::from_millis(50);

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
            .field("store_type", self.inner.machine.store_type())
            .field("path", &self.inner.path)
            .finish_non_exhaustive()
    }
}

impl<M: StateMachine> Engine<M> {
    /// The logic that interprets the store.
    pub fn machine(&self) -> &M {
        &self.inner.machine
    }

    /// The record that the store began with.
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

    /// What the store was opened for.
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

    /// A consistent view of the state as it is now.
    ///
    /// # Errors
    /// What the engine underneath reports.
    pub fn snapshot(&self) -> Result<Snapshot> {
        self.inner.check_usable()?;
        let tx = self.inner.db.snapshot()?;
        self.inner.check_schema(&*tx)?;
        Ok(Snapshot::new(tx, self.inner.genesis_hash))
    }

    /// What peek would say.
    ///
    /// # Errors
    /// See [`InfoError`].
    pub fn info(&self) -> Result<MetaInfo, InfoError> {
        let tx = self.inner.db.snapshot()?;
        read_meta(&*tx, &self.inner.path).map_err(InfoError::Meta)
    }

    /// The hash of the whole state.
    ///
    /// # Errors
    /// What the engine underneath reports.
    pub fn state_hash(&self) -> Result<StateHash> {
        self.snapshot()?.state_hash()
    }

    /// The heads of history, ascending.
    ///
    /// # Errors
    /// What the engine underneath reports.
    pub fn frontier(&self) -> Result<Vec<OpRef>> {
        let heads = read_frontier(&*self.inner.db.snapshot()?)?;
        Ok(heads.into_iter().map(|(op, _)| op).collect())
    }

    /// How many ops have been applied.
    ///
    /// # Errors
    /// What the engine underneath reports.
    pub fn op_count(&self) -> Result<u64> {
        Ok(Ledger::read(&*self.inner.db.snapshot()?)?.applied)
    }

    /// The op that was applied as the `index`-th here, from 0; nothing beyond the last.
    ///
    /// # Errors
    /// What the engine underneath reports.
    pub fn op_at(&self, index: u64) -> Result<Option<Op>> {
        read_op(&*self.inner.db.snapshot()?, &self.inner.hasher, index)
    }

    /// The effect of the op that was applied as the `index`-th here.
    ///
    /// # Errors
    /// What the engine underneath reports.
    pub fn effect_at(&self, index: u64) -> Result<Option<EffectHash>> {
        let applied = read_applied(&*self.inner.db.snapshot()?, &self.inner.hasher, index)?;
        Ok(applied.map(|applied| applied.effect))
    }

    /// Waits until more than `index` ops are applied, `timeout` at the most; gives how many are.
    ///
    /// # Errors
    /// What the engine underneath reports; [`BackendError::Closed`] when the store is closed
    /// meanwhile, and [`BackendError::Replaced`] when another process restores or rebuilds it.
    pub fn wait_for_ops(&self, index: u64, timeout: Duration) -> Result<u64> {
        // Nothing for a timeout beyond what the clock can show: it is never reached.
        let deadline = Instant::now().checked_add(timeout);
        loop {
            let applied = self.op_count()?;
            let left = deadline.map_or(Duration::MAX, |deadline| {
                deadline.saturating_duration_since(Instant::now())
            });
            if applied > index || left.is_zero() {
                return Ok(applied);
            }
            // Nobody can replace what is open for writing here.
            if self.inner.writer.is_none() && self.inner.db.is_replaced()? {
                return Err(BackendError::Replaced);
            }
            let progress = &self.inner.progress;
            let seen = progress
                .applied
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            // An op that was applied since the count was read has notified nobody yet.
            if *seen <= applied {
                let pause = left.min(FOREIGN_POLL);
                drop(progress.changed.wait_timeout(seen, pause));
            }
        }
    }

    /// The ends of all authors' branches, and a few older ops of each: what another replica needs to
    /// know to send the rest. Costs a few look-ups a branch, however long the history.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn branch_tips(&self) -> Result<BranchTips> {
        exchange::tips(&*self.inner.db.snapshot()?, &self.inner.hasher)
    }

    /// An applied op.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn op(&self, op: &OpRef) -> Result<Option<Op>> {
        let tx = self.inner.db.snapshot()?;
        let history = View::new(&*tx, self.inner.hasher.clone());
        match history.number(op)? {
            Some(index) => read_op(&*tx, &self.inner.hasher, index),
            None => Ok(None),
        }
    }

    /// How many elements this handle has hashed for ops that it applied, and the bytes of their keys
    /// and values.
    pub fn hashed(&self) -> (u64, u64) {
        let Hashed { elements, bytes } = &self.inner.hashed;
        (
            elements.load(Ordering::Relaxed),
            bytes.load(Ordering::Relaxed),
        )
    }

    /// The forks found so far, by author and sequence number.
    ///
    /// # Errors
    /// What the engine underneath reports.
    pub fn forks(&self) -> Result<Vec<Fork>> {
        exchange::forks(&*self.inner.db.snapshot()?, &self.inner.hasher)
    }

    /// The ops applied now that a replica which has these does not have, in causal order; see
    /// [`OpsAfter`]. Ops of `known` that are not applied here are ignored: of each branch at most what
    /// the other replica lacks is sent, and as many ops as it is ahead.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn ops_after(&self, known: &BranchTips) -> Result<OpsAfter> {
        let db = Arc::clone(&self.inner.db);
        OpsAfter::new(db, self.inner.hasher.clone(), known)
    }

    /// Calls a command or a query by name. A command gives the record of its receipt: `author`,
    /// `seq`, `op`, `index`.
    ///
    /// # Errors
    /// See [`MethodError`].
    pub fn call(&self, method: &str, args: Value) -> Result<Value, MethodError> {
        let machine = &self.inner.machine;
        let Some(found) = machine.methods().iter().find(|known| known.name == method) else {
            return Err(MethodError::Call(CallError::UnknownMethod {
                store_type: machine.store_type().clone(),
                method: method.chars().take(80).collect(),
                known: machine.methods().iter().map(|known| known.name).collect(),
            }));
        };
        let args = Args::new(found, args)?;
        match found.kind {
            MethodKind::Query => {
                let snapshot = self.snapshot()?;
                Ok(machine.query(args, &snapshot, &snapshot.history())??)
            }
            MethodKind::Command => {
                let receipt = self.append(machine.command(args)?)?;
                Ok(Value::record([
                    ("author", Value::Text(receipt.op.author.to_string())),
                    ("seq", receipt.op.seq.into()),
                    ("op", Value::Text(receipt.op.id.to_string())),
                    ("index", receipt.index.into()),
                ]))
            }
            MethodKind::Stream => Err(MethodError::Stream { method: found.name }),
        }
    }

    /// Gives the space that the file no longer uses back to the file system, between two commits. Tables are
    /// written anew, so that their pages are full; meanwhile the file is up to twice as long. Whoever
    /// reads or writes meanwhile waits. Whenever the process ends, everything is there.
    ///
    /// # Errors
    /// [`BackendError::SnapshotsLive`] while a snapshot lives, here or in another process;
    /// [`BackendError::ReadOnly`]; and what the engine underneath reports, after which the handle is
    /// unusable.
    pub fn compact(&self) -> Result<()> {
        self.inner.check_usable()?;
        let writer = self.inner.writer.as_ref().ok_or(BackendError::ReadOnly)?;
        // Poison tells what `unusable` tells already.
        let _between_commits = writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.inner.db.compact().inspect_err(|error| {
            if !matches!(error, BackendError::SnapshotsLive | BackendError::Closed) {
                self.inner.unusable.store(true, Ordering::Release);
            }
        })
    }

    /// Whether the store has not been closed, and no failure has made the handle unusable.
    pub fn is_usable(&self) -> bool {
        !self.inner.closed.load(Ordering::Acquire) && self.inner.check_usable().is_ok()
    }

    /// Whether there are clones of this handle.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.inner) > 1
    }

    /// Closes the store, for every clone of the handle: the file is released before this returns.
    /// Closing again does nothing.
    ///
    /// # Errors
    /// What the engine underneath reports; the file is released all the same.
    pub fn close(&self) -> Result<()> {
        self.inner.closed.store(true, Ordering::Release);
        let closed = self.inner.db.close();
        self.inner.progress.changed.notify_all();
        closed
    }
}

impl<M: StateMachine> Inner<M> {
    fn check_usable(&self) -> Result<()> {
        if self.unusable.load(Ordering::Acquire) {
            Err(BackendError::Unusable)
        } else {
            Ok(())
        }
    }

    /// A store that is open for reading only can be migrated by the process that writes it: its rows
    /// are then none that this handle knows.
    fn check_schema(&self, tx: &dyn ReadTx) -> Result<()> {
        if self.db.access() == Access::ReadWrite {
            return Ok(());
        }
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

    fn count_hashed(&self, changes: &ElementChanges) {
        let (elements, bytes) = changes.hashed();
        self.hashed.elements.fetch_add(elements, Ordering::Relaxed);
        self.hashed.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn announce(&self, applied: u64) {
        *self
            .progress
            .applied
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = applied;
        self.progress.changed.notify_all();
    }
}
