//! Why a `state.db` cannot be opened, created or peeked at.
//!
//! Code that opens a file returns a [`FileFault`] or a [`PeekFault`], which do not name the file.
//! The backend that received the path adds it, once, with `at`.

use std::path::{Path, PathBuf};

use lattice_meta::MetaError;

use crate::backend::{BackendError, Busy, Cause};

/// Why a `state.db` cannot be opened or created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// No such file.
    #[error("no store at {}", path.display())]
    NotFound {
        /// The file.
        path: PathBuf,
    },
    /// The file exists already.
    #[error("{} already exists, and a new store never replaces a file; choose another path", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Another handle or process has the file open in a conflicting mode.
    #[error("{} is in use: {busy}", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
        /// What uses it, as far as is known.
        busy: Busy,
    },
    /// The file is not a store.
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
        /// What the backend found.
        detail: String,
    },
    /// The store was in use when it was copied, or its last writer was killed, and its journal is
    /// not beside it.
    #[error(
        "the journal of {} is missing: the store's newest transactions may be in the files \
         `{name}0` and `{name}1` alone, which belong beside it", path.display()
    )]
    JournalMissing {
        /// The store's file.
        path: PathBuf,
        /// The names of both files, without the last digit.
        name: String,
    },
    /// The operating system returned an error.
    #[error("cannot open {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was reported.
        #[source]
        source: Cause,
    },
}

impl FileError {
    /// The same error, about the file at `to` if it is about the one at `from`: for a file that is
    /// made under another name than the caller's.
    #[must_use]
    pub fn renamed(mut self, from: &Path, to: &Path) -> Self {
        let (Self::NotFound { path }
        | Self::Exists { path }
        | Self::InUse { path, .. }
        | Self::NotAStore { path, .. }
        | Self::Damaged { path, .. }
        | Self::JournalMissing { path, .. }
        | Self::Io { path, .. }) = &mut self;
        if path == from {
            *path = to.to_path_buf();
        }
        self
    }
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
    /// The file opened, but reading it failed.
    #[error("cannot read {}", path.display())]
    Backend {
        /// The file.
        path: PathBuf,
        /// What was reported.
        #[source]
        source: BackendError,
    },
}

/// A [`FileError`] without the path.
#[derive(Debug)]
pub(crate) enum FileFault {
    NotFound,
    Exists,
    InUse(Busy),
    #[cfg_attr(
        not(feature = "redb"),
        expect(dead_code, reason = "the redb backend makes it")
    )]
    NotAStore(String),
    Damaged(String),
    JournalMissing(String),
    Io(Cause),
}

impl FileFault {
    /// The error for the file at `path`.
    pub(crate) fn at(self, path: &Path) -> FileError {
        let path = path.to_path_buf();
        match self {
            Self::NotFound => FileError::NotFound { path },
            Self::Exists => FileError::Exists { path },
            Self::InUse(busy) => FileError::InUse { path, busy },
            Self::NotAStore(detail) => FileError::NotAStore { path, detail },
            Self::Damaged(detail) => FileError::Damaged { path, detail },
            Self::JournalMissing(name) => FileError::JournalMissing { path, name },
            Self::Io(source) => FileError::Io { path, source },
        }
    }
}

/// The file opened, but reading or writing it failed.
impl From<BackendError> for FileFault {
    fn from(error: BackendError) -> Self {
        match error {
            BackendError::Damaged { detail } => Self::Damaged(detail),
            BackendError::InUse(busy) => Self::InUse(busy),
            BackendError::JournalMissing { name } => Self::JournalMissing(name),
            error => Self::Io(error.into()),
        }
    }
}

/// A [`PeekError`] without the path.
#[derive(Debug)]
pub(crate) enum PeekFault {
    File(FileFault),
    Meta(MetaError),
    Backend(BackendError),
}

impl PeekFault {
    /// The error for the file at `path`.
    pub(crate) fn at(self, path: &Path) -> PeekError {
        let file = path.to_path_buf();
        match self {
            Self::File(fault) => PeekError::File(fault.at(path)),
            Self::Meta(source) => PeekError::Meta { path: file, source },
            Self::Backend(source) => PeekError::Backend { path: file, source },
        }
    }
}

impl From<FileFault> for PeekFault {
    fn from(fault: FileFault) -> Self {
        Self::File(fault)
    }
}

impl From<BackendError> for PeekFault {
    fn from(error: BackendError) -> Self {
        Self::Backend(error)
    }
}

impl From<MetaError> for PeekFault {
    fn from(error: MetaError) -> Self {
        Self::Meta(error)
    }
}
