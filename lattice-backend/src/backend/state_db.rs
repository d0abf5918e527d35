//! What opens `state.db` files and gives transactions over them.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lattice_meta::{MetaError, MetaInfo};

use crate::backend::{
    BackendError, Cause, Direction, EVERYTHING, Integrity, ReadTx, Result, Table, WriteTx,
};

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
    /// The most memory for the engine's cache, in bytes.
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

/// Why a `state.db` cannot be opened or made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// There is no such file.
    #[error("no store at {}", path.display())]
    NotFound {
        /// The file.
        path: PathBuf,
    },
    /// There is a file already.
    #[error("{} exists already; a new store never replaces a file", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Another handle or process has it open in a way that excludes this one.
    #[error("{} is in use by another handle or process; close it there and try again", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("{} is not a store: {detail}", path.display())]
    NotAStore {
        /// The file.
        path: PathBuf,
        /// What was expected and found.
        detail: String,
    },
    /// The file is a damaged store.
    #[error("{} is damaged: {detail}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the engine found.
        detail: String,
    },
    /// The operating system refused.
    #[error("cannot open {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was reported.
        #[source]
        source: Cause,
    },
}

/// Why a store cannot be peeked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeekError {
    /// The file cannot be opened.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its `meta` table describes no store.
    #[error("{} has no readable `meta` table", path.display())]
    Meta {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: MetaError,
    },
    /// The file opened, and then failed to be read.
    #[error("cannot read {}", path.display())]
    Backend {
        /// The file.
        path: PathBuf,
        /// What was reported.
        #[source]
        source: BackendError,
    },
}

/// Whether a write transaction's changes become real.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// They do.
    Commit,
    /// They are dropped.
    Abort,
}

/// The body of a write transaction.
pub type WriteBody<'a> = dyn FnMut(&mut dyn WriteTx) -> Result<Verdict> + 'a;

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

    /// A consistent view of what is committed now. It stays as it is while writes go on.
    ///
    /// # Errors
    /// [`BackendError::Closed`] after [`close`](Self::close), and what the engine reports.
    fn snapshot(&self) -> Result<Arc<dyn ReadTx + Send + Sync>>;

    /// Runs a write transaction, after those before it have ended. When this returns without an
    /// error and the verdict was [`Verdict::Commit`], everything written is durable; with an error
    /// nothing is visible.
    ///
    /// # Errors
    /// What the body gives; [`BackendError::ReadOnly`], [`BackendError::Closed`]; and what the
    /// engine reports, after which it is unknown whether a commit is on disk until the store is
    /// opened again.
    fn write(&self, body: &mut WriteBody<'_>) -> Result<()>;

    /// Gives back the space that is no longer used, after the writes before it have ended; reads and
    /// writes that come meanwhile wait. It may write all rows anew to fill pages, and need as much room as
    /// they take while it lasts. Whenever it is cut off, everything committed is still there.
    ///
    /// # Errors
    /// [`BackendError::SnapshotsLive`] while there are snapshots in its way, here or in another
    /// process;
    /// [`BackendError::ReadOnly`], [`BackendError::Closed`]; and what the engine reports.
    fn compact(&self) -> Result<()>;

    /// Releases the file before it returns. Later calls give [`BackendError::Closed`]; closing
    /// again does nothing.
    ///
    /// # Errors
    /// What the engine reports; the file is released all the same.
    fn close(&self) -> Result<()>;
}

/// One engine, as a value.
pub trait StateBackend: Debug + Send + Sync {
    /// Reads the `meta` table alone, without writing to the file, whoever has it open and however
    /// its last writer ended.
    ///
    /// # Errors
    /// See [`PeekError`].
    fn peek_info(&self, path: &Path) -> Result<MetaInfo, PeekError>;

    /// Makes a new file whose first transaction is `birth`, and closes it again.
    ///
    /// # Errors
    /// [`FileError::Exists`] if there is a file; nothing is left behind on failure.
    fn create(&self, path: &Path, birth: &mut WriteBody<'_>) -> Result<(), FileError>;

    /// Makes a database with empty tables that nobody else can open, and that is gone when it is
    /// closed or dropped: for what is computed beside a store. It need not be in memory, and need
    /// not survive anything.
    ///
    /// # Errors
    /// See [`FileError`].
    fn scratch(&self) -> Result<Arc<dyn StateDb>, FileError>;

    /// Makes a copy of a store, as it is now, in a new file: consistent, whoever writes the store
    /// meanwhile, and without the space that the original no longer uses.
    ///
    /// # Errors
    /// [`FileError::Exists`] if there is a file at `target`; what reading and writing report. Nothing
    /// is left behind on failure.
    fn backup(&self, path: &Path, target: &Path) -> Result<(), FileError>;

    /// Looks at the checksums that the engine keeps of its own, if nobody has the file open for
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

/// Reads the `meta` table of an open store.
pub(crate) fn read_meta(tx: &dyn ReadTx, path: &Path) -> Result<MetaInfo, PeekError> {
    let failed = |source| PeekError::Backend {
        path: path.to_path_buf(),
        source,
    };
    let mut rows = Vec::new();
    let mut cursor = tx
        .range(Table::Meta, EVERYTHING, Direction::Forward)
        .map_err(failed)?;
    while let Some(row) = cursor.next().map_err(failed)? {
        rows.push((row.key.to_vec(), row.value.to_vec()));
    }
    MetaInfo::from_rows(rows).map_err(|source| PeekError::Meta {
        path: path.to_path_buf(),
        source,
    })
}

/// Copies a store row by row.
pub(crate) fn copy_store(
    backend: &dyn StateBackend,
    path: &Path,
    target: &Path,
) -> Result<(), FileError> {
    let failed = |source: BackendError| unreadable(path, source);
    let from = backend.open(path, &OpenOptions::read_only())?;
    let tx = from.snapshot().map_err(failed)?;
    // What cannot be read is no failure of the file that is written.
    let mut unread = None;
    let copied = backend.create(target, &mut |to| match copy_rows(&*tx, to)? {
        Ok(()) => Ok(Verdict::Commit),
        Err(error) => {
            unread = Some(error);
            Ok(Verdict::Abort)
        }
    });
    drop(tx);
    let closed = from.close().map_err(failed);
    let read = unread.map_or(Ok(()), |error| Err(failed(error)));
    read.and(copied).and(closed)
}

/// A store that opened and then failed to be read.
fn unreadable(path: &Path, source: BackendError) -> FileError {
    let path = path.to_path_buf();
    match source {
        BackendError::Damaged { detail } => FileError::Damaged { path, detail },
        source => FileError::Io {
            path,
            source: source.into(),
        },
    }
}

/// Copies every row of every table. Fails if they cannot be written; gives the error if they cannot be
/// read.
fn copy_rows(from: &dyn ReadTx, to: &mut dyn WriteTx) -> Result<Result<()>> {
    for table in Table::ALL {
        let mut rows = match from.range(table, EVERYTHING, Direction::Forward) {
            Ok(rows) => rows,
            Err(error) => return Ok(Err(error)),
        };
        loop {
            match rows.next() {
                Ok(Some(row)) => to.put(table, row.key, row.value)?,
                Ok(None) => break,
                Err(error) => return Ok(Err(error)),
            }
        }
    }
    Ok(Ok(()))
}
