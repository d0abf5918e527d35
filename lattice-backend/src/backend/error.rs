//! What can go wrong below the state machine.

use alloc::boxed::Box;
use alloc::string::String;

use lattice_meta::SchemaVersion;

use crate::backend::Table;
use crate::machine::LogicFault;

/// The underlying cause of an error, of whatever backend.
pub type Cause = Box<dyn core::error::Error + Send + Sync>;

/// A failure of the storage underneath a store, or of the handle to it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// The storage failed to read, write or sync.
    #[error("the storage failed while {doing}")]
    Storage {
        /// What was being done.
        doing: &'static str,
        /// What the storage reported.
        #[source]
        source: Cause,
    },
    /// The database is damaged.
    #[error("the database is damaged: {detail}")]
    Damaged {
        /// What the backend found.
        detail: String,
    },
    /// A row of Lattice's own tables does not have the form it must have.
    #[error("table `{table}` is damaged: expected {expected}, found {found}")]
    Row {
        /// The table.
        table: Table,
        /// What stands there in every intact store.
        expected: &'static str,
        /// What was found.
        found: String,
    },
    /// The code of the store type failed. It says nothing of the storage.
    #[error(transparent)]
    Fault(LogicFault),
    /// The store was opened for reading only.
    #[error("the store was opened read-only; open it for writing first")]
    ReadOnly,
    /// The store has been closed.
    #[error("the store is closed; open it again")]
    Closed,
    /// Another process has migrated the store's layout since it was opened here.
    #[error(
        "the store was migrated from schema {opened} to {found} since it was opened; open it again"
    )]
    SchemaChanged {
        /// The layout that it had.
        opened: SchemaVersion,
        /// The layout that it has.
        found: SchemaVersion,
    },
    /// Another file has taken the place of the one that was opened, or it was removed.
    #[error("the store's file was replaced or removed since it was opened; open the store again")]
    Replaced,
    /// There are readers of the store, in this process or another, so that it cannot be compacted.
    #[error(
        "the store cannot be compacted while it is being read; try again when its readers are done"
    )]
    SnapshotsLive,
    /// Several callers shared a transaction that failed.
    #[cfg(feature = "std")]
    #[error(transparent)]
    Shared(alloc::sync::Arc<BackendError>),
    /// An earlier failure left it unknown what is on disk.
    #[error(
        "the handle is no longer usable after an earlier failure; close the store and open it again"
    )]
    Unusable,
}

impl BackendError {
    /// The same error for one more caller who shares the transaction that failed.
    #[cfg(feature = "std")]
    pub(crate) fn share(self: &alloc::sync::Arc<Self>) -> Self {
        // What has no cause is said to each alike, so that callers need not look behind it.
        match **self {
            Self::Closed => Self::Closed,
            Self::ReadOnly => Self::ReadOnly,
            Self::Unusable => Self::Unusable,
            _ => Self::Shared(alloc::sync::Arc::clone(self)),
        }
    }

    /// A failure of the storage.
    pub fn storage(doing: &'static str, source: impl Into<Cause>) -> Self {
        Self::Storage {
            doing,
            source: source.into(),
        }
    }

    /// A row that is not what it must be.
    pub fn row(table: Table, expected: &'static str, found: impl Into<String>) -> Self {
        Self::Row {
            table,
            expected,
            found: found.into(),
        }
    }
}
