//! Errors of files and directories.

use std::io;
use std::path::{Path, PathBuf};

/// Why a file or a directory could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{} could not be read or written", .path.display())]
pub(crate) struct FileError {
    path: PathBuf,
    source: io::Error,
}

/// Adds the path to an error, for `map_err`.
pub(crate) fn at(path: &Path) -> impl Fn(io::Error) -> FileError {
    |source| FileError {
        path: path.to_path_buf(),
        source,
    }
}
