//! Stores that are made beside the others, by one process at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use lattice_backend::backend::FileError;
use lattice_backend::engine::open::OpenError;
use lattice_meta::StoreId;

use super::create::Made;
use super::{ManagerError, STATE_DB, StoreManager};

/// What the directories of new stores are called, before their ids.
const NEW: &str = "building-";

/// A directory for a store that is being made, which nobody else makes meanwhile. It may have what an
/// attempt has left that was killed; this one's is gone at the end, unless it is placed.
pub(super) struct Building {
    dir: PathBuf,
    lock: PathBuf,
    /// Held for as long as this lives.
    _held: File,
    made: Made,
}

impl Building {
    pub(super) fn begin(manager: &StoreManager, name: &str) -> Result<Self, ManagerError> {
        Self::begin_as(manager, name, IfHeld::Give)
    }

    /// One for a store that nobody else makes, with nothing in it. What others have left that were
    /// killed goes.
    pub(super) fn begin_new(
        manager: &StoreManager,
        store_id: StoreId,
    ) -> Result<Self, ManagerError> {
        clear_left(&manager.dir);
        // Who clears away what is left can hold it for a moment.
        let building = Self::begin_as(manager, &format!("{NEW}{store_id}"), IfHeld::Wait)?;
        building.empty()?;
        Ok(building)
    }

    fn begin_as(manager: &StoreManager, name: &str, if_held: IfHeld) -> Result<Self, ManagerError> {
        let mut made = Made::default();
        let data_dir = made.dir(&manager.dir)?;
        let (dir, lock) = (data_dir.join(name), lock_of(&data_dir, name));
        let held =
            hold(&lock, if_held).map_err(|source| ManagerError::io("lock", &lock, source))?;
        let Some(held) = held else {
            made.keep();
            let in_use = FileError::InUse { path: dir };
            return Err(ManagerError::Open(OpenError::File(in_use)));
        };
        Ok(Self {
            dir,
            lock,
            _held: held,
            made,
        })
    }

    /// One with nothing in it.
    pub(super) fn begin_empty(manager: &StoreManager, name: &str) -> Result<Self, ManagerError> {
        let building = Self::begin(manager, name)?;
        building.empty()?;
        Ok(building)
    }

    /// Removes what is there, and makes the directory anew.
    pub(super) fn empty(&self) -> Result<(), ManagerError> {
        let dir = &self.dir;
        match fs::remove_dir_all(dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(ManagerError::io("remove", dir, error));
            }
            _ => {}
        }
        fs::create_dir(dir).map_err(|source| ManagerError::io("make directory", dir, source))
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the store's file is to be.
    pub(super) fn file(&self) -> PathBuf {
        self.dir.join(STATE_DB)
    }

    /// Moves the store to where stores are.
    pub(super) fn place(
        mut self,
        manager: &StoreManager,
        store_id: StoreId,
    ) -> Result<(), ManagerError> {
        self.made.dir(&manager.stores_dir())?;
        manager.place(&self.dir, store_id)?;
        self.keep();
        Ok(())
    }

    /// Ends it when what was made has been put elsewhere.
    pub(super) fn keep(mut self) {
        std::mem::take(&mut self.made).keep();
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        // The error that led here is the one to report. The lock's file goes while it is held.
        let _ = fs::remove_dir_all(&self.dir);
        if cfg!(unix) {
            let _ = fs::remove_file(&self.lock);
        }
    }
}

fn lock_of(data_dir: &Path, name: &str) -> PathBuf {
    data_dir.join(format!("{name}.lock"))
}

/// Removes the new stores that were being made when their makers were killed. What somebody holds
/// stays, and so does what cannot be removed: it is in nobody's way.
fn clear_left(data_dir: &Path) {
    let entries = fs::read_dir(data_dir).into_iter().flatten().flatten();
    for name in entries.filter_map(|entry| entry.file_name().into_string().ok()) {
        let name = name.strip_suffix(".lock").unwrap_or(&name);
        let id = name.strip_prefix(NEW).map(str::parse::<StoreId>);
        if !matches!(id, Some(Ok(_))) {
            continue;
        }
        let lock = lock_of(data_dir, name);
        if let Ok(Some(held)) = hold(&lock, IfHeld::Give) {
            // It goes with this.
            drop(Building {
                dir: data_dir.join(name),
                lock,
                _held: held,
                made: Made::default(),
            });
        }
    }
}

/// What is done about a lock that somebody holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IfHeld {
    Give,
    Wait,
}

/// Locks a file that is made if it is not there; nothing if somebody else holds it, unless that is
/// waited for.
fn hold(path: &Path, if_held: IfHeld) -> io::Result<Option<File>> {
    loop {
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        match (if_held, file.try_lock()) {
            (_, Ok(())) => {}
            (IfHeld::Give, Err(TryLockError::WouldBlock)) => return Ok(None),
            (IfHeld::Wait, Err(TryLockError::WouldBlock)) => file.lock()?,
            (_, Err(TryLockError::Error(error))) => return Err(error),
        }
        // Whoever held it before may have removed it: then others do not see this lock.
        match fs::metadata(path) {
            Ok(there) if is_same(&there, &file.metadata()?) => return Ok(Some(file)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether two names are those of one file.
#[cfg(unix)]
pub(super) fn is_same(a: &fs::Metadata, b: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// Files that are open are not removed here.
#[cfg(not(unix))]
pub(super) fn is_same(_: &fs::Metadata, _: &fs::Metadata) -> bool {
    true
}
