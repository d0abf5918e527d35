//! A disk that fails at the calls that a test chooses.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::storage::{Disk, FileMode, Storage, StorageOver};

/// The storage calls that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DiskCall {
    /// Reading bytes.
    Read,
    /// Writing bytes.
    Write,
    /// Truncating or extending the storage.
    Resize,
    /// Syncing written bytes to stable storage.
    Sync,
    /// Creating a file.
    Create,
    /// Renaming a file.
    Rename,
    /// Removing a file.
    Remove,
    /// Syncing names to stable storage.
    SyncEntry,
}

impl DiskCall {
    /// The calls on open files.
    pub const ON_FILES: [Self; 4] = [Self::Read, Self::Write, Self::Resize, Self::Sync];
    /// The calls on names of files.
    pub const ON_NAMES: [Self; 4] = [Self::Create, Self::Rename, Self::Remove, Self::SyncEntry];
}

/// The error that a failing disk returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DiskFault {
    /// An I/O error: `EIO`.
    Io,
    /// The disk is full: `ENOSPC`.
    Full,
}

impl DiskFault {
    /// The error number on Unix.
    pub const fn os_code(self) -> i32 {
        match self {
            Self::Io => 5,
            Self::Full => 28,
        }
    }
}

/// How long a failure lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lasting {
    /// One call fails.
    Once,
    /// Every later call of the kind fails.
    FromThenOn,
}

/// Which calls fail, and with which error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Failure {
    /// The kind of calls that fail. Calls of other kinds succeed and are not counted.
    pub call: DiskCall,
    /// How many calls of the kind succeed before the first failure.
    pub after: u64,
    /// How long the failure lasts.
    pub lasting: Lasting,
    /// The error that the caller gets.
    pub fault: DiskFault,
}

/// Controls when a [`FailingDisk`] fails; initially never. Clones share the state.
#[derive(Debug, Clone, Default)]
pub struct FailurePoint(Arc<Mutex<Plan>>);

#[derive(Debug, Default)]
struct Plan {
    failure: Option<Failure>,
    passed: u64,
    has_failed: bool,
}

impl FailurePoint {
    /// Makes calls fail as described, counted from now on.
    pub fn fail(&self, failure: Failure) {
        *self.plan() = Plan {
            failure: Some(failure),
            ..Plan::default()
        };
    }

    /// Lets all calls succeed.
    pub fn heal(&self) {
        *self.plan() = Plan::default();
    }

    /// Whether a call has failed since [`Self::fail`].
    pub fn has_failed(&self) -> bool {
        self.plan().has_failed
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn pass(&self, call: DiskCall) -> io::Result<()> {
        let mut plan = self.plan();
        let Some(failure) = plan.failure.filter(|failure| failure.call == call) else {
            return Ok(());
        };
        let healed = plan.has_failed && failure.lasting == Lasting::Once;
        if healed || plan.passed < failure.after {
            plan.passed += 1;
            return Ok(());
        }
        plan.has_failed = true;
        Err(io::Error::from_raw_os_error(failure.fault.os_code()))
    }
}

/// Wraps a disk and makes calls fail. A write that fails has written its first half. Every other
/// call that fails has changed nothing; [`RecordingDisk::fail_syncs`](super::RecordingDisk) has
/// syncs that lose what was written.
#[derive(Debug)]
pub struct FailingDisk<D> {
    disk: D,
    point: FailurePoint,
}

impl<D> FailingDisk<D> {
    /// Wraps `disk`, with failures controlled by `point`.
    pub fn new(disk: D, point: FailurePoint) -> Self {
        Self { disk, point }
    }

    fn failing(&self, inner: Box<dyn Storage>) -> Box<dyn Storage> {
        let point = self.point.clone();
        Box::new(FailingStorage { inner, point })
    }
}

impl<D: Disk> crate::storage::DiskOver for FailingDisk<D> {
    fn under(&self) -> &dyn Disk {
        &self.disk
    }

    fn open(&self, path: &Path, mode: FileMode) -> io::Result<Box<dyn Storage>> {
        if mode == FileMode::CreateNew {
            self.point.pass(DiskCall::Create)?;
        }
        Ok(self.failing(self.disk.open(path, mode)?))
    }

    fn scratch(&self) -> io::Result<Box<dyn Storage>> {
        Ok(self.failing(self.disk.scratch()?))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.point.pass(DiskCall::Remove)?;
        self.disk.remove(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.point.pass(DiskCall::Rename)?;
        self.disk.rename(from, to)
    }

    fn sync_entry(&self, path: &Path) -> io::Result<()> {
        self.point.pass(DiskCall::SyncEntry)?;
        self.disk.sync_entry(path)
    }

    fn create_beside(&self, store: &Path, path: &Path) -> io::Result<Box<dyn Storage>> {
        self.point.pass(DiskCall::Create)?;
        Ok(self.failing(self.disk.create_beside(store, path)?))
    }
}

#[derive(Debug)]
struct FailingStorage {
    inner: Box<dyn Storage>,
    point: FailurePoint,
}

impl StorageOver for FailingStorage {
    fn under(&self) -> &dyn Storage {
        &*self.inner
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.point.pass(DiskCall::Read)?;
        self.inner.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let passed = self.point.pass(DiskCall::Write);
        let written = match &passed {
            Ok(()) => bytes,
            Err(_) => &bytes[..bytes.len() / 2],
        };
        self.inner.write_at(offset, written)?;
        passed
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.point.pass(DiskCall::Resize)?;
        self.inner.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.point.pass(DiskCall::Sync)?;
        self.inner.sync()
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::MemoryDisk;

    const PATH: &str = "file";

    fn fail(point: &FailurePoint, call: DiskCall) {
        point.fail(Failure {
            call,
            after: 0,
            lasting: Lasting::Once,
            fault: DiskFault::Full,
        });
    }

    #[test]
    fn it_is_a_disk_until_it_fails() {
        let disk = FailingDisk::new(MemoryDisk::new(), FailurePoint::default());
        crate::storage::contract::check(&disk, Path::new("dir"));
    }

    #[test]
    fn each_kind_of_call_fails_and_changes_nothing() {
        let (disk, point) = (MemoryDisk::new(), FailurePoint::default());
        disk.insert(Path::new(PATH), b"before".to_vec());
        let failing = FailingDisk::new(disk.clone(), point.clone());
        let file = failing.open(Path::new(PATH), FileMode::ReadWrite).unwrap();
        let (here, there) = (Path::new(PATH), Path::new("there"));
        for call in DiskCall::ON_FILES.into_iter().chain(DiskCall::ON_NAMES) {
            fail(&point, call);
            let done = match call {
                DiskCall::Read => file.read_at(0, &mut [0]),
                DiskCall::Write => file.write_at(0, b"X"),
                DiskCall::Resize => file.set_len(0),
                DiskCall::Sync => file.sync(),
                DiskCall::Create => failing.create_beside(here, there).map(drop),
                DiskCall::Rename => failing.rename(here, there),
                DiskCall::Remove => failing.remove(here),
                DiskCall::SyncEntry => failing.sync_entry(here),
            };
            assert_eq!(done.unwrap_err().raw_os_error(), Some(28), "{call:?}");
            assert!(point.has_failed());
            assert_eq!(disk.paths(), [here]);
            assert_eq!(disk.bytes(here).unwrap(), b"before");
        }
        fail(&point, DiskCall::Create);
        failing.open(there, FileMode::CreateNew).unwrap_err();
        assert_eq!(disk.paths(), [here]);
    }

    #[test]
    fn a_write_that_fails_has_written_its_first_half() {
        let (disk, point) = (MemoryDisk::new(), FailurePoint::default());
        disk.insert(Path::new(PATH), b"before".to_vec());
        let failing = FailingDisk::new(disk.clone(), point.clone());
        let file = failing.open(Path::new(PATH), FileMode::ReadWrite).unwrap();
        fail(&point, DiskCall::Write);
        file.write_at(0, b"AFTER!").unwrap_err();
        assert_eq!(disk.bytes(Path::new(PATH)).unwrap(), b"AFTore");
        file.write_at(0, b"AFTER!").unwrap();
        assert_eq!(disk.bytes(Path::new(PATH)).unwrap(), b"AFTER!");
    }
}
