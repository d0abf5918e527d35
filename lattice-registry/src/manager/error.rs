//! The errors of a manager's calls.

use std::io;
use std::path::PathBuf;

use lattice_backend::backend::{BackendError, Cause, FileError, PeekError};
use lattice_backend::clock::Time;
use lattice_backend::engine::open::OpenError;
use lattice_meta::{HlcError, StoreId};

use crate::ResolveError;
use crate::files::FilesError;

/// Why a manager's call failed. Nothing has been changed or left behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManagerError {
    /// No store has this id.
    #[error("no store {store_id} in {}", dir.display())]
    NoSuchStore {
        /// The requested id.
        store_id: StoreId,
        /// The directory of the stores.
        dir: PathBuf,
    },
    /// The store cannot be peeked at.
    #[error(transparent)]
    Peek(#[from] PeekError),
    /// No opener resolves for the store's type.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A store's directory is named by another store's id.
    #[error("{} is store {found}, but its directory is named {expected}; rename the directory to the store's id", path.display())]
    Misplaced {
        /// The store's file.
        path: PathBuf,
        /// The id in the directory's name.
        expected: StoreId,
        /// The store's id.
        found: StoreId,
    },
    /// A copy of the store at another path is open; writing to both would fork the author.
    #[error("store {store_id} is open from {}; close it before opening the copy at {}", open.display(), path.display())]
    OpenElsewhere {
        /// The store.
        store_id: StoreId,
        /// The path of the open copy.
        open: PathBuf,
        /// The path of the copy to open.
        path: PathBuf,
    },
    /// A new store needs an owner, and the manager has no identity.
    #[error("a new store needs an owner, and this manager has no identity")]
    NoIdentity,
    /// The file of a new store cannot be created.
    #[error(transparent)]
    Create(FileError),
    /// The clock shows a time that a store's timestamp cannot hold.
    #[error("the clock cannot date a new store")]
    Clock(#[from] HlcError),
    /// The genesis of a new replica is dated more than 10 minutes ahead of the clock. Either this
    /// clock or the clock of the store's owner is or was wrong.
    #[error(
        "store {store_id} says that it was created at {}, which is ahead of this machine's clock; \
         set the clock right, or take the store from {} on",
        Time::from_ms(*created_ms),
        Time::from_ms(*due_ms)
    )]
    CreatedAhead {
        /// The store.
        store_id: StoreId,
        /// When it says that it was created, in milliseconds since the Unix epoch.
        created_ms: u64,
        /// From when on a replica can be created, in milliseconds since the Unix epoch.
        due_ms: u64,
    },
    /// The operating system provided no random bytes.
    #[error("the operating system gave no random bytes for a new store")]
    Random(#[source] Cause),
    /// An operation on a file or directory failed.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// A link in the store's place leads to nothing, so neither is there a store nor a place for
    /// one.
    #[error("{} is a link to {}, which does not exist; make that available, for example by mounting its disk, or delete the link and try again", link.display(), target.display())]
    DanglingLink {
        /// The link.
        link: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// The store exists already.
    #[error("store {store_id} already exists")]
    StoreExists {
        /// The store.
        store_id: StoreId,
    },
    /// The verification of the store failed before its end.
    #[error("store {store_id} cannot be verified")]
    Verify {
        /// The store.
        store_id: StoreId,
        /// What was reported.
        #[source]
        source: BackendError,
    },
    /// The compaction failed. No row has changed.
    #[error("store {store_id} was not compacted and is unchanged")]
    Compact {
        /// The store.
        store_id: StoreId,
        /// What was reported.
        #[source]
        source: BackendError,
    },
    /// The migration failed. The old store has not changed.
    #[error("store {store_id} was not migrated and is unchanged")]
    Migrate {
        /// The old store.
        store_id: StoreId,
        /// What was reported.
        #[source]
        source: Cause,
    },
    /// The old store was written during its migration.
    #[error(
        "a process wrote to store {store_id} during its migration; try again while no process writes to it"
    )]
    MigrateChanged {
        /// The old store.
        store_id: StoreId,
    },
    /// The old store's rows do not match its state hash.
    #[error("store {store_id} is damaged and was not migrated: {finding}")]
    MigrateDamaged {
        /// The old store.
        store_id: StoreId,
        /// What is wrong with it.
        finding: String,
    },
    /// A store is damaged, so it was not copied.
    #[error("{} is damaged and was not copied: {finding}", path.display())]
    CopyDamaged {
        /// The store's file.
        path: PathBuf,
        /// What is wrong with it.
        finding: String,
    },
    /// A store that the data directory does not vouch for differs from its history, so it was not
    /// used.
    #[error("{} was verified and refused: {finding}{}", path.display(), of_other_logic(other_logic.as_deref()))]
    Unsound {
        /// The store's file.
        path: PathBuf,
        /// The first finding.
        finding: String,
        /// The recorded logic, if other logic verified the store.
        other_logic: Option<String>,
    },
    /// A store that the data directory does not vouch for cannot be verified by this program, so it
    /// was not used.
    #[error("{} cannot be verified by this program", path.display())]
    Unverifiable {
        /// The store's file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<ManagerError>,
    },
    /// The file was replaced while it was verified.
    #[error("{} was replaced during its verification; try again", path.display())]
    VerifyChanged {
        /// The store's file.
        path: PathBuf,
    },
    /// A replaced file is kept, because the store that replaced it cannot be read.
    #[error("{} is kept, since {} cannot be read: {reason}; `lattice restore FILE` restores the kept file", path.display(), store.display())]
    KeptFile {
        /// The replaced file.
        path: PathBuf,
        /// The store's file.
        store: PathBuf,
        /// What reading it reported.
        reason: String,
    },
    /// The directory of the file to create does not exist.
    #[error("cannot create {}: there is no directory {}", path.display(), dir.display())]
    NoDirectory {
        /// The file.
        path: PathBuf,
        /// The missing directory.
        dir: PathBuf,
    },
    /// Closing the store failed; its file is released.
    #[error("store {store_id} was not closed cleanly")]
    Close {
        /// The store.
        store_id: StoreId,
        /// What was reported.
        #[source]
        source: BackendError,
    },
}

/// Explains a difference that other code may have made.
fn of_other_logic(recorded: Option<&str>) -> String {
    recorded.map_or(String::new(), |recorded| {
        format!(" (the store records the logic {recorded}, and other logic verified it)")
    })
}

impl ManagerError {
    /// Whether another handle or process has the store open in a way that excludes this one. It may
    /// work later.
    pub const fn is_in_use(&self) -> bool {
        matches!(
            self,
            Self::Peek(PeekError::File(FileError::InUse { .. }))
                | Self::Open(OpenError::File(FileError::InUse { .. }))
        )
    }

    pub(super) fn io(doing: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        FilesError::io(doing, path, source).into()
    }
}
