//! Storages and disks that change some calls of another one.

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};

use crate::storage::{Disk, FileId, FileMode, LockKind, LockRange, Storage};

/// A storage over another one. A provided method forwards its call; an implementation writes only
/// those methods that it changes. Each such type is a [`Storage`].
///
/// The methods are those of [`Storage`].
#[expect(missing_docs, reason = "they are those of `Storage`")]
pub trait StorageOver: Debug + Send + Sync + 'static {
    /// The storage that calls are forwarded to.
    fn under(&self) -> &dyn Storage;

    fn len_bytes(&self) -> io::Result<u64> {
        self.under().len_bytes()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.under().read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.under().write_at(offset, bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.under().set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.under().sync()
    }

    fn try_lock(&self, range: LockRange, kind: LockKind) -> io::Result<bool> {
        self.under().try_lock(range, kind)
    }

    fn lock(&self, range: LockRange, kind: LockKind) -> io::Result<()> {
        self.under().lock(range, kind)
    }

    fn unlock(&self, range: LockRange) -> io::Result<()> {
        self.under().unlock(range)
    }

    fn is_locked(&self, range: LockRange) -> io::Result<bool> {
        self.under().is_locked(range)
    }

    fn close(&self) -> io::Result<()> {
        self.under().close()
    }
}

impl<T: StorageOver> Storage for T {
    fn len_bytes(&self) -> io::Result<u64> {
        StorageOver::len_bytes(self)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        StorageOver::read_at(self, offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        StorageOver::write_at(self, offset, bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        StorageOver::set_len(self, len)
    }

    fn sync(&self) -> io::Result<()> {
        StorageOver::sync(self)
    }

    fn try_lock(&self, range: LockRange, kind: LockKind) -> io::Result<bool> {
        StorageOver::try_lock(self, range, kind)
    }

    fn lock(&self, range: LockRange, kind: LockKind) -> io::Result<()> {
        StorageOver::lock(self, range, kind)
    }

    fn unlock(&self, range: LockRange) -> io::Result<()> {
        StorageOver::unlock(self, range)
    }

    fn is_locked(&self, range: LockRange) -> io::Result<bool> {
        StorageOver::is_locked(self, range)
    }

    fn close(&self) -> io::Result<()> {
        StorageOver::close(self)
    }
}

/// A disk over another one. A provided method forwards its call, also
/// [`create_beside`](Disk::create_beside) and [`open_lock`](Disk::open_lock); an implementation
/// writes only those methods that it changes. Each such type is a [`Disk`].
///
/// The methods are those of [`Disk`].
#[expect(missing_docs, reason = "they are those of `Disk`")]
pub trait DiskOver: Debug + Send + Sync + 'static {
    /// The disk that calls are forwarded to.
    fn under(&self) -> &dyn Disk;

    fn open(&self, path: &Path, mode: FileMode) -> io::Result<Box<dyn Storage>> {
        self.under().open(path, mode)
    }

    fn file_id(&self, path: &Path) -> io::Result<Option<FileId>> {
        self.under().file_id(path)
    }

    fn scratch(&self) -> io::Result<Box<dyn Storage>> {
        self.under().scratch()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.under().remove(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.under().rename(from, to)
    }

    fn sync_entry(&self, path: &Path) -> io::Result<()> {
        self.under().sync_entry(path)
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        self.under().canonical(path)
    }

    fn is_link(&self, path: &Path) -> io::Result<bool> {
        self.under().is_link(path)
    }

    fn create_beside(&self, store: &Path, path: &Path) -> io::Result<Box<dyn Storage>> {
        self.under().create_beside(store, path)
    }

    fn open_lock(&self, store: &Path) -> io::Result<Box<dyn Storage>> {
        self.under().open_lock(store)
    }
}

impl<T: DiskOver> Disk for T {
    fn open(&self, path: &Path, mode: FileMode) -> io::Result<Box<dyn Storage>> {
        DiskOver::open(self, path, mode)
    }

    fn file_id(&self, path: &Path) -> io::Result<Option<FileId>> {
        DiskOver::file_id(self, path)
    }

    fn scratch(&self) -> io::Result<Box<dyn Storage>> {
        DiskOver::scratch(self)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        DiskOver::remove(self, path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        DiskOver::rename(self, from, to)
    }

    fn sync_entry(&self, path: &Path) -> io::Result<()> {
        DiskOver::sync_entry(self, path)
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        DiskOver::canonical(self, path)
    }

    fn is_link(&self, path: &Path) -> io::Result<bool> {
        DiskOver::is_link(self, path)
    }

    fn create_beside(&self, store: &Path, path: &Path) -> io::Result<Box<dyn Storage>> {
        DiskOver::create_beside(self, store, path)
    }

    fn open_lock(&self, store: &Path) -> io::Result<Box<dyn Storage>> {
        DiskOver::open_lock(self, store)
    }
}
