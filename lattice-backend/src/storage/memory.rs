//! An in-memory disk with the lock semantics of a real one.

use std::collections::HashMap;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};

use crate::storage::{Disk, FileId, FileMode, LockKind, LockRange, Storage};

/// A disk whose files live as long as it does. Clones share the files. Renaming or removing a file
/// changes its name only: who has it open reads and writes the same file as before.
#[derive(Debug, Clone, Default)]
pub struct MemoryDisk {
    files: Arc<Mutex<HashMap<PathBuf, Arc<MemoryFile>>>>,
    next_file: Arc<AtomicU64>,
    next_owner: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct MemoryFile {
    number: u64,
    bytes: RwLock<Vec<u8>>,
    locks: Mutex<Vec<HeldLock>>,
    released: Condvar,
}

#[derive(Debug, Clone, Copy)]
struct HeldLock {
    owner: u64,
    range: LockRange,
    kind: LockKind,
}

#[derive(Debug)]
struct MemoryStorage {
    file: Arc<MemoryFile>,
    owner: u64,
}

impl MemoryDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// A copy of a file's bytes; `None` if the file does not exist.
    pub fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        Some(lock(&self.files).get(path)?.content())
    }

    /// The paths of all files, ascending.
    pub fn paths(&self) -> Vec<PathBuf> {
        let mut paths: Vec<PathBuf> = lock(&self.files).keys().cloned().collect();
        paths.sort_unstable();
        paths
    }

    /// Inserts a file. Replaces an existing one.
    pub fn insert(&self, path: &Path, bytes: Vec<u8>) {
        let file = self.new_file(bytes);
        lock(&self.files).insert(path.to_path_buf(), file);
    }

    /// A disk of its own with the same files, of the same identities, and without locks.
    #[cfg(feature = "conformance")]
    pub(super) fn copied(&self) -> Self {
        let files = lock(&self.files);
        let copies = files.iter().map(|(path, file)| {
            let copy = MemoryFile {
                number: file.number,
                bytes: RwLock::new(file.content()),
                ..MemoryFile::default()
            };
            (path.clone(), Arc::new(copy))
        });
        Self {
            files: Arc::new(Mutex::new(copies.collect())),
            next_file: Arc::new(AtomicU64::new(self.next_file.load(Ordering::Relaxed))),
            next_owner: Arc::default(),
        }
    }

    fn new_file(&self, bytes: Vec<u8>) -> Arc<MemoryFile> {
        Arc::new(MemoryFile {
            number: self.next_file.fetch_add(1, Ordering::Relaxed),
            bytes: RwLock::new(bytes),
            ..MemoryFile::default()
        })
    }
}

impl MemoryFile {
    fn content(&self) -> Vec<u8> {
        let bytes = self.bytes.read().unwrap_or_else(PoisonError::into_inner);
        bytes.clone()
    }
}

/// The data behind these locks is consistent after every statement. A panic while a lock was held
/// does no harm, so poisoning is ignored.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Disk for MemoryDisk {
    fn open(&self, path: &Path, mode: FileMode) -> io::Result<Box<dyn Storage>> {
        let mut files = lock(&self.files);
        let file = match (mode, files.get(path)) {
            (FileMode::CreateNew, Some(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            (FileMode::CreateNew, None) => {
                let file = self.new_file(Vec::new());
                files.insert(path.to_path_buf(), Arc::clone(&file));
                file
            }
            (_, Some(file)) => Arc::clone(file),
            (_, None) => return Err(io::ErrorKind::NotFound.into()),
        };
        let owner = self.next_owner.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(MemoryStorage { file, owner }))
    }

    fn file_id(&self, path: &Path) -> io::Result<Option<FileId>> {
        let files = lock(&self.files);
        let file = files.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Some(FileId {
            device: 0,
            number: file.number,
        }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let removed = lock(&self.files).remove(path);
        removed
            .map(drop)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = lock(&self.files);
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_path_buf(), file);
        Ok(())
    }

    fn sync_entry(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

impl MemoryStorage {
    fn conflicts(&self, held: &[HeldLock], range: LockRange, kind: LockKind) -> bool {
        held.iter().any(|other| {
            other.owner != self.owner
                && (other.kind == LockKind::Exclusive || kind == LockKind::Exclusive)
                && overlap(other.range, range)
        })
    }
}

impl Storage for MemoryStorage {
    fn len_bytes(&self) -> io::Result<u64> {
        let bytes = self
            .file
            .bytes
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        u64::try_from(bytes.len()).map_err(io::Error::other)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let bytes = self
            .file
            .bytes
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let found = start
            .checked_add(buffer.len())
            .and_then(|end| bytes.get(start..end))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(found);
        Ok(())
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut bytes = self
            .file
            .bytes
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start
            .checked_add(data.len())
            .ok_or(io::ErrorKind::FileTooLarge)?;
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[start..end].copy_from_slice(data);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        self.file
            .bytes
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .resize(len, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn try_lock(&self, range: LockRange, kind: LockKind) -> io::Result<bool> {
        let mut held = lock(&self.file.locks);
        let free = !self.conflicts(&held, range, kind);
        if free {
            held.push(HeldLock {
                owner: self.owner,
                range,
                kind,
            });
        }
        Ok(free)
    }

    fn lock(&self, range: LockRange, kind: LockKind) -> io::Result<()> {
        let mut held = lock(&self.file.locks);
        while self.conflicts(&held, range, kind) {
            held = self
                .file
                .released
                .wait(held)
                .unwrap_or_else(PoisonError::into_inner);
        }
        held.push(HeldLock {
            owner: self.owner,
            range,
            kind,
        });
        Ok(())
    }

    fn unlock(&self, range: LockRange) -> io::Result<()> {
        lock(&self.file.locks).retain(|held| held.owner != self.owner || held.range != range);
        self.file.released.notify_all();
        Ok(())
    }

    fn is_locked(&self, range: LockRange) -> io::Result<bool> {
        Ok(self.conflicts(&lock(&self.file.locks), range, LockKind::Exclusive))
    }

    fn close(&self) -> io::Result<()> {
        lock(&self.file.locks).retain(|held| held.owner != self.owner);
        self.file.released.notify_all();
        Ok(())
    }
}

/// A storage that is dropped without being closed, as by a killed process, releases its locks.
impl Drop for MemoryStorage {
    fn drop(&mut self) {
        lock(&self.file.locks).retain(|held| held.owner != self.owner);
        self.file.released.notify_all();
    }
}

/// The first and last offset of a range.
fn ends(range: LockRange) -> (u64, u64) {
    let first = match range.0 {
        Bound::Included(start) => start,
        Bound::Excluded(start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let last = match range.1 {
        Bound::Included(end) => end,
        Bound::Excluded(end) => end.saturating_sub(1),
        Bound::Unbounded => u64::MAX,
    };
    (first, last)
}

fn overlap(a: LockRange, b: LockRange) -> bool {
    let ((a_first, a_last), (b_first, b_last)) = (ends(a), ends(b));
    a_first <= b_last && b_first <= a_last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_disk() {
        crate::storage::contract::check(&MemoryDisk::new(), Path::new("dir"));
    }
}
