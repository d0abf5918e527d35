//! Files and directories of a data directory: locks, replacement, permissions, durability.
//!
//! * [`DirLock`] and [`LockFile`]: who changes small files.
//! * [`replace_bytes`]: replaces a small file.
//! * [`take_place`] and [`replace_kept`]: move a file to the place of another one.
//! * [`Partial`]: a file that is made beside its place, and appears there complete.
//! * [`finishing`] and [`try_stop`]: what stands when a program is interrupted.
//! * [`make_dirs`]: directories that only their owner can access.
//!
//! A file that takes another one's place keeps its mode and its owner. A new file has mode 0600, a
//! new directory 0700. What root makes in a data directory belongs to the directory's owner
//! ([`adopt`]). A file or directory that was made or renamed here survives a power failure: its
//! directory is synced, and the directory's own entry if it is new.
//!
//! Systems without permission bits have locks, replacement and syncs, but neither modes nor owners.

mod access;
mod dirs;
mod lock;
pub(crate) mod names;
mod partial;
mod replace;
mod unfinished;

pub use access::{adopt, keep_access, set_mode};
pub use dirs::{directory_of, make_dirs, remove_all, sync_dir};
pub use lock::{DIR_LOCK, DirLock, LockFile, MAX_WAIT, wait_for_lock};
pub use partial::Partial;
pub use replace::{create_private, link_target, replace_bytes, replace_kept, take_place};
pub use unfinished::{Finishing, Making, Stopped, finishing, has_placed, try_stop, unfinished};

pub(crate) use dirs::make_dir;
pub(crate) use unfinished::{Fate, check_running};

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a file or a directory cannot be locked, made or replaced. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilesError {
    /// Another process holds a lock, and has held it for as long as the caller waits.
    #[error("another process holds the lock {}, and has not released it for {} seconds; end that process, or wait and try again", path.display(), waited.as_secs())]
    Held {
        /// The lock file.
        path: PathBuf,
        /// How long this call has waited.
        waited: Duration,
    },
    /// The file belongs to another user, who could not access the file that replaces it.
    #[error("{} belongs to user {owner}, who could not access a file that this user puts in its place; run the command as user {owner}", path.display())]
    OwnerLost {
        /// The file that would be replaced.
        path: PathBuf,
        /// The numeric id of its owner.
        owner: u32,
    },
    /// The path does not name a regular file.
    #[error("{} is not a file, and is not replaced by one; move it away and try again", path.display())]
    NotAFile {
        /// The path, after following links.
        path: PathBuf,
    },
    /// The operating system returned an error.
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
}

impl FilesError {
    /// What the operating system returned, when `doing` something to `path`.
    pub fn io(doing: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io {
            doing,
            path: path.into(),
            source,
        }
    }

    /// The file or directory that the error is about.
    pub fn path(&self) -> &Path {
        match self {
            Self::Held { path, .. }
            | Self::OwnerLost { path, .. }
            | Self::NotAFile { path }
            | Self::Io { path, .. } => path,
        }
    }

    /// What the operating system reported, if it did.
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Io { source, .. } => Some(source.kind()),
            _ => None,
        }
    }
}

/// Calls the operating system again while a signal interrupts the call.
pub(crate) fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests;
