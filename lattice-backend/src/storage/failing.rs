//! A disk that fails where a test wants it to.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{Disk, FileMode, LockKind, LockRange, Storage};

/// When a [`FailingDisk`] fails: from the n-th call that touches bytes on, or never. Clones are
/// the same point.
#[derive(Debug, Clone)]
pub struct FailurePoint {
    calls_left: Arc<AtomicU64>,
    failed: Arc<AtomicBool>,
}

impl Default for FailurePoint {
    fn default() -> Self {
        Self {
            calls_left: Arc::new(AtomicU64::new(u64::MAX)),
            failed: Arc::default(),
        }
    }
}

impl FailurePoint {
    /// Lets `calls` more calls pass and fails every one after them.
    pub fn fail_after(&self, calls: u64) {
        self.failed.store(false, Ordering::SeqCst);
        self.calls_left.store(calls, Ordering::SeqCst);
    }

    /// Lets every call pass.
    pub fn heal(&self) {
        self.fail_after(u64::MAX);
    }

    /// Whether a call has failed since [`Self::fail_after`].
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    fn pass(&self) -> io::Result<()> {
        let step = |left: u64| match left {
            0 => None,
            u64::MAX => Some(u64::MAX),
            left => Some(left - 1),
        };
        match self
            .calls_left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, step)
        {
            Ok(_) => Ok(()),
            Err(_) => {
                self.failed.store(true, Ordering::SeqCst);
                Err(io::Error::other("injected failure"))
            }
        }
    }
}

/// Another disk, with failures injected into reads, writes, resizes and syncs.
#[derive(Debug)]
pub struct FailingDisk<D> {
    disk: D,
    point: FailurePoint,
}

impl<D> FailingDisk<D> {
    /// Over `disk`, failing at `point`.
    pub fn new(disk: D, point: FailurePoint) -> Self {
        Self { disk, point }
    }
}

impl<D: Disk> Disk for FailingDisk<D> {
    fn open(&self, path: &Path, mode: FileMode) -> io::Result<Box<dyn Storage>> {
        let inner = self.disk.open(path, mode)?;
        Ok(Box::new(FailingStorage {
            inner,
            point: self.point.clone(),
        }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
}

#[derive(Debug)]
struct FailingStorage {
    inner: Box<dyn Storage>,
    point: FailurePoint,
}

impl Storage for FailingStorage {
    fn len_bytes(&self) -> io::Result<u64> {
        self.inner.len_bytes()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.point.pass()?;
        self.inner.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.point.pass()?;
        self.inner.write_at(offset, bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.point.pass()?;
        self.inner.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.point.pass()?;
        self.inner.sync()
    }

    fn try_lock(&self, range: LockRange, kind: LockKind) -> io::Result<bool> {
        self.inner.try_lock(range, kind)
    }

    fn lock(&self, range: LockRange, kind: LockKind) -> io::Result<()> {
        self.inner.lock(range, kind)
    }

    fn unlock(&self, range: LockRange) -> io::Result<()> {
        self.inner.unlock(range)
    }

    fn is_locked(&self, range: LockRange) -> io::Result<bool> {
        self.inner.is_locked(range)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }
}
