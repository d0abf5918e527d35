//! The texts of failures: the chain of causes, remedies, and the bound of a message.

use std::borrow::Cow;
use std::env;
use std::error::Error;
use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::RangeInclusive;
use std::path::Path;

use lattice_backend::backend::{FileError, PeekError};
use lattice_backend::bundle::BundleError;
use lattice_backend::engine::open::OpenError;

use crate::ManagerError;
use crate::program::output::json_text;

/// The most bytes of a message, and how many of them are its end. Texts of users, files and modules
/// can be in it.
const MAX_MESSAGE_BYTES: usize = 4096;
const END_BYTES: usize = 1024;
/// How every bundle begins.
const BUNDLE_START: &[u8; 15] = b"lattice bundle\n";

/// Omits the middle of a message that is too long: the start has the cause, the end the remedy.
pub(super) fn bounded(message: &str) -> Cow<'_, str> {
    if message.len() <= MAX_MESSAGE_BYTES {
        return message.into();
    }
    let boundary = |places: RangeInclusive<usize>| {
        let mut places = places;
        places.find(|place| message.is_char_boundary(*place))
    };
    // A character has at most four bytes, so a boundary is near.
    let (start, end) = (MAX_MESSAGE_BYTES - END_BYTES, message.len() - END_BYTES);
    let start = boundary(start..=start + 3).unwrap_or(0);
    let end = boundary(end..=end + 3).unwrap_or(message.len());
    let omitted = end - start;
    let (start, end) = (&message[..start], &message[end..]);
    format!("{start} ... ({omitted} bytes) ... {end}").into()
}

/// The remedy for an error of the operating system, at any depth among the causes.
pub(super) fn next_step(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let reported = error.downcast_ref::<io::Error>().map(io::Error::kind);
        let step = match reported {
            Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                "free some space and try again"
            }
            Some(io::ErrorKind::PermissionDenied) => "ask its owner for access",
            Some(io::ErrorKind::ReadOnlyFilesystem) => "copy it to a writable file system",
            Some(io::ErrorKind::FileTooLarge) => {
                "raise the limit of a file's size (`ulimit -f`), or use another file system"
            }
            Some(io::ErrorKind::OutOfMemory) => "free some memory and try again",
            _ if is_out_of_files(error) => {
                "close other files, or raise the limit of open files (`ulimit -n`)"
            }
            _ => step_from_another_file(error),
        };
        if !step.is_empty() {
            return Some(step);
        }
        cause = error.source();
    }
    None
}

/// Whether the place of a store has something else.
pub(super) fn is_replaced(error: &(dyn Error + 'static)) -> bool {
    let found = file_error(error);
    matches!(found, Some(FileError::NotAStore { path, .. }) if path.ends_with("state.db"))
}

/// The command for a file of another kind than the one that was expected.
fn step_from_another_file(error: &(dyn Error + 'static)) -> &'static str {
    if let Some(FileError::NotAStore { path, .. }) = file_error(error)
        && is_bundle(path)
    {
        return "it is a bundle, which `lattice bundle apply FILE` takes";
    }
    match error.downcast_ref() {
        Some(BundleError::NotABundle { found }) if found.starts_with("redb") => {
            "it looks like a store: `lattice restore FILE` takes a copy of a store"
        }
        _ => "",
    }
}

/// The error of a file. Errors that only pass it on do not name it as their source.
fn file_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a FileError> {
    fn of_peek(error: &PeekError) -> Option<&FileError> {
        match error {
            PeekError::File(error) => Some(error),
            _ => None,
        }
    }
    if let Some(error) = error.downcast_ref() {
        return match error {
            ManagerError::Peek(error) | ManagerError::Open(OpenError::Peek(error)) => {
                of_peek(error)
            }
            ManagerError::Open(OpenError::File(error)) | ManagerError::Create(error) => Some(error),
            _ => None,
        };
    }
    let peeked = error.downcast_ref().and_then(of_peek);
    peeked.or_else(|| error.downcast_ref())
}

/// Whether a file begins like a bundle.
fn is_bundle(path: &Path) -> bool {
    let begins = |mut file: File| {
        let mut start = [0; BUNDLE_START.len()];
        file.read_exact(&mut start).is_ok() && start == *BUNDLE_START
    };
    path.is_file() && File::open(path).is_ok_and(begins)
}

/// Whether something in a path is not a directory.
pub(super) fn is_not_a_directory(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let reported = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if reported == Some(io::ErrorKind::NotADirectory) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The remedy for that error: what names the path.
pub(super) fn step_to_a_directory(message: &str, data_dir: Option<&Path>) -> &'static str {
    // Whether the path, or a part of it, is something else.
    let is_broken = |dir: &Path| {
        let mut parts = dir.ancestors().filter_map(|part| part.metadata().ok());
        parts.any(|part| !part.is_dir())
    };
    let temporary = env::temp_dir();
    if message.contains(&*temporary.to_string_lossy()) && is_broken(&temporary) {
        "name a directory with the variable TMPDIR"
    } else if data_dir.is_some_and(is_broken) {
        "name a directory with --data-dir or LATTICE_DATA_DIR"
    } else {
        "a part of this path is a file: name another path"
    }
}

/// Whether this process, or the system, has no file left to open. The standard library has no kind
/// for it.
fn is_out_of_files(error: &(dyn Error + 'static)) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    let code = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::raw_os_error);
    cfg!(unix) && matches!(code, Some(ENFILE | EMFILE))
}

/// An error and its causes on one line. Omits a cause whose text the error already contains.
pub(in crate::program) fn chain(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !message.ends_with(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
        cause = error.source();
    }
    message
}

pub(in crate::program) fn print_json(kind: &str, message: &str) {
    let error = serde_json::json!({ "error": { "kind": kind, "message": message } });
    print_error(&json_text(&error));
}

pub(super) fn print_error(line: &str) {
    // If standard error cannot be written, the exit code still reports the failure.
    let _ = writeln!(io::stderr(), "{line}");
}
