//! A disk that loses power at the step that a test chooses.

mod image;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::image::Fate;
use crate::conformance::Rng;
use crate::storage::{
    Disk, DiskCall, FailurePoint, FileId, FileMode, MemoryDisk, Storage, StorageOver,
};

/// An in-memory disk that records all changes to its files and to their names. For every step, it
/// can say what it would hold if power had failed after that step: everything that was synced, and
/// any part of the rest. Clones share the disk.
///
/// A sync of a file covers its bytes and its length, and not its name. A name that was created,
/// renamed or removed is durable after [`sync_entry`](Disk::sync_entry) of a name in the same
/// directory. [`open`](Disk::open) with [`FileMode::CreateNew`] includes this sync.
#[derive(Debug, Clone, Default)]
pub struct RecordingDisk {
    disk: MemoryDisk,
    steps: Arc<Mutex<Vec<Step>>>,
    syncs: FailurePoint,
}

/// What a power failure does to unsynced changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unsynced {
    /// All are lost.
    Lost,
    /// All are kept, as after a process was killed.
    Kept,
    /// Each is kept, lost or torn at random. A torn write keeps any of its sectors or pages, a
    /// prefix of any length, or only the length that it gives the file. So changes can be kept in
    /// any order.
    Torn,
}

/// A file whatever its name: its number on the disk.
type Node = u64;

#[derive(Debug, Clone)]
enum Step {
    Named(Naming),
    /// A directory, and whether the sync succeeded.
    SyncedNames(PathBuf, bool),
    Changed(Node, Change),
    /// A file, and whether the sync succeeded.
    Synced(Node, bool),
}

/// A change of names in one directory; all of it is durable, or nothing.
#[derive(Debug, Clone)]
struct Naming {
    removed: Option<PathBuf>,
    added: Option<(PathBuf, Node)>,
}

#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Resize(usize),
}

impl RecordingDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// A disk with these files, all synced. It shares nothing with `disk`.
    pub fn holding(disk: &MemoryDisk) -> Self {
        let held = Self::new();
        for path in disk.paths() {
            let bytes = disk.bytes(&path);
            held.insert(&path, bytes.expect("no other thread removes it"));
        }
        held
    }

    /// Makes syncs fail at this point: of files as [`DiskCall::Sync`], of names as
    /// [`DiskCall::SyncEntry`]. Of what was unsynced when a sync failed, any part is on the disk,
    /// and later syncs do not write the rest: an operating system marks it as written. Reads show
    /// all of it until power fails.
    #[must_use]
    pub fn fail_syncs(self, point: FailurePoint) -> Self {
        Self {
            syncs: point,
            ..self
        }
    }

    /// The disk as the next process finds it if all processes are killed now: nothing is lost,
    /// nothing more is synced, and no lock is held. What the old handles do from now on does not
    /// change it.
    #[must_use]
    pub fn killed(&self) -> Self {
        let steps = self.steps();
        Self {
            disk: self.disk.copied(),
            steps: Arc::new(Mutex::new(steps.clone())),
            syncs: FailurePoint::default(),
        }
    }

    /// Inserts a file that counts as synced.
    pub fn insert(&self, path: &Path, bytes: Vec<u8>) {
        let whole = Change::Write {
            offset: 0,
            bytes: bytes.clone(),
        };
        let mut steps = self.steps();
        self.disk.insert(path, bytes);
        let node = self.node(path).expect("it is there");
        steps.extend([
            Step::Changed(node, whole),
            Step::Synced(node, true),
            Step::Named(Naming::adding(path, node)),
            Step::SyncedNames(directory(path), true),
        ]);
    }

    /// The number of steps so far: names created, changed and removed, writes, resizes and syncs.
    pub fn step_count(&self) -> usize {
        self.steps().len()
    }

    /// Whether a step is a sync that succeeded, of a file or of names. Its effect is durable from
    /// the next step on.
    pub fn is_sync(&self, step: usize) -> bool {
        let steps = self.steps();
        let step = steps.get(step);
        matches!(
            step,
            Some(Step::Synced(_, true) | Step::SyncedNames(_, true))
        )
    }

    /// The contents of the disk if power fails after this many steps.
    pub fn after_power_loss(&self, steps: usize, unsynced: Unsynced, rng: &mut Rng) -> MemoryDisk {
        let mut fate = match unsynced {
            Unsynced::Lost => Fate::All(false),
            Unsynced::Kept => Fate::All(true),
            Unsynced::Torn => Fate::Random(rng),
        };
        image::of(&self.steps(), steps, &mut fate)
    }

    /// Calls `each` with what the disk may hold if power fails after this many steps: once for
    /// every choice of complete unsynced changes. If there are more than `most` choices, it calls
    /// `each` so often with random and torn ones, and for those without and with all changes.
    /// Returns whether the choices were all.
    pub fn each_power_loss(
        &self,
        steps: usize,
        most: usize,
        rng: &mut Rng,
        each: &mut dyn FnMut(MemoryDisk),
    ) -> bool {
        // A copy, so that `each` may use the disk.
        let recorded: Vec<Step> = self.steps().iter().take(steps).cloned().collect();
        let mut fate = Fate::chosen(0);
        let without = image::of(&recorded, steps, &mut fate);
        let choices = fate.choices().filter(|choices| *choices <= most);
        each(without);
        match choices {
            Some(choices) => {
                for choice in 1..choices {
                    each(image::of(&recorded, steps, &mut Fate::chosen(choice)));
                }
            }
            None => {
                each(image::of(&recorded, steps, &mut Fate::All(true)));
                for _ in 0..most {
                    each(image::of(&recorded, steps, &mut Fate::Random(rng)));
                }
            }
        }
        choices.is_some()
    }

    fn steps(&self) -> MutexGuard<'_, Vec<Step>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn node(&self, path: &Path) -> io::Result<Node> {
        let id = self.disk.file_id(path)?;
        Ok(id.expect("a disk in memory numbers its files").number)
    }

    /// Opens a file and records its name if it is new.
    fn opened(&self, path: &Path, mode: FileMode) -> io::Result<Box<dyn Storage>> {
        let mut steps = self.steps();
        let inner = self.disk.open(path, mode)?;
        let node = self.node(path)?;
        if mode == FileMode::CreateNew {
            steps.push(Step::Named(Naming::adding(path, node)));
        }
        Ok(Box::new(RecordingStorage {
            inner,
            node,
            steps: Arc::clone(&self.steps),
            syncs: self.syncs.clone(),
        }))
    }
}

/// The directory of a path.
fn directory(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).to_path_buf()
}

impl Naming {
    fn adding(path: &Path, node: Node) -> Self {
        Self {
            removed: None,
            added: Some((path.to_path_buf(), node)),
        }
    }

    fn directory(&self) -> PathBuf {
        let added = self.added.as_ref().map(|(path, _)| path);
        added
            .or(self.removed.as_ref())
            .map_or_else(PathBuf::new, |path| directory(path))
    }
}

impl Disk for RecordingDisk {
    fn open(&self, path: &Path, mode: FileMode) -> io::Result<Box<dyn Storage>> {
        let opened = self.opened(path, mode)?;
        if mode == FileMode::CreateNew
            && let Err(error) = self.sync_entry(path)
        {
            // As a disk of files does.
            self.remove(path)?;
            return Err(error);
        }
        Ok(opened)
    }

    fn file_id(&self, path: &Path) -> io::Result<Option<FileId>> {
        self.disk.file_id(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut steps = self.steps();
        self.disk.remove(path)?;
        steps.push(Step::Named(Naming {
            removed: Some(path.to_path_buf()),
            added: None,
        }));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if directory(from) != directory(to) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut steps = self.steps();
        let node = self.node(from)?;
        self.disk.rename(from, to)?;
        steps.push(Step::Named(Naming {
            removed: Some(from.to_path_buf()),
            added: Some((to.to_path_buf(), node)),
        }));
        Ok(())
    }

    fn sync_entry(&self, path: &Path) -> io::Result<()> {
        let mut steps = self.steps();
        let passed = self.syncs.pass(DiskCall::SyncEntry);
        steps.push(Step::SyncedNames(directory(path), passed.is_ok()));
        passed
    }

    fn create_beside(&self, _: &Path, path: &Path) -> io::Result<Box<dyn Storage>> {
        self.opened(path, FileMode::CreateNew)
    }

    /// Forwards the call: nothing that is durable depends on a lock file.
    fn open_lock(&self, store: &Path) -> io::Result<Box<dyn Storage>> {
        self.disk.open_lock(store)
    }
}

#[derive(Debug)]
struct RecordingStorage {
    inner: Box<dyn Storage>,
    node: Node,
    steps: Arc<Mutex<Vec<Step>>>,
    syncs: FailurePoint,
}

impl RecordingStorage {
    /// Makes a change and records it. No other step comes between the two.
    fn change(&self, change: Change, work: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        work()?;
        steps.push(Step::Changed(self.node, change));
        Ok(())
    }
}

impl StorageOver for RecordingStorage {
    fn under(&self) -> &dyn Storage {
        &*self.inner
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let change = Change::Write {
            offset: usize::try_from(offset).map_err(io::Error::other)?,
            bytes: bytes.to_vec(),
        };
        self.change(change, || self.inner.write_at(offset, bytes))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let change = Change::Resize(usize::try_from(len).map_err(io::Error::other)?);
        self.change(change, || self.inner.set_len(len))
    }

    fn sync(&self) -> io::Result<()> {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = self.syncs.pass(DiskCall::Sync);
        steps.push(Step::Synced(self.node, passed.is_ok()));
        passed
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }
}
