//! Opens `state.db` files and provides transactions over them.

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lattice_meta::MetaInfo;

use crate::backend::{
    BackendError, FileError, Integrity, PeekError, RawRows, ReadTx, Result, Transaction, WriteTx,
};
use crate::progress::ProgressSink;

/// What an open store may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Access {
    /// Reading: takes no writer lock and writes nothing.
    ReadOnly,
    /// Reading and writing.
    ReadWrite,
}

/// How processes share a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Sharing {
    /// Processes take turns at writing, and all may read the live store.
    #[default]
    SingleWriter,
    /// One process has exclusive use of the store; its commits are about a fifth faster.
    Exclusive,
}

/// Whether commits go through a journal, over a backend that has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Journal {
    /// Bursts of commits do.
    #[default]
    On,
    /// None do. A journal that is there is folded before the first commit.
    Off,
    /// None do. Of a journal that is damaged, what comes before the damage is folded, and its files
    /// get other names. A journal that is missing is given up: its transactions are lost. A reader
    /// sees what a writer would fold, and changes nothing.
    Salvage,
}

/// How a store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenOptions {
    /// The allowed access.
    pub access: Access,
    /// How processes share the store.
    pub sharing: Sharing,
    /// The backend's cache limit, in bytes.
    pub cache_bytes: usize,
    /// How long a writer waits for its turn while another process writes.
    pub wait: Duration,
    /// The name of long work, such as `rebuild`, for which the store is opened for writing. The
    /// handle then has the turn until it is closed, and processes that wait in vain report the
    /// name. Without a name a handle has the turn only while it writes.
    pub work: Option<&'static str>,
    /// Whether commits go through a journal. Those of long work never do.
    pub journal: Journal,
}

impl OpenOptions {
    /// The default cache limit: 16 MiB.
    pub const DEFAULT_CACHE_BYTES: usize = 16 << 20;

    /// The default limit of a wait for the turn: 10 seconds.
    pub const DEFAULT_WAIT: Duration = Duration::from_secs(10);

    /// For reading only.
    pub const fn read_only() -> Self {
        Self {
            access: Access::ReadOnly,
            sharing: Sharing::SingleWriter,
            cache_bytes: Self::DEFAULT_CACHE_BYTES,
            wait: Self::DEFAULT_WAIT,
            work: None,
            journal: Journal::On,
        }
    }

    /// For reading and writing, with readers in other processes.
    pub const fn read_write() -> Self {
        Self {
            access: Access::ReadWrite,
            ..Self::read_only()
        }
    }

    /// For work that keeps other writers out from now until the handle is closed.
    pub const fn long_work(work: &'static str, wait: Duration) -> Self {
        Self {
            wait,
            work: Some(work),
            ..Self::read_write()
        }
    }
}

/// Whether a call waits for the turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// As long as the handle waits.
    ForTurn,
    /// Not at all.
    No,
}

/// Keeps a handle's turn to write while it, or a clone, lives; see [`StateDb::hold_turn`].
#[must_use = "the turn is kept while this value lives"]
#[derive(Clone)]
pub struct TurnHold {
    number: u64,
    _held: Option<Arc<dyn Send + Sync>>,
}

impl TurnHold {
    /// Keeps a turn until `held` is dropped.
    pub fn new(number: u64, held: impl Send + Sync + 'static) -> Self {
        Self {
            number,
            _held: Some(Arc::new(held)),
        }
    }

    /// The only turn of a handle with this access, which excludes other writers while it is open.
    ///
    /// # Errors
    /// [`BackendError::ReadOnly`] for a reader.
    pub const fn of_only_writer(access: Access) -> Result<Self> {
        match access {
            Access::ReadOnly => Err(BackendError::ReadOnly),
            Access::ReadWrite => Ok(Self {
                number: 1,
                _held: None,
            }),
        }
    }

    /// The number of the turn among the turns of its handle, from 1.
    pub const fn number(&self) -> u64 {
        self.number
    }
}

impl Debug for TurnHold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TurnHold")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// What a store's journal holds that its file does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalInfo {
    /// The number of transactions.
    pub transactions: u64,
    /// The bytes of their records.
    pub bytes: u64,
}

/// Identifies a commit of a store: two are equal if nothing was committed between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitMark(Vec<u8>);

impl CommitMark {
    /// What the backend recognises a commit by.
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

/// One open `state.db`.
pub trait StateDb: Debug + Send + Sync {
    /// The access that the store was opened with.
    fn access(&self) -> Access;

    /// Whether the file has been replaced by another one, or removed. Later writes to the store are
    /// then not visible here.
    ///
    /// # Errors
    /// What the storage reports.
    fn is_replaced(&self) -> Result<bool> {
        Ok(false)
    }

    /// A consistent view of the store as of the last durable commit. Later writes do not change it.
    /// It never shows data that a crash could lose: snapshots that are taken after a ticket was
    /// waited for show its commit, earlier ones only if the commit was already durable.
    ///
    /// # Errors
    /// [`BackendError::Closed`] after [`close`](Self::close), and what the backend reports.
    fn snapshot(&self) -> Result<Arc<dyn ReadTx + Send + Sync>>;

    /// The last durable commit, of whichever process, if the backend can tell it at the cost of one
    /// short read. For callers that keep a snapshot until there is a new commit.
    fn last_commit(&self) -> Option<CommitMark> {
        None
    }

    /// What the journal holds; `None` for a store without a journal.
    ///
    /// # Errors
    /// See [`snapshot`](Self::snapshot).
    fn journal(&self) -> Result<Option<JournalInfo>> {
        Ok(None)
    }

    /// Begins a write transaction once the previous one has been committed or dropped, and once it
    /// is this handle's turn. It sees all earlier commits, including those whose tickets nothing
    /// has waited for yet, and those of other handles; see
    /// [`follows_others`](Transaction::follows_others).
    ///
    /// # Errors
    /// [`BackendError::InUse`] if other handles had the turn for as long as this one waits;
    /// [`BackendError::ReadOnly`], [`BackendError::Closed`] and what the backend reports. No
    /// transaction was begun, and the store is unchanged. After [`BackendError::Unusable`] the
    /// store must be opened again, because of an earlier failure.
    fn begin_write(&self) -> Result<Box<dyn Transaction + '_>>;

    /// Takes the turn to write, unless this handle has it, and keeps it until the last hold is
    /// dropped. For a backend over this one that writes to files of its own. No other handle writes
    /// while a hold lives, and transactions of this handle need not wait for their turn.
    ///
    /// A handle that excludes other writers until it is closed has one turn:
    /// [`TurnHold::of_only_writer`]. A handle over another one forwards the call.
    ///
    /// # Errors
    /// See [`begin_write`](Self::begin_write). Without waiting,
    /// [`BackendError::InUse`] if other handles have the turn now.
    fn hold_turn(&self, waiting: Waiting) -> Result<TurnHold>;

    /// The number of the turn that this handle has; 0 if it does not have the turn. Does not wait.
    /// A handle that excludes other writers until it is closed has turn 1, and a reader has none.
    fn turn(&self) -> u64;

    /// Whether calls of this handle wait for the turn from now on. With [`Waiting::No`], those that
    /// wait now end with [`BackendError::InUse`]: a handle over this one lets them go before it
    /// closes.
    fn set_waiting(&self, waiting: Waiting) {
        let _ = waiting;
    }

    /// Frees unused space, once the previous transaction has ended. Reads and writes that begin
    /// during the compaction wait for its end. It may rewrite all rows to fill pages, and then
    /// temporarily needs as much space as they take. If it is interrupted, no committed data is
    /// lost. Reports to `progress`.
    ///
    /// # Errors
    /// [`BackendError::SnapshotsLive`] while snapshots in this or another process prevent it;
    /// [`BackendError::ReadOnly`], [`BackendError::Closed`]; and what the backend reports.
    fn compact(&self, progress: &ProgressSink) -> Result<()>;

    /// Closes the store once the previous transaction has ended, and releases the file before it
    /// returns. All commits are durable then. Later calls return [`BackendError::Closed`]; closing
    /// again does nothing.
    ///
    /// # Errors
    /// What the backend reports; the file is released in any case.
    fn close(&self) -> Result<()>;
}

/// What a file, closed or in use, says about its store without any store logic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peek {
    /// Its `meta` table.
    pub meta: MetaInfo,
    /// The recorded version of the logic that computed the state: 1 to 64 visible ASCII
    /// characters. `None` if no version is recorded or the record cannot be read.
    pub logic: Option<String>,
}

/// Excludes writers from a file while it lives; see [`StateBackend::lock_writer`].
#[derive(Debug)]
pub struct WriterLock {
    _held: Box<dyn Debug + Send + Sync>,
}

impl WriterLock {
    /// Keeps the lock until `held` is dropped.
    pub fn new(held: impl Debug + Send + Sync + 'static) -> Self {
        Self {
            _held: Box::new(held),
        }
    }
}

/// How the rows of a store were copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Copied {
    /// Row by row. The backend may not have compared its checksums.
    Rows,
    /// With the backend's own bytes, each of which matches the backend's checksums. The copy has
    /// the rows that the backend wrote.
    Pages,
}

/// A storage backend.
pub trait StateBackend: Debug + Send + Sync {
    /// Reads the `meta` table and the recorded logic. Never writes to the file, and works whichever
    /// process has it open and however its last writer ended.
    ///
    /// # Errors
    /// See [`PeekError`].
    fn peek(&self, path: &Path) -> Result<Peek, PeekError>;

    /// The `meta` table that [`peek`](Self::peek) reads.
    ///
    /// # Errors
    /// See [`PeekError`].
    fn peek_info(&self, path: &Path) -> Result<MetaInfo, PeekError> {
        Ok(self.peek(path)?.meta)
    }

    /// Creates a file with `birth` as its first transaction, and closes it. If `birth` returns
    /// `Ok`, its writes are durable when this function returns. If it fails or panics, no file is
    /// left.
    ///
    /// # Errors
    /// [`FileError::Exists`] if the file exists; `birth` does not run then. Otherwise what `birth`
    /// and the backend report, as errors of this file. Nothing is left behind on failure.
    fn create(
        &self,
        path: &Path,
        birth: &mut dyn FnMut(&mut dyn WriteTx) -> Result<()>,
    ) -> Result<(), FileError>;

    /// Creates a database with empty tables for computations beside a store. Nothing else can open
    /// it; closing or dropping it removes it. It need not be in memory, and need not survive a
    /// crash.
    ///
    /// # Errors
    /// See [`FileError`].
    fn scratch(&self) -> Result<Arc<dyn StateDb>, FileError>;

    /// Copies the store's current state to a new file. The copy is consistent even while a writer
    /// is active, and has little unused space. `edit` changes rows of the copy before it is there, as
    /// [`mark_copied`](crate::engine::write::mark_copied) does; so a copy without its changes is
    /// never visible. Reports to `progress`, and returns what was compared on the way.
    ///
    /// # Errors
    /// [`FileError::Damaged`] for `path` if bytes do not match a checksum that was compared.
    /// [`FileError::Exists`] if `target` exists; otherwise read and write errors, each with the
    /// path of the file that it concerns, and what `edit` reports, as an error of `target`. Nothing
    /// is left behind on failure.
    fn backup(
        &self,
        path: &Path,
        target: &Path,
        edit: &mut dyn FnMut(&mut dyn WriteTx) -> Result<()>,
        progress: &ProgressSink,
    ) -> Result<Copied, FileError>;

    /// Frees the unused space of a file that rows were just copied to, and that nothing has open; a
    /// backend may leave a small share of the file unused.
    /// If that fails, the file is removed. Reports to `progress`.
    ///
    /// # Errors
    /// See [`FileError`].
    fn pack_copy(&self, target: &Path, progress: &ProgressSink) -> Result<(), FileError> {
        let _ = (target, progress);
        Ok(())
    }

    /// The rows that can be found in a file without what names its pages; `None` if the backend
    /// cannot search its files.
    ///
    /// # Errors
    /// See [`FileError`].
    fn raw_rows(&self, path: &Path) -> Result<Option<Box<dyn RawRows>>, FileError> {
        let _ = path;
        Ok(None)
    }

    /// Verifies the backend's own checksums, unless a process has the file open for writing. Does
    /// not write to the file.
    ///
    /// # Errors
    /// If the file cannot be read or is not a store.
    fn check_integrity(&self, path: &Path) -> Result<Integrity, FileError>;

    /// Whether the last writer of a file has closed it, so that opening it for reading repairs
    /// nothing. `false` if that is not known; the provided method knows it of no file.
    ///
    /// # Errors
    /// If the file cannot be read or is not a store.
    fn was_closed(&self, path: &Path) -> Result<bool, FileError> {
        let _ = path;
        Ok(false)
    }

    /// Excludes writers from a file until the lock is dropped, for the named work, which replaces
    /// or removes the file. Waits for the writer's turn to end. A backend that can lock a file
    /// without opening it as a database also locks damaged ones; the provided method opens the
    /// file for writing.
    ///
    /// # Errors
    /// [`FileError::InUse`] if writers have the file open for as long as this call waits; and if it
    /// cannot be opened.
    fn lock_writer(
        &self,
        path: &Path,
        work: &'static str,
        wait: Duration,
    ) -> Result<WriterLock, FileError> {
        self.open(path, &OpenOptions::long_work(work, wait))
            .map(WriterLock::new)
    }

    /// Opens an existing file for reading, and changes nothing on the disk, however its last writer
    /// ended. [`open`](Self::open) may repair it.
    ///
    /// # Errors
    /// See [`FileError`].
    fn open_unchanged(
        &self,
        path: &Path,
        cache_bytes: usize,
    ) -> Result<Arc<dyn StateDb>, FileError> {
        self.open(
            path,
            &OpenOptions {
                cache_bytes,
                ..OpenOptions::read_only()
            },
        )
    }

    /// Opens an existing file.
    ///
    /// # Errors
    /// See [`FileError`].
    fn open(&self, path: &Path, options: &OpenOptions) -> Result<Arc<dyn StateDb>, FileError>;
}
