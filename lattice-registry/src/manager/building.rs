//! Builds stores in directories of their own, each by one process at a time.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lattice_backend::backend::{Busy, FileError};
use lattice_backend::engine::open::OpenError;
use lattice_meta::StoreId;

use super::fs::{Made, empty_dir, is_taken, lock_of};
use super::{ID_CHARS, ManagerError, STATE_DB, StoreManager};
use crate::files::names::{self, OnDisk};
use crate::files::{
    DIR_LOCK, DirLock, Fate, FilesError, LockFile, MAX_WAIT, Making, Partial, adopt, check_running,
    finishing, remove_all,
};

/// The prefixes of directories in which stores are built: new ones, copies, and those that a
/// migration makes, or the restore of a chain. The id follows, for a migration that of the old
/// store.
pub(super) const NEW: &str = "building-";
pub(super) const COPYING: &str = "copying-";
pub(super) const MIGRATING: &str = "migrating-";
pub(super) const RESTORING: &str = "restoring-";

/// All of them.
pub(super) const STARTS: [&str; 4] = [NEW, COPYING, MIGRATING, RESTORING];
/// The next command of the same kind resumes what is in these.
const RESUMED: [&str; 2] = [MIGRATING, RESTORING];

/// A directory in which one process builds a store. It may contain what a killed attempt left.
/// Dropping this value removes the directory, unless the store has been placed.
pub(super) struct Building {
    dir: PathBuf,
    _making: Making,
    /// Dropped after the directory is removed, and before the one that its file is in.
    _lock: LockFile,
    made: Made,
}

impl Building {
    /// First removes what killed processes left.
    pub(super) fn begin(manager: &StoreManager, name: &str) -> Result<Self, ManagerError> {
        manager.clear_interrupted();
        Self::begin_as(manager, name, Duration::ZERO)
    }

    /// An empty directory for an id that only this call makes. First removes what killed processes
    /// left.
    pub(super) fn begin_new(
        manager: &StoreManager,
        store_id: StoreId,
    ) -> Result<Self, ManagerError> {
        manager.clear_interrupted();
        // Another process that removes leftovers may briefly hold the lock.
        let building = Self::begin_as(manager, &format!("{NEW}{store_id}"), MAX_WAIT)?;
        building.empty()?;
        Ok(building)
    }

    fn begin_as(manager: &StoreManager, name: &str, wait: Duration) -> Result<Self, ManagerError> {
        let mut made = Made::default();
        let data_dir = made.dir(&manager.dir)?;
        let dir = data_dir.join(name);
        match LockFile::take(lock_of(&data_dir, name), wait) {
            Ok(lock) => Ok(Self {
                _making: Making::begin(&dir, fate_of(name)),
                dir,
                made,
                _lock: lock,
            }),
            Err(FilesError::Held { .. }) => {
                made.keep();
                let in_use = FileError::InUse {
                    path: dir,
                    busy: Busy::default(),
                };
                Err(ManagerError::Open(OpenError::File(in_use)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// An empty directory of this name.
    pub(super) fn begin_empty(manager: &StoreManager, name: &str) -> Result<Self, ManagerError> {
        let building = Self::begin(manager, name)?;
        building.empty()?;
        Ok(building)
    }

    /// Empties the directory.
    pub(super) fn empty(&self) -> Result<(), ManagerError> {
        // A stop comes before or after the directory is made.
        let _finishing = finishing();
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
        let finishing = finishing();
        adopt(&self.file())?;
        let stores = self.made.dir(&manager.stores_dir())?;
        let place = stores.join(store_id.to_string());
        match names::move_dir(&OnDisk, &self.dir, &place) {
            // The target directory has no store, but may have kept files of one.
            Err(error) if error.io_kind().is_some_and(is_taken) => {
                let placed = names::place(&OnDisk, &self.file(), &place.join(STATE_DB));
                placed.map_err(|error| match error.io_kind() {
                    Some(io::ErrorKind::AlreadyExists) => ManagerError::StoreExists { store_id },
                    _ => error.into(),
                })?;
            }
            moved => moved?,
        }
        finishing.placed(&place);
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
        check_running();
        // The caller reports the error that led here.
        let _ = remove_all(&self.dir);
    }
}

/// An interrupted migration is resumed by the next one, and so is the restore of a chain.
fn fate_of(name: &str) -> Fate {
    match RESUMED.iter().any(|start| name.starts_with(start)) {
        true => Fate::Keep,
        false => Fate::Remove,
    }
}

impl StoreManager {
    /// Removes what killed processes left in the data directory: stores that were not finished or
    /// not removed completely, and lock files. Leaves what a migration has made, or the restore of
    /// a chain, because the next one resumes it. What cannot be removed does no harm.
    pub fn clear_interrupted(&self) {
        for name in left(&self.dir).unwrap_or_else(|_| BTreeSet::new()) {
            let start = STARTS.into_iter().find(|start| name.starts_with(start));
            let has_id = start.is_some_and(|start| {
                let id = name
                    .strip_prefix(start)
                    .and_then(|rest| rest.get(..ID_CHARS));
                id.is_some_and(|id| id.parse::<StoreId>().is_ok())
            });
            let is_resumed = start.is_some_and(|start| RESUMED.contains(&start));
            if has_id && (!is_resumed || !self.dir.join(&name).exists()) {
                let _ = clear(&self.dir, &name);
            }
        }
        self.clear_going();
        Partial::clear(&self.dir);
        if self.dir.join(DIR_LOCK).exists() {
            // Dropping the lock removes the file.
            drop(DirLock::take(&self.dir, Duration::ZERO));
        }
    }
}

/// Removes what killed processes left of stores that they were building with this id, or from a
/// store of this id. Returns the directories that it has removed.
pub(super) fn clear_left_of(
    data_dir: &Path,
    store_id: StoreId,
) -> Result<Vec<PathBuf>, FilesError> {
    let id = store_id.to_string();
    let starts = STARTS.map(|start| format!("{start}{id}"));
    let names = left(data_dir)?.into_iter();
    let of_it = names.filter(|name| starts.iter().any(|start| name.starts_with(start)));
    of_it
        .filter_map(|name| clear(data_dir, &name).transpose())
        .collect()
}

/// The names in a data directory, without the endings of lock files; none if there is no directory.
pub(super) fn left(data_dir: &Path) -> Result<BTreeSet<String>, FilesError> {
    let failed = |source| FilesError::io("list", data_dir, source);
    let entries = match fs::read_dir(data_dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        entries => entries.map_err(failed)?,
    };
    let mut names = BTreeSet::new();
    for entry in entries {
        // Lattice makes no name that is not UTF-8.
        if let Ok(name) = entry.map_err(failed)?.file_name().into_string() {
            names.insert(name.strip_suffix(".lock").unwrap_or(&name).to_owned());
        }
    }
    Ok(names)
}

/// Removes a directory in which a killed process was building a store, with its lock file. Skips
/// one that another process holds. Returns the directory if it was there.
pub(super) fn clear(data_dir: &Path, name: &str) -> Result<Option<PathBuf>, FilesError> {
    let _lock = match LockFile::take(lock_of(data_dir, name), Duration::ZERO) {
        Err(FilesError::Held { .. }) => return Ok(None),
        lock => lock?,
    };
    let dir = data_dir.join(name);
    let is_there = fs::symlink_metadata(&dir).is_ok();
    remove_all(&dir)?;
    Ok(is_there.then_some(dir))
}
