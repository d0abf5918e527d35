//! The texts of failures: the chain of causes, remedies, and the bound of a message.

use std::borrow::Cow;
use std::error::Error;
use std::io;
use std::ops::RangeInclusive;

/// The most bytes of a message, and how many of them are its end. Texts of users, files and modules
/// can be in it.
const MAX_MESSAGE_BYTES: usize = 4096;
const END_BYTES: usize = 1024;

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
            Some(io::ErrorKind::NotADirectory) => {
                "name a directory with --data-dir or LATTICE_DATA_DIR"
            }
            Some(io::ErrorKind::FileTooLarge) => {
                "raise the limit of a file's size (`ulimit -f`), or use another file system"
            }
            Some(io::ErrorKind::OutOfMemory) => "free some memory and try again",
            _ if is_out_of_files(error) => {
                "close other files, or raise the limit of open files (`ulimit -n`)"
            }
            _ => "",
        };
        if !step.is_empty() {
            return Some(step);
        }
        cause = error.source();
    }
    None
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
