//! The bytes below a database: a file, memory, or a test's failing disk.

#[cfg(test)]
pub(crate) mod contract;
#[cfg(feature = "conformance")]
mod failing;
mod memory;
mod over;
#[cfg(feature = "conformance")]
mod recording;

#[cfg(feature = "conformance")]
pub use failing::{DiskCall, DiskFault, FailingDisk, Failure, FailurePoint, Lasting};
pub use memory::MemoryDisk;
pub use over::{DiskOver, StorageOver};
#[cfg(feature = "conformance")]
pub use recording::{RecordingDisk, Unsynced};

use std::fmt::Debug;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};

/// A range of byte offsets to lock; it may lie beyond the end of the storage.
pub type LockRange = (Bound<u64>, Bound<u64>);

/// Whether a lock admits other locks on the same range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LockKind {
    /// Others may hold shared locks.
    Shared,
    /// No other value may hold a lock.
    Exclusive,
}

/// One open random-access storage.
/// Locks are advisory and belong to this value. They conflict with the locks of every other value
/// opened on the same storage, in this process or another. [`close`](Self::close) releases all of
/// them.
pub trait Storage: Debug + Send + Sync + 'static {
    /// Its length in bytes.
    ///
    /// # Errors
    /// What the operating system reports; this holds for all methods here.
    fn len_bytes(&self) -> io::Result<u64>;

    /// Fills `buffer` with the bytes from `offset` on; fails if the storage ends before.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Writes `bytes` from `offset` on.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Truncates or extends the storage; new bytes are zero.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Returns once everything written is on stable storage.
    fn sync(&self) -> io::Result<()>;

    /// Takes a lock unless another value holds a conflicting one. Returns whether it was taken.
    fn try_lock(&self, range: LockRange, kind: LockKind) -> io::Result<bool>;

    /// Takes a lock; waits until conflicting ones are released.
    fn lock(&self, range: LockRange, kind: LockKind) -> io::Result<()>;

    /// Releases a lock of exactly this range.
    fn unlock(&self, range: LockRange) -> io::Result<()>;

    /// Whether another value holds a lock in the range.
    fn is_locked(&self, range: LockRange) -> io::Result<bool>;

    /// Releases all locks. No other method is called afterwards.
    fn close(&self) -> io::Result<()>;
}

/// Identifies a file among all files that exist at the same time, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileId {
    /// The file's device.
    pub device: u64,
    /// The file's number on the device.
    pub number: u64,
}

/// What a storage is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileMode {
    /// Reading.
    Read,
    /// Reading and writing.
    ReadWrite,
    /// Creating a file, for reading and writing; the file must not exist.
    CreateNew,
}

/// The end of the name of a store's lock file.
pub const TURN_SUFFIX: &str = ".turn";

/// The names of the two files of a store's journal are that of the store's file with this text and
/// `0` or `1`.
pub const SEGMENT_SUFFIX: &str = ".journal-";

/// The path of the lock file of the store's file at this path.
pub(crate) fn lock_beside(store: &Path) -> PathBuf {
    let mut path = store.as_os_str().to_owned();
    path.push(TURN_SUFFIX);
    PathBuf::from(path)
}

/// Opens storages by path.
pub trait Disk: Debug + Send + Sync + 'static {
    /// Opens a storage.
    ///
    /// # Errors
    /// What the operating system reports, with the kinds `NotFound` and `AlreadyExists` where
    /// they apply.
    fn open(&self, path: &Path, mode: FileMode) -> io::Result<Box<dyn Storage>>;

    /// The identity of the file at a path, if the disk provides one. A new file under the same name
    /// has another identity.
    ///
    /// # Errors
    /// What the operating system reports.
    fn file_id(&self, path: &Path) -> io::Result<Option<FileId>> {
        let _ = path;
        Ok(None)
    }

    /// Creates a storage without a path; closing or dropping it removes it. It is in memory unless
    /// the disk provides something better.
    ///
    /// # Errors
    /// What the operating system reports.
    fn scratch(&self) -> io::Result<Box<dyn Storage>> {
        MemoryDisk::new().open(Path::new("scratch"), FileMode::CreateNew)
    }

    /// Removes a storage.
    ///
    /// # Errors
    /// What the operating system reports.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Gives a file another name in its directory. A file that has this name is replaced. The new
    /// name is durable after [`sync_entry`](Self::sync_entry).
    ///
    /// # Errors
    /// What the operating system reports.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Makes durable what became of a name in its directory: a file that was created, renamed or
    /// removed.
    ///
    /// # Errors
    /// What the operating system reports.
    fn sync_entry(&self, path: &Path) -> io::Result<()>;

    /// The one path of a file that several paths may lead to through links. Files that belong to a
    /// store's file stand beside this path.
    ///
    /// # Errors
    /// What the operating system reports.
    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_path_buf())
    }

    /// Whether a path is a link to a file that may be elsewhere.
    ///
    /// # Errors
    /// What the operating system reports.
    fn is_link(&self, _: &Path) -> io::Result<bool> {
        Ok(false)
    }

    /// Creates a file that belongs to the store's file at the canonical path `store`, with the
    /// rights of that file. Its entry is durable after [`sync_entry`](Self::sync_entry).
    ///
    /// # Errors
    /// What the operating system reports; the kind is `AlreadyExists` if the file exists.
    fn create_beside(&self, store: &Path, path: &Path) -> io::Result<Box<dyn Storage>> {
        let _ = store;
        self.open(path, FileMode::CreateNew)
    }

    /// Opens the lock file of a store's file, and creates it if it is missing: its name is that of
    /// the store's file with [`TURN_SUFFIX`]. Users who may write to the store's file can lock it,
    /// and no others. Its contents need not survive a crash.
    ///
    /// # Errors
    /// What the operating system reports.
    fn open_lock(&self, store: &Path) -> io::Result<Box<dyn Storage>> {
        let path = &lock_beside(store);
        loop {
            match self.open(path, FileMode::ReadWrite) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                opened => return opened,
            }
            match self.open(path, FileMode::CreateNew) {
                // Another process created it first.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                created => return created,
            }
        }
    }
}
