//! A write-ahead journal over any backend: a durable commit costs one sequential write and one
//! sync.
//!
//! The journal redoes rows. It knows neither the backend below it nor what the rows mean.

mod backend_rows;
mod budget;
mod carve;
mod current;
mod db;
mod enter;
mod fold;
mod follow;
mod layout;
mod log;
mod memtable;
mod record;
mod room;
mod scan;
mod segment;
mod shared;
mod tx;
mod view;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::backend::file_error::FileFault;
use crate::backend::{
    Access, BackendError, Busy, Copied, FileError, Integrity, Journal, OpenOptions, Peek,
    PeekError, RawRows, Result, Sharing, StateBackend, StateDb, WriteTx, WriterLock, copy_store,
    peek_open,
};
use crate::progress::ProgressSink;
use crate::storage::{Disk, FileMode};

use budget::Share;
use carve::CarvedFiles;
use db::JournaledDb;
use shared::{Core, lock};

/// Cache for a peek, which reads a handful of pages.
const PEEK_CACHE_BYTES: usize = 256 << 10;

/// When the journal of a store is used, and how much it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// A session begins with this commit of a handle within [`burst`](Self::burst): making its
    /// files costs as much as a few commits, so a process that writes little has none.
    pub burst_commits: usize,
    /// See [`burst_commits`](Self::burst_commits).
    pub burst: Duration,
    /// A generation ends when its segment has this many bytes.
    pub segment_bytes: u64,
    /// A generation ends when its rows take this many bytes of memory.
    pub table_bytes: usize,
    /// A session ends after this time without a commit.
    pub idle: Duration,
    /// All stores of the process whose backends have this number share it: when their rows take
    /// more bytes of memory, the largest generations are folded first.
    pub process_bytes: usize,
}

impl Default for Tuning {
    /// 8 commits within a second, 8 MiB on disk, 4 MiB in memory, a second; 64 MiB for all stores.
    fn default() -> Self {
        Self {
            burst_commits: 8,
            burst: Duration::from_secs(1),
            segment_bytes: 8 << 20,
            table_bytes: 4 << 20,
            idle: Duration::from_secs(1),
            process_bytes: 64 << 20,
        }
    }
}

/// Whether a handle keeps its last snapshot for the next caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Snapshots {
    Kept,
    /// A check takes one.
    NotKept,
    /// A peek takes one. What it shows of a crashed store, a loss of power can take back: it syncs
    /// nothing.
    Peeked,
}

/// Stores of another backend, with a journal before each that is written to in bursts.
///
/// The journal is two files beside the store's file: its canonical name with `.journal-0` and
/// `.journal-1`. They are there while the store is written to, and for a second afterwards; closing
/// the store removes them. After a crash they hold what the store's file does not, and belong to
/// it.
#[derive(Clone)]
pub struct JournaledBackend {
    inner: Arc<dyn StateBackend>,
    disk: Arc<dyn Disk>,
    tuning: Tuning,
    reads_damaged: bool,
}

impl fmt::Debug for JournaledBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JournaledBackend")
            .field("inner", &self.inner)
            .field("disk", &self.disk)
            .field("tuning", &self.tuning)
            .field("reads_damaged", &self.reads_damaged)
            .finish()
    }
}

impl JournaledBackend {
    /// A journal on a disk, over a backend whose stores are on the same disk.
    pub fn over(inner: impl StateBackend + 'static, disk: impl Disk) -> Self {
        Self {
            inner: Arc::new(inner),
            disk: Arc::new(disk),
            tuning: Tuning::default(),
            reads_damaged: false,
        }
    }

    /// The same, whose readers see what can be read of a journal that is damaged or not there: all
    /// transactions before the damage. Nothing is written.
    #[must_use]
    pub const fn reading_damaged(mut self) -> Self {
        self.reads_damaged = true;
        self
    }

    /// The same with other limits.
    #[must_use]
    pub const fn tuned(mut self, tuning: Tuning) -> Self {
        self.tuning = tuning;
        self
    }

    fn open_db(&self, path: &Path, options: &OpenOptions) -> Result<Arc<Core>, FileError> {
        let inner = self.inner.open(path, options)?;
        self.open_over(inner, path, options, Snapshots::Kept)
    }

    /// For reading, without a change of anything on the disk.
    fn open_unchanged_db(
        &self,
        path: &Path,
        cache_bytes: usize,
        snapshots: Snapshots,
    ) -> Result<Arc<Core>, FileError> {
        let inner = self.inner.open_unchanged(path, cache_bytes)?;
        self.open_over(inner, path, &OpenOptions::read_only(), snapshots)
    }

    /// Whether there can be a journal beside a store's file: whatever was committed before this
    /// call is in the file, if not.
    fn may_have_journal(&self, path: &Path) -> bool {
        let is_absent = |path: &Path| {
            let found = self.disk.file_id(path);
            found.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
        };
        let is_link = || self.disk.is_link(path).unwrap_or(true);
        [0, 1].map(|file| is_absent(&segment::path(path, file))) != [true; 2] || is_link()
    }

    fn open_over(
        &self,
        inner: Arc<dyn StateDb>,
        path: &Path,
        options: &OpenOptions,
        snapshots: Snapshots,
    ) -> Result<Arc<Core>, FileError> {
        let io = |error: std::io::Error| FileFault::Io(error.into()).at(path);
        let core = Arc::new(Core {
            inner,
            disk: Arc::clone(&self.disk),
            store: self.disk.canonical(path).map_err(io)?,
            wait: options.wait.max(Duration::from_millis(20)),
            begins_sessions: options.journal == Journal::On
                && options.work.is_none()
                && options.sharing == Sharing::SingleWriter,
            salvages: options.journal == Journal::Salvage,
            reads_damaged: options.access == Access::ReadOnly
                && (self.reads_damaged || options.journal == Journal::Salvage),
            snapshots,
            tuning: self.tuning,
            share: Share::new(self.tuning.process_bytes),
            events: tracing::dispatcher::get_default(Clone::clone),
            writing: Mutex::default(),
            fold: Mutex::default(),
            folded: Condvar::new(),
            log: Mutex::default(),
            logged: Condvar::new(),
            current: Mutex::default(),
            pins: Arc::default(),
            failed: OnceLock::new(),
            is_closed: false.into(),
            is_closing: false.into(),
        });
        let at = |error| FileFault::from(error).at(path);
        if options.access == Access::ReadWrite {
            let has_session = match core.look() {
                Err(_) if core.salvages => true,
                seen => {
                    let seen = seen.map_err(at)?;
                    lock(&core.writing).seen = seen;
                    seen.is_some()
                }
            };
            if !core.begins_sessions && has_session {
                drop(core.begin().map_err(at)?);
            }
        }
        Ok(core)
    }
}

fn is_journal_unread(error: &FileError) -> bool {
    let FileError::Io { source, .. } = error else {
        return false;
    };
    let unread = source.downcast_ref::<BackendError>();
    matches!(unread, Some(BackendError::JournalUnread))
}

impl StateBackend for JournaledBackend {
    fn peek(&self, path: &Path) -> Result<Peek, PeekError> {
        if !self.may_have_journal(path) {
            return self.inner.peek(path);
        }
        let core = self.open_unchanged_db(path, PEEK_CACHE_BYTES, Snapshots::Peeked)?;
        match peek_open(&JournaledDb(core), path) {
            // A journal has no rows of `meta` but tips.
            Err(PeekError::Backend {
                source: BackendError::JournalMissing { .. } | BackendError::Damaged { .. },
                ..
            }) => self.inner.peek(path),
            peek => peek,
        }
    }

    fn create(
        &self,
        path: &Path,
        birth: &mut dyn FnMut(&mut dyn WriteTx) -> Result<()>,
    ) -> Result<(), FileError> {
        self.inner.create(path, birth)
    }

    fn scratch(&self) -> Result<Arc<dyn StateDb>, FileError> {
        self.inner.scratch()
    }

    fn backup(
        &self,
        path: &Path,
        target: &Path,
        edit: &mut dyn FnMut(&mut dyn WriteTx) -> Result<()>,
        progress: &ProgressSink,
    ) -> Result<Copied, FileError> {
        if !self.may_have_journal(path) {
            match self.inner.backup(path, target, edit, progress) {
                // A session has begun since, or its files are missing.
                Err(error) if is_journal_unread(&error) => {}
                copied => return copied,
            }
        }
        copy_store(self, &*self.inner, path, target, edit, progress)?;
        self.inner.pack_copy(target, progress)?;
        Ok(Copied::Rows)
    }

    fn raw_rows(&self, path: &Path) -> Result<Option<Box<dyn RawRows>>, FileError> {
        let Some(rows) = self.inner.raw_rows(path)? else {
            return Ok(None);
        };
        let io = |error: std::io::Error| FileFault::Io(error.into()).at(path);
        let store = self.disk.canonical(path).map_err(io)?;
        let rows = CarvedFiles::new(rows, &*self.disk, &store)?;
        Ok(Some(Box::new(rows)))
    }

    fn check_integrity(&self, path: &Path) -> Result<Integrity, FileError> {
        let checked = self.inner.check_integrity(path)?;
        if matches!(checked, Integrity::Damaged { .. }) {
            return Ok(checked);
        }
        let db = self.open_unchanged_db(path, PEEK_CACHE_BYTES, Snapshots::NotKept)?;
        let read = db.view();
        // Nothing was written through it.
        let _ = db.inner.close();
        match read {
            Err(BackendError::Damaged { detail }) => Ok(Integrity::Damaged { detail }),
            read => {
                let at = |error| FileFault::from(error).at(path);
                read.map(|_| checked).map_err(at)
            }
        }
    }

    fn was_closed(&self, path: &Path) -> Result<bool, FileError> {
        self.inner.was_closed(path)
    }

    /// The file is replaced or removed next: its journal is folded first, and its files are gone.
    fn lock_writer(
        &self,
        path: &Path,
        work: &'static str,
        wait: Duration,
    ) -> Result<WriterLock, FileError> {
        let began = Instant::now();
        loop {
            let options = OpenOptions::long_work(work, wait);
            let opened = self.open_db(path, &options).and_then(|core| {
                // A session that has ended can have left its files.
                let entered = core.begin().map(drop);
                let closed = JournaledDb(core).close();
                let ended = entered.and(closed);
                ended.map_err(|error| FileFault::from(error).at(path))
            });
            match opened {
                Ok(()) => {}
                Err(error @ FileError::InUse { .. }) => return Err(error),
                // A damaged file can be locked, and so can one whose journal is missing.
                Err(_) => return self.inner.lock_writer(path, work, wait),
            }
            let locked = self.inner.lock_writer(path, work, wait)?;
            // Another process may have begun a session before the lock was taken.
            let store = self.disk.canonical(path);
            let store = store.map_err(|error| FileFault::Io(error.into()).at(path))?;
            let is_left = (0..2).any(|file| {
                self.disk
                    .open(&segment::path(&store, file), FileMode::Read)
                    .is_ok()
            });
            if !is_left {
                return Ok(locked);
            }
            // Files that cannot be removed look like those of another process.
            if began.elapsed() > wait {
                return Err(FileFault::InUse(Busy::default()).at(path));
            }
        }
    }

    fn open_unchanged(
        &self,
        path: &Path,
        cache_bytes: usize,
    ) -> Result<Arc<dyn StateDb>, FileError> {
        let core = self.open_unchanged_db(path, cache_bytes, Snapshots::NotKept)?;
        Ok(Arc::new(JournaledDb(core)))
    }

    fn open(&self, path: &Path, options: &OpenOptions) -> Result<Arc<dyn StateDb>, FileError> {
        Ok(Arc::new(JournaledDb(self.open_db(path, options)?)))
    }
}
