//! Builds stores in directories of their own, each by one process at a time.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use lattice_backend::backend::FileError;
use lattice_backend::engine::open::OpenError;
use lattice_meta::StoreId;

use super::fs::{FsError, IfHeld, Made, empty_dir, hold, is_taken, lock_of, place_new, sync_dir};
use super::{ManagerError, STATE_DB, StoreManager};

/// The prefix of directories in which new stores are built; the id follows.
const NEW: &str = "building-";

/// A directory in which one process builds a store. It may contain what a killed attempt left.
/// Dropping this value removes the directory, unless the store has been placed.
pub(super) struct Building {
    dir: PathBuf,
    lock: PathBuf,
    /// Locked while this value lives.
    _held: File,
    made: Made,
}

impl Building {
    pub(super) fn begin(manager: &StoreManager, name: &str) -> Result<Self, ManagerError> {
        Self::begin_as(manager, name, IfHeld::Return)
    }

    /// An empty directory for an id that only this call makes. First removes what killed processes
    /// left.
    pub(super) fn begin_new(
        manager: &StoreManager,
        store_id: StoreId,
    ) -> Result<Self, ManagerError> {
        clear_left(&manager.dir);
        // Another process that removes leftovers may briefly hold the lock.
        let building = Self::begin_as(manager, &format!("{NEW}{store_id}"), IfHeld::Wait)?;
        building.empty()?;
        Ok(building)
    }

    fn begin_as(manager: &StoreManager, name: &str, if_held: IfHeld) -> Result<Self, ManagerError> {
        let mut made = Made::default();
        let data_dir = made.dir(&manager.dir)?;
        let (dir, lock) = (data_dir.join(name), lock_of(&data_dir, name));
        let held = hold(&lock, if_held).map_err(|source| FsError::new("lock", &lock, source))?;
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

    /// An empty directory of this name.
    pub(super) fn begin_empty(manager: &StoreManager, name: &str) -> Result<Self, ManagerError> {
        let building = Self::begin(manager, name)?;
        building.empty()?;
        Ok(building)
    }

    /// Empties the directory.
    pub(super) fn empty(&self) -> Result<(), ManagerError> {
        Ok(empty_dir(&self.dir)?)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The path of the store's file in the directory.
    pub(super) fn file(&self) -> PathBuf {
        self.dir.join(STATE_DB)
    }

    /// Moves the finished store to its place under `stores/`.
    pub(super) fn place(
        mut self,
        manager: &StoreManager,
        store_id: StoreId,
    ) -> Result<(), ManagerError> {
        let stores = self.made.dir(&manager.stores_dir())?;
        let place = stores.join(store_id.to_string());
        match fs::rename(&self.dir, &place) {
            // The target directory has no store, but may have kept files of one.
            Err(error) if is_taken(&error) => {
                let placed = place_new(&self.file(), &place.join(STATE_DB));
                placed.map_err(|error| match error.source.kind() {
                    io::ErrorKind::AlreadyExists => ManagerError::StoreExists { store_id },
                    _ => error.into(),
                })?;
            }
            moved => {
                moved.map_err(|source| FsError::new("move a new store to", &place, source))?;
            }
        }
        sync_dir(&stores)?;
        self.keep();
        Ok(())
    }

    /// Ends the build once the store is in its place: keeps the directories created for it.
    pub(super) fn keep(mut self) {
        std::mem::take(&mut self.made).keep();
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        // The caller reports the error that led here. Remove the lock's file while it is still
        // locked.
        let _ = fs::remove_dir_all(&self.dir);
        if cfg!(unix) {
            let _ = fs::remove_file(&self.lock);
        }
    }
}

/// Removes new stores whose processes were killed. Skips those that another process holds. What
/// cannot be removed does no harm.
fn clear_left(data_dir: &Path) {
    let entries = fs::read_dir(data_dir).into_iter().flatten().flatten();
    for name in entries.filter_map(|entry| entry.file_name().into_string().ok()) {
        let name = name.strip_suffix(".lock").unwrap_or(&name);
        let id = name.strip_prefix(NEW).map(str::parse::<StoreId>);
        if !matches!(id, Some(Ok(_))) {
            continue;
        }
        let lock = lock_of(data_dir, name);
        if let Ok(Some(held)) = hold(&lock, IfHeld::Return) {
            // Dropping it removes the directory and the lock's file.
            drop(Building {
                dir: data_dir.join(name),
                lock,
                _held: held,
                made: Made::default(),
            });
        }
    }
}
