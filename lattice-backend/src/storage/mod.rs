//! The bytes underneath a database: a file, memory, or a test's failing disk.

#[cfg(feature = "conformance")]
mod failing;
mod memory;
#[cfg(feature = "conformance")]
mod recording;

#[cfg(feature = "conformance")]
pub use failing::{DiskCall, DiskFault, FailingDisk, Failure, FailurePoint, Lasting};
pub use memory::MemoryDisk;
#[cfg(feature = "conformance")]
pub use recording::{RecordingDisk, Unsynced};

use std::fmt::Debug;
use std::io;
use std::ops::Bound;
use std::path::Path;

/// A range of byte offsets to lock; it may lie beyond the end of the storage.
pub type LockRange = (Bound<u64>, Bound<u64>);

/// Whether others may hold a lock of the same range too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LockKind {
    /// Others may hold it shared.
    Shared,
    /// Nobody else may hold any.
    Exclusive,
}

/// One open random-access storage.
///
/// Locks are advisory, belong to this value and conflict with those of every other value that
/// was opened on the same storage, in this process or another; [`close`](Self::close) releases
/// them all.
pub trait Storage: Debug + Send + Sync + 'static {
    /// Its length in bytes.
    ///
    /// # Errors
    /// What the operating system reports; so for every method here.
    fn len_bytes(&self) -> io::Result<u64>;

    /// Fills `buffer` with the bytes from `offset` on; an error if it ends before.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Writes `bytes` from `offset` on.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts or extends it; new bytes are zero.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Returns once everything written is on stable storage.
    fn sync(&self) -> io::Result<()>;

    /// Takes a lock if nobody holds a conflicting one; whether it was taken.
    fn try_lock(&self, range: LockRange, kind: LockKind) -> io::Result<bool>;

    /// Takes a lock, waiting for conflicting ones to go.
    fn lock(&self, range: LockRange, kind: LockKind) -> io::Result<()>;

    /// Releases a lock of exactly this range.
    fn unlock(&self, range: LockRange) -> io::Result<()>;

    /// Whether somebody else holds any lock in the range.
    fn is_locked(&self, range: LockRange) -> io::Result<bool>;

    /// Releases all locks; nothing else is called afterwards.
    fn close(&self) -> io::Result<()>;
}

/// What tells a file from every other that exists at the same time, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileId {
    /// The device that it is on.
    pub device: u64,
    /// Its number there.
    pub number: u64,
}

/// What a storage is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileMode {
    /// Reading.
    Read,
    /// Reading and writing.
    ReadWrite,
    /// Reading and writing a file that is made by this; it must not exist.
    CreateNew,
}

/// Where storages are found by path.
pub trait Disk: Debug + Send + Sync + 'static {
    /// Opens one.
    ///
    /// # Errors
    /// What the operating system reports, with the kinds `NotFound` and `AlreadyExists` where
    /// they apply.
    fn open(&self, path: &Path, mode: FileMode) -> io::Result<Box<dyn Storage>>;

    /// Which file it is that stands at a path, if the disk can tell: another one is another file,
    /// even under the same name.
    ///
    /// # Errors
    /// What the operating system reports.
    fn file_id(&self, path: &Path) -> io::Result<Option<FileId>> {
        let _ = path;
        Ok(None)
    }

    /// Makes one that has no path and is gone when it is closed or dropped. It is in memory if the
    /// disk has nothing better.
    ///
    /// # Errors
    /// What the operating system reports.
    fn scratch(&self) -> io::Result<Box<dyn Storage>> {
        MemoryDisk::new().open(Path::new("scratch"), FileMode::CreateNew)
    }

    /// Removes one.
    ///
    /// # Errors
    /// What the operating system reports.
    fn remove(&self, path: &Path) -> io::Result<()>;
}
