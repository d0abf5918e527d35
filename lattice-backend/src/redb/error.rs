//! Converts redb's errors to ours. Uses functions, because `From` impls would show redb in the
//! public API.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use redb::{DatabaseError, StorageError};

use crate::backend::file_error::FileFault;
use crate::backend::{BackendError, Busy};
use crate::storage::Storage;

/// The first bytes of every redb file.
pub(super) const MAGIC: [u8; 9] = *b"redb\x1A\x0A\xA9\x0D\x0A";

/// Refuses a file that is not a redb file before redb touches it. Returns the header's flags; a
/// file that ends before them has no flags set.
pub(super) fn check_magic(storage: &dyn Storage) -> Result<u8, FileFault> {
    let len = storage.len_bytes().map_err(open_error)?;
    // The flags follow the magic number.
    let mut found = [0; MAGIC.len() + 1];
    let start_len = usize::try_from(len).map_or(found.len(), |len| len.min(found.len()));
    if start_len >= MAGIC.len() {
        storage
            .read_at(0, &mut found[..start_len])
            .map_err(open_error)?;
    }
    if let Some(&[flags]) = found.strip_prefix(&MAGIC) {
        return Ok(flags);
    }
    Err(FileFault::NotAStore(if len == 0 {
        "expected a redb database, found an empty file".into()
    } else {
        format!("expected a redb database, found a file of {len} bytes that starts differently")
    }))
}

/// Converts an error of the operating system at open.
pub(super) fn open_error(error: io::Error) -> FileFault {
    match error.kind() {
        // `NotADirectory`: a parent in the path is a file.
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => FileFault::NotFound,
        io::ErrorKind::AlreadyExists => FileFault::Exists,
        io::ErrorKind::IsADirectory => {
            FileFault::NotAStore("expected a file, found a directory".into())
        }
        io::ErrorKind::NotSeekable => {
            FileFault::NotAStore("expected a file, found a pipe, a socket or a device".into())
        }
        _ => FileFault::Io(error.into()),
    }
}

/// Converts a redb error at open.
pub(super) fn file_error(error: DatabaseError) -> FileFault {
    match error {
        // Also a lock on all bytes of the file, which any process that can read it can take.
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            FileFault::InUse(Busy::default())
        }
        DatabaseError::Storage(StorageError::Corrupted(detail)) => FileFault::Damaged(detail),
        DatabaseError::Storage(StorageError::Io(error))
            if error.kind() == io::ErrorKind::UnexpectedEof =>
        {
            FileFault::Damaged("the file ends before its last page".into())
        }
        DatabaseError::Storage(StorageError::Io(error)) => FileFault::Io(error.into()),
        DatabaseError::UpgradeRequired(version) => FileFault::NotAStore(format!(
            "expected a redb 4 database, found file format {version}"
        )),
        error => FileFault::Io(error.into()),
    }
}

/// Converts a redb error of an open database.
pub(super) fn storage_error(doing: &'static str, error: StorageError) -> BackendError {
    wrapped_error(doing, error)
}

/// The same for an error that redb has wrapped.
pub(super) fn wrapped_error(doing: &'static str, error: impl Into<redb::Error>) -> BackendError {
    match error.into() {
        redb::Error::Corrupted(detail) => BackendError::Damaged { detail },
        redb::Error::DatabaseClosed => BackendError::Closed,
        redb::Error::PreviousIo | redb::Error::LockPoisoned(_) => BackendError::unusable(),
        redb::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            BackendError::Damaged {
                detail: "the file ends before its last page".into(),
            }
        }
        // The operating system's error, for callers that search the error's causes for it.
        redb::Error::Io(error) => BackendError::storage(doing, error),
        error @ (redb::Error::TableTypeMismatch { .. }
        | redb::Error::TypeDefinitionChanged { .. }
        | redb::Error::TableIsMultimap(_)) => BackendError::Damaged {
            detail: error.to_string(),
        },
        error => BackendError::storage(doing, error),
    }
}

/// Runs a call of redb. redb trusts a file that was marked as closed cleanly, and panics on some
/// damage. None of our data outlives such a panic, so it becomes an error of this store.
pub(super) fn contain<T, E: From<BackendError>>(
    call: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| Err(damage(&*panic).into()))
}

/// The message of the macro `unreachable`.
const UNREACHABLE: &str = "internal error: entered unreachable code";

/// Converts a panic of redb to an error.
pub(super) fn damage(panic: &(dyn Any + Send)) -> BackendError {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    // What is unreachable for redb is what no redb writes.
    let text = text.map(|text| text.replace(UNREACHABLE, "bytes that redb does not write"));
    let text = text.as_deref().unwrap_or("without a message");
    BackendError::Damaged {
        detail: format!("redb could not read it ({text})"),
    }
}
