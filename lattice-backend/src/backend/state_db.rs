//! What opens `state.db` files and gives transactions over them.

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

use lattice_meta::MetaInfo;

#[cfg(doc)]
use crate::backend::BackendError;
use crate::backend::{FileError, Integrity, PeekError, ReadTx, Result, Transaction, WriteTx};

/// What an open store may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Access {
    /// Reading: takes no writer's lock and writes nothing.
    ReadOnly,
    /// Reading and writing.
    ReadWrite,
}

/// How processes share a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Sharing {
    /// One process writes, and others may read the live store.
    #[default]
    SingleWriter,
    /// One process has the store to itself; its commits are about a fifth faster.
    Exclusive,
}

/// How a store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenOptions {
    /// What it may be used for.
    pub access: Access,
    /// How processes share it.
    pub sharing: Sharing,
    /// The most memory for the backend's cache, in bytes.
    pub cache_bytes: usize,
}

impl OpenOptions {
    /// The cache of a store that is opened without saying more: 16 MiB.
    pub const DEFAULT_CACHE_BYTES: usize = 16 << 20;

    /// For reading only.
    pub const fn read_only() -> Self {
        Self {
            access: Access::ReadOnly,
            sharing: Sharing::SingleWriter,
            cache_bytes: Self::DEFAULT_CACHE_BYTES,
        }
    }

    /// For reading and writing, with readers in other processes.
    pub const fn read_write() -> Self {
        Self {
            access: Access::ReadWrite,
            ..Self::read_only()
        }
    }
}

/// One open `state.db`.
pub trait StateDb: Debug + Send + Sync {
    /// What it was opened for.
    fn access(&self) -> Access;

    /// Whether another file has taken the place of this one, or it was removed: what is written to
    /// the store from then on does not show here.
    ///
    /// # Errors
    /// What the storage reports.
    fn is_replaced(&self) -> Result<bool> {
        Ok(false)
    }

    /// A consistent view of the store as the last durable commit left it. It stays as it is while
    /// writes go on, and never shows what could still be lost: a commit shows in the snapshots taken
    /// after its ticket has been waited for, and before that only if it is durable already.
    ///
    /// # Errors
    /// [`BackendError::Closed`] after [`close`](Self::close), and what the backend reports.
    fn snapshot(&self) -> Result<Arc<dyn ReadTx + Send + Sync>>;

    /// Begins a write transaction, after the one before it has been committed or dropped. It sees
    /// what was committed before, also if no ticket of those commits has been waited for yet.
    ///
    /// # Errors
    /// [`BackendError::ReadOnly`] and [`BackendError::Closed`]; and what the backend reports. Nothing
    /// was begun, and the store is as it was. [`BackendError::Unusable`] says that an earlier failure
    /// demands that the store be opened again.
    fn begin_write(&self) -> Result<Box<dyn Transaction + '_>>;

    /// Gives back the space that is no longer used, after the transaction before it has ended; reads
    /// and writes that begin during it wait. It may write all rows again to fill pages, and need as
    /// much room as they take while it lasts. If it is cut off, everything committed is still there.
    ///
    /// # Errors
    /// [`BackendError::SnapshotsLive`] while there are snapshots in its way, here or in another
    /// process; [`BackendError::ReadOnly`], [`BackendError::Closed`]; and what the backend reports.
    fn compact(&self) -> Result<()>;

    /// Releases the file before it returns, after the transaction before it has ended. Everything
    /// that was committed is durable then. Later calls give [`BackendError::Closed`]; closing again
    /// does nothing.
    ///
    /// # Errors
    /// What the backend reports; the file is released all the same.
    fn close(&self) -> Result<()>;
}

/// What a closed or live file says of its store, without any store logic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peek {
    /// Its `meta` table.
    pub meta: MetaInfo,
    /// The version of the logic that computed its state, as the store has it recorded: 1 to 64
    /// visible ASCII characters. None if nothing is recorded, or nothing that can be read.
    pub logic: Option<String>,
}

/// One storage backend, as a value.
pub trait StateBackend: Debug + Send + Sync {
    /// Reads the `meta` table and the recorded logic, without writing to the file, whichever process
    /// has it open and however its last writer ended.
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

    /// Makes a new file whose first transaction is `birth`, and closes it again. If `birth` returns
    /// `Ok`, what it wrote is durable when this returns. If it fails or panics, there is no file.
    ///
    /// # Errors
    /// [`FileError::Exists`] if there is a file, and `birth` did not run; what `birth` and the backend
    /// report, as errors of this file. Nothing is left behind on failure.
    fn create(
        &self,
        path: &Path,
        birth: &mut dyn FnMut(&mut dyn WriteTx) -> Result<()>,
    ) -> Result<(), FileError>;

    /// Makes a database with empty tables that nothing else can open, and that is gone when it is
    /// closed or dropped: for what is computed beside a store. It need not be in memory, and need
    /// not survive a crash.
    ///
    /// # Errors
    /// See [`FileError`].
    fn scratch(&self) -> Result<Arc<dyn StateDb>, FileError>;

    /// Makes a copy of a store, as it is now, in a new file: consistent while the store is written
    /// to, and without the space that the original no longer uses.
    ///
    /// # Errors
    /// [`FileError::Exists`] if there is a file at `target`; what reading and writing report, each
    /// with the path of the file that it concerns. Nothing is left behind on failure.
    fn backup(&self, path: &Path, target: &Path) -> Result<(), FileError>;

    /// Checks the checksums that the backend keeps of its own, if no process has the file open for
    /// writing. Nothing is written to it.
    ///
    /// # Errors
    /// A file that cannot be read, or is no store's.
    fn check_integrity(&self, path: &Path) -> Result<Integrity, FileError>;

    /// Opens a file that is there.
    ///
    /// # Errors
    /// See [`FileError`].
    fn open(&self, path: &Path, options: &OpenOptions) -> Result<Arc<dyn StateDb>, FileError>;
}
