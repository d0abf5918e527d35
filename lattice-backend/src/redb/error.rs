//! From redb's errors to ours, in functions: a conversion would show redb in the public API.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use redb::{DatabaseError, StorageError};

use crate::backend::{BackendError, FileError, PeekError};
use crate::storage::Storage;

/// What every redb file starts with.
const MAGIC: [u8; 9] = *b"redb\x1A\x0A\xA9\x0D\x0A";

/// Refuses a file that is not redb's before redb touches it. Gives the header's flags, none for a file
/// that ends in front of them.
pub(super) fn check_magic(storage: &dyn Storage, path: &Path) -> Result<u8, FileError> {
    let len = storage
        .len_bytes()
        .map_err(|source| open_error(path, source))?;
    // The flags stand behind the magic number.
    let mut found = [0; MAGIC.len() + 1];
    let start_len = usize::try_from(len).map_or(found.len(), |len| len.min(found.len()));
    if start_len >= MAGIC.len() {
        storage
            .read_at(0, &mut found[..start_len])
            .map_err(|source| open_error(path, source))?;
    }
    if let Some(&[flags]) = found.strip_prefix(&MAGIC) {
        return Ok(flags);
    }
    let detail = if len == 0 {
        "expected a redb database, found an empty file".to_owned()
    } else {
        format!("expected a redb database, found a file of {len} bytes that starts differently")
    };
    Err(FileError::NotAStore {
        path: path.to_path_buf(),
        detail,
    })
}

/// An error of the operating system while a file is opened.
pub(super) fn open_error(path: &Path, source: io::Error) -> FileError {
    let path = path.to_path_buf();
    match source.kind() {
        // Also where a file stands in place of a directory on the way.
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => FileError::NotFound { path },
        io::ErrorKind::AlreadyExists => FileError::Exists { path },
        io::ErrorKind::IsADirectory => FileError::NotAStore {
            path,
            detail: "expected a file, found a directory".into(),
        },
        io::ErrorKind::NotSeekable => FileError::NotAStore {
            path,
            detail: "expected a file, found a pipe, a socket or a device".into(),
        },
        _ => FileError::Io {
            path,
            source: source.into(),
        },
    }
}

/// An error of redb while a database is opened.
pub(super) fn file_error(path: &Path, error: DatabaseError) -> FileError {
    let path = path.to_path_buf();
    match error {
        DatabaseError::DatabaseAlreadyOpen => FileError::InUse { path },
        DatabaseError::Storage(StorageError::Corrupted(detail)) => {
            FileError::Damaged { path, detail }
        }
        DatabaseError::Storage(StorageError::Io(error))
            if error.kind() == io::ErrorKind::UnexpectedEof =>
        {
            FileError::Damaged {
                path,
                detail: "the file ends before its last page".into(),
            }
        }
        DatabaseError::Storage(StorageError::Io(error)) => FileError::Io {
            path,
            source: error.into(),
        },
        DatabaseError::UpgradeRequired(version) => FileError::NotAStore {
            path,
            detail: format!("expected a redb 4 database, found file format {version}"),
        },
        error => FileError::Io {
            path,
            source: error.into(),
        },
    }
}

/// An error of redb while an open database is used.
pub(super) fn storage_error(doing: &'static str, error: StorageError) -> BackendError {
    wrapped_error(doing, error)
}

/// The same for an error that redb has wrapped once more.
pub(super) fn wrapped_error(doing: &'static str, error: impl Into<redb::Error>) -> BackendError {
    match error.into() {
        redb::Error::Corrupted(detail) => BackendError::Damaged { detail },
        redb::Error::DatabaseClosed => BackendError::Closed,
        redb::Error::PreviousIo | redb::Error::LockPoisoned(_) => BackendError::Unusable,
        redb::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            BackendError::Damaged {
                detail: "the file ends before its last page".into(),
            }
        }
        // What the operating system said, for those who look for it among the causes.
        redb::Error::Io(error) => BackendError::storage(doing, error),
        error @ (redb::Error::TableTypeMismatch { .. }
        | redb::Error::TypeDefinitionChanged { .. }
        | redb::Error::TableIsMultimap(_)) => BackendError::Damaged {
            detail: error.to_string(),
        },
        error => BackendError::storage(doing, error),
    }
}

/// An error that a damaged file can be reported as.
pub(super) trait Damage {
    fn damaged(path: &Path, detail: String) -> Self;
}

impl Damage for FileError {
    fn damaged(path: &Path, detail: String) -> Self {
        Self::Damaged {
            path: path.to_path_buf(),
            detail,
        }
    }
}

impl Damage for PeekError {
    fn damaged(path: &Path, detail: String) -> Self {
        Self::File(FileError::damaged(path, detail))
    }
}

/// Runs what opens a file. redb trusts a file that says it was closed cleanly and panics over some
/// damage; nothing of ours outlives such a panic, so it is an error of this store like any other.
pub(super) fn contain<T, E: Damage>(
    path: &Path,
    open: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(open))
        .unwrap_or_else(|panic| Err(E::damaged(path, panic_text(&*panic))))
}

/// The same for a call on an open database.
pub(super) fn contain_call<T>(
    call: impl FnOnce() -> Result<T, BackendError>,
) -> Result<T, BackendError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| Err(damage(&*panic)))
}

/// The error that a panic of the engine is.
pub(super) fn damage(panic: &(dyn Any + Send)) -> BackendError {
    BackendError::Damaged {
        detail: panic_text(panic),
    }
}

pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!(
        "the engine stopped over it ({})",
        text.unwrap_or("without saying why")
    )
}
