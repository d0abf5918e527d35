//! Errors below the state machine.

use alloc::boxed::Box;
use alloc::string::String;

use lattice_meta::SchemaVersion;

#[cfg(feature = "std")]
use crate::backend::FirstFailure;
use crate::backend::{Busy, Table};
use crate::machine::LogicFault;

/// The underlying cause of an error, from any backend.
pub type Cause = Box<dyn core::error::Error + Send + Sync>;

/// A failure of the storage below a store, or of the handle to it.
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
    /// A row of one of Lattice's own tables does not have the required form.
    #[error("table `{table}` is damaged: expected {expected}, found {found}")]
    Row {
        /// The table.
        table: Table,
        /// What every intact store has there.
        expected: &'static str,
        /// What was found.
        found: String,
    },
    /// The code of the store type failed. This says nothing about the storage.
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
        /// The layout when the store was opened.
        opened: SchemaVersion,
        /// The layout now.
        found: SchemaVersion,
    },
    /// Another process has recorded other code since the store was opened.
    #[error(
        "the store records `{found}` as its logic now, which is not that of this handle; open it \
         again"
    )]
    LogicChanged {
        /// The recorded version.
        found: String,
    },
    /// It was not this handle's turn to write for as long as it waits. Nothing has changed.
    #[error("the store is in use: {0}")]
    InUse(Busy),
    /// The file that was opened has been replaced by another one, or removed.
    #[error("the store's file was replaced or removed since it was opened; open the store again")]
    Replaced,
    /// The store was in use when it was copied, or its last writer was killed, and its journal is
    /// not beside it. Its newest transactions may be in the journal alone.
    #[error(
        "the store's journal is missing: its newest transactions may be in the files `{name}0` and \
         `{name}1`, which belong beside it"
    )]
    JournalMissing {
        /// The names of both files, without the last digit.
        name: String,
    },
    /// The store has a journal, which holds its newest transactions, and the backend that opened it
    /// reads none.
    #[error("the store's newest transactions are in its journal; open it with `JournaledBackend`")]
    JournalUnread,
    /// Readers of the store, in this process or another, prevent the compaction.
    #[error(
        "the store cannot be compacted while it is being read; try again when its readers are done"
    )]
    SnapshotsLive,
    /// The storage did not take the transaction: the disk is full, for example. The store is as it
    /// was before, and the handle can be used on. Transactions that had begun since fail as well.
    #[cfg(feature = "std")]
    #[error("the transaction was not committed, and the store is unchanged")]
    NotCommitted {
        /// What the storage reported.
        #[source]
        source: FirstFailure,
    },
    /// Several callers shared a transaction that failed.
    #[cfg(feature = "std")]
    #[error(transparent)]
    Shared(alloc::sync::Arc<BackendError>),
    /// After an earlier failure it is unknown what is on disk. Close the store and open it again.
    #[cfg(feature = "std")]
    #[error(
        "the handle is no longer usable after an earlier failure; close the store and open it again"
    )]
    Unusable {
        /// The first failure, if this handle knows it.
        #[source]
        first: Option<FirstFailure>,
    },
    /// The same, without the failure.
    #[cfg(not(feature = "std"))]
    #[error(
        "the handle is no longer usable after an earlier failure; close the store and open it again"
    )]
    Unusable,
}

impl BackendError {
    /// The same error for another caller that shares the failed transaction.
    #[cfg(feature = "std")]
    pub(crate) fn share(self: &alloc::sync::Arc<Self>) -> Self {
        // Return variants without a cause as they are, so that callers need not unwrap `Shared`.
        match **self {
            Self::Closed => Self::Closed,
            Self::ReadOnly => Self::ReadOnly,
            Self::InUse(ref busy) => Self::InUse(busy.clone()),
            Self::NotCommitted { ref source } => Self::NotCommitted {
                source: source.clone(),
            },
            Self::Unusable { ref first } => Self::Unusable {
                first: first.clone(),
            },
            _ => Self::Shared(alloc::sync::Arc::clone(self)),
        }
    }

    /// A handle that an earlier failure has made unusable, if the failure is unknown.
    #[cfg(feature = "std")]
    pub(crate) const fn unusable() -> Self {
        Self::Unusable { first: None }
    }

    /// A failure of the storage.
    pub fn storage(doing: &'static str, source: impl Into<Cause>) -> Self {
        Self::Storage {
            doing,
            source: source.into(),
        }
    }

    /// A row that does not have the required form.
    pub fn row(table: Table, expected: &'static str, found: impl Into<String>) -> Self {
        Self::Row {
            table,
            expected,
            found: found.into(),
        }
    }
}
