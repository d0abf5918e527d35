//! What a manager's calls can fail with.

use std::io;
use std::path::PathBuf;

use lattice_backend::backend::{BackendError, Cause, FileError, PeekError};
use lattice_backend::engine::open::OpenError;
use lattice_meta::{HlcError, StoreId};

use super::fs::FsError;
use crate::ResolveError;

/// Why a manager cannot do what it was asked for. Nothing has been changed or left behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManagerError {
    /// There is no store of this id.
    #[error("no store {store_id} in {}", dir.display())]
    NoSuchStore {
        /// The id asked for.
        store_id: StoreId,
        /// Where stores are.
        dir: PathBuf,
    },
    /// The store cannot be peeked at.
    #[error(transparent)]
    Peek(#[from] PeekError),
    /// Its type is not known.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// It does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A store's directory bears the id of another.
    #[error("{} holds store {found}; it must be named after it", path.display())]
    Misplaced {
        /// The store's file.
        path: PathBuf,
        /// The id that its directory says.
        expected: StoreId,
        /// The id that it has.
        found: StoreId,
    },
    /// A copy of the store is open from another place; writing both would fork their author.
    #[error("store {store_id} is open from {}; close it before opening the copy at {}", open.display(), path.display())]
    OpenElsewhere {
        /// The store.
        store_id: StoreId,
        /// Where it is open from.
        open: PathBuf,
        /// What was to be opened.
        path: PathBuf,
    },
    /// A new store needs an owner.
    #[error("a new store needs an owner, and this manager has no identity")]
    NoIdentity,
    /// The file of a new store cannot be made.
    #[error(transparent)]
    Create(FileError),
    /// The clock shows no date that a store can have.
    #[error("the clock cannot date a new store")]
    Clock(#[from] HlcError),
    /// The operating system gave no random bytes.
    #[error("no random bytes for a new store")]
    Random(#[source] Cause),
    /// The operating system failed with a file or directory.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What was reported.
        #[source]
        source: io::Error,
    },
    /// There is a store of this id.
    #[error("store {store_id} is there already")]
    StoreExists {
        /// The store.
        store_id: StoreId,
    },
    /// The store could not be verified to its end.
    #[error("store {store_id} cannot be verified")]
    Verify {
        /// The store.
        store_id: StoreId,
        /// What was reported.
        #[source]
        source: BackendError,
    },
    /// The store could not be compacted. All its rows are as they were.
    #[error("store {store_id} was not compacted, and has all its rows")]
    Compact {
        /// The store.
        store_id: StoreId,
        /// What was reported.
        #[source]
        source: BackendError,
    },
    /// The store could not be migrated. It is as it was.
    #[error("store {store_id} was not migrated, and is as it was")]
    Migrate {
        /// The old store.
        store_id: StoreId,
        /// What was reported.
        #[source]
        source: Cause,
    },
    /// The old store was written while it was migrated.
    #[error(
        "store {store_id} was written while it was migrated; try again while no process writes it"
    )]
    MigrateChanged {
        /// The old store.
        store_id: StoreId,
    },
    /// The old store's rows are not what its state hash says.
    #[error("store {store_id} is damaged and not migrated: {finding}")]
    MigrateDamaged {
        /// The old store.
        store_id: StoreId,
        /// What is wrong with it.
        finding: String,
    },
    /// A store is damaged, and no copy of it was made.
    #[error("{} is damaged, and was not copied: {finding}", path.display())]
    CopyDamaged {
        /// The store's file.
        path: PathBuf,
        /// What is wrong with it.
        finding: String,
    },
    /// A file cannot be made where there is no directory.
    #[error("cannot make {}: there is no directory {}", path.display(), dir.display())]
    NoDirectory {
        /// The file.
        path: PathBuf,
        /// The directory that it is to be in.
        dir: PathBuf,
    },
    /// The store did not close as it should; its file is released.
    #[error("store {store_id} was not closed cleanly")]
    Close {
        /// The store.
        store_id: StoreId,
        /// What was reported.
        #[source]
        source: BackendError,
    },
}

impl From<FsError> for ManagerError {
    fn from(error: FsError) -> Self {
        let FsError {
            doing,
            path,
            source,
        } = error;
        Self::Io {
            doing,
            path,
            source,
        }
    }
}

impl ManagerError {
    pub(super) fn io(doing: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        FsError::new(doing, path, source).into()
    }
}
