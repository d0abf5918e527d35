//! A disk that loses power at the step that a test chooses.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::conformance::Rng;
use crate::storage::{Disk, FileMode, LockKind, LockRange, MemoryDisk, Storage};

/// The unit that a disk writes atomically, if it does so at all.
const SECTOR_BYTES: usize = 512;

/// An in-memory disk that records all changes to its files. For every step, it can tell what it
/// would hold if power had failed after that step: everything that was synced, and any part of the
/// rest. Clones share the disk.
///
/// Creating and removing files counts as durable at once, because a [`Disk`] syncs directories
/// itself.
#[derive(Debug, Clone, Default)]
pub struct RecordingDisk {
    disk: MemoryDisk,
    steps: Arc<Mutex<Vec<Step>>>,
}

/// What a power failure does to unsynced changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unsynced {
    /// All are lost.
    Lost,
    /// All are kept, as after a process was killed.
    Kept,
    /// Each is kept, lost or torn at random. A torn write keeps any of its sectors, or a prefix of
    /// any length. So changes can be kept in any order.
    Torn,
}

#[derive(Debug)]
enum Step {
    Create(PathBuf),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
    Change(PathBuf, Change),
    Sync(PathBuf),
}

#[derive(Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Resize(usize),
}

impl RecordingDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Inserts a file that counts as synced.
    pub fn insert(&self, path: &Path, bytes: Vec<u8>) {
        let whole = Change::Write {
            offset: 0,
            bytes: bytes.clone(),
        };
        let mut steps = self.steps();
        self.disk.insert(path, bytes);
        steps.push(Step::Create(path.to_path_buf()));
        steps.push(Step::Change(path.to_path_buf(), whole));
        steps.push(Step::Sync(path.to_path_buf()));
    }

    /// The number of steps so far: files created and removed, writes, resizes and syncs.
    pub fn step_count(&self) -> usize {
        self.steps().len()
    }

    /// Whether a step is a sync. Its effect is durable from the next step on.
    pub fn is_sync(&self, step: usize) -> bool {
        matches!(self.steps().get(step), Some(Step::Sync(_)))
    }

    /// The contents of the disk if power fails after this many steps.
    pub fn after_power_loss(&self, steps: usize, unsynced: Unsynced, rng: &mut Rng) -> MemoryDisk {
        let recorded = self.steps();
        let mut files = BTreeMap::<&Path, (Vec<u8>, Vec<&Change>)>::new();
        for step in recorded.iter().take(steps) {
            match step {
                Step::Create(path) => drop(files.insert(path, Default::default())),
                Step::Remove(path) => drop(files.remove(&**path)),
                Step::Rename(from, to) => {
                    if let Some(file) = files.remove(&**from) {
                        files.insert(to, file);
                    }
                }
                Step::Change(path, change) => {
                    if let Some((_, pending)) = files.get_mut(&**path) {
                        pending.push(change);
                    }
                }
                Step::Sync(path) => {
                    if let Some((durable, pending)) = files.get_mut(&**path) {
                        pending.drain(..).for_each(|change| change.make(durable));
                    }
                }
            }
        }
        let left = MemoryDisk::new();
        for (path, (mut bytes, pending)) in files {
            for change in pending {
                match unsynced {
                    Unsynced::Lost => {}
                    Unsynced::Kept => change.make(&mut bytes),
                    Unsynced::Torn => change.make_some(&mut bytes, rng),
                }
            }
            left.insert(path, bytes);
        }
        left
    }

    fn steps(&self) -> MutexGuard<'_, Vec<Step>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Change {
    fn make(&self, file: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => write(file, *offset, bytes),
            Self::Resize(len) => file.resize(*len, 0),
        }
    }

    /// Applies a random part of the change, or nothing.
    fn make_some(&self, file: &mut Vec<u8>, rng: &mut Rng) {
        match (rng.below(4), self) {
            (0, _) => {}
            (1, _) | (_, Self::Resize(_)) => self.make(file),
            (2, Self::Write { offset, bytes }) => {
                let kept = rng.below(bytes.len() + 1);
                write(file, *offset, &bytes[..kept]);
            }
            (_, Self::Write { offset, bytes }) => {
                let mut at = *offset;
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let in_sector = (SECTOR_BYTES - at % SECTOR_BYTES).min(rest.len());
                    let (sector, behind) = rest.split_at(in_sector);
                    if rng.one_in(2) {
                        write(file, at, sector);
                    }
                    at += in_sector;
                    rest = behind;
                }
            }
        }
    }
}

fn write(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if file.len() < end && !bytes.is_empty() {
        file.resize(end, 0);
    }
    if !bytes.is_empty() {
        file[offset..end].copy_from_slice(bytes);
    }
}

impl Disk for RecordingDisk {
    fn open(&self, path: &Path, mode: FileMode) -> io::Result<Box<dyn Storage>> {
        let mut steps = self.steps();
        let inner = self.disk.open(path, mode)?;
        if mode == FileMode::CreateNew {
            steps.push(Step::Create(path.to_path_buf()));
        }
        Ok(Box::new(RecordingStorage {
            inner,
            path: path.to_path_buf(),
            steps: Arc::clone(&self.steps),
        }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut steps = self.steps();
        self.disk.remove(path)?;
        steps.push(Step::Remove(path.to_path_buf()));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut steps = self.steps();
        self.disk.rename(from, to)?;
        steps.push(Step::Rename(from.to_path_buf(), to.to_path_buf()));
        Ok(())
    }

    fn sync_entry(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_entry(path)
    }

    /// Forwards the call: nothing that is durable depends on a lock file.
    fn open_lock(&self, store: &Path) -> io::Result<Box<dyn Storage>> {
        self.disk.open_lock(store)
    }
}

#[derive(Debug)]
struct RecordingStorage {
    inner: Box<dyn Storage>,
    path: PathBuf,
    steps: Arc<Mutex<Vec<Step>>>,
}

impl RecordingStorage {
    /// Runs a step and records it. No other step comes between the two.
    fn record(
        &self,
        work: impl FnOnce() -> io::Result<()>,
        step: impl FnOnce(PathBuf) -> Step,
    ) -> io::Result<()> {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        work()?;
        steps.push(step(self.path.clone()));
        Ok(())
    }
}

impl Storage for RecordingStorage {
    fn len_bytes(&self) -> io::Result<u64> {
        self.inner.len_bytes()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.inner.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let change = Change::Write {
            offset: usize::try_from(offset).map_err(io::Error::other)?,
            bytes: bytes.to_vec(),
        };
        self.record(
            || self.inner.write_at(offset, bytes),
            |path| Step::Change(path, change),
        )
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let change = Change::Resize(usize::try_from(len).map_err(io::Error::other)?);
        self.record(
            || self.inner.set_len(len),
            |path| Step::Change(path, change),
        )
    }

    fn sync(&self) -> io::Result<()> {
        self.record(|| self.inner.sync(), Step::Sync)
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
