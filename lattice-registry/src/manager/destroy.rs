//! Destroying stores.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use lattice_meta::StoreId;

use super::fs::{is_taken, sync_dir};
use super::{ManagerError, StoreManager};

/// The prefix of directories of stores that are being removed; the id follows.
const GOING: &str = "destroying-";
/// The length of a store id as text.
const ID_CHARS: usize = 36;
/// The most interrupted removals of one store.
const MAX_LEFT: u32 = 1000;
/// The most tries to remove a directory that another process removes at the same time.
const REMOVALS: u32 = 100;

impl StoreManager {
    /// Removes a store of this data directory with everything in its directory, and the leftovers
    /// of interrupted removals. First closes the handles that this manager has open. If the
    /// directory is a link, only the link is removed; its target is not touched.
    ///
    /// # Errors
    /// If there is no such store, or another process writes it; and what the file system reports.
    pub fn destroy(&self, store_id: StoreId) -> Result<(), ManagerError> {
        let file = self.store_path(store_id);
        let dir = self.stores_dir().join(store_id.to_string());
        if fs::symlink_metadata(&dir).is_err() {
            let dir = self.stores_dir();
            return Err(ManagerError::NoSuchStore { store_id, dir });
        }
        self.close(store_id)?;
        // A damaged store can be removed too. Only a store that another process writes cannot.
        let held = self.hold(&file)?;
        // Rename the directory out of `stores/` at once, then remove its contents.
        let going = self.take_away(&dir, store_id)?;
        sync_dir(&self.stores_dir())?;
        drop(held);
        remove_all(&going).map_err(|source| ManagerError::io("remove", &going, source))?;
        self.clear_going();
        self.forget(store_id)
    }

    /// Renames a store's directory to an unused name. An interrupted removal may have left the
    /// first ones.
    fn take_away(&self, dir: &Path, store_id: StoreId) -> Result<PathBuf, ManagerError> {
        let failed = |source| ManagerError::io("remove", dir, source);
        for nth in 1..=MAX_LEFT {
            let going = self.dir.join(match nth {
                1 => format!("{GOING}{store_id}"),
                nth => format!("{GOING}{store_id}-{nth}"),
            });
            if fs::symlink_metadata(&going).is_ok() {
                continue;
            }
            match fs::rename(dir, &going) {
                Ok(()) => return Ok(going),
                // Another process removed it first.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let dir = self.stores_dir();
                    return Err(ManagerError::NoSuchStore { store_id, dir });
                }
                Err(error) if is_taken(&error) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Err(failed(io::ErrorKind::AlreadyExists.into()))
    }

    /// Removes leftovers of stores. Another process may remove them at the same time. What cannot
    /// be removed does no harm.
    fn clear_going(&self) {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name();
            let id = name.to_str().and_then(|name| name.strip_prefix(GOING));
            let id = id.and_then(|id| id.get(..ID_CHARS));
            if id.is_some_and(|id| id.parse::<StoreId>().is_ok()) {
                let _ = remove_all(&entry.path());
            }
        }
    }
}

/// Removes a directory with its contents, or a link itself. Other processes may do the same.
fn remove_all(path: &Path) -> io::Result<()> {
    let mut removed = Ok(());
    for _ in 0..REMOVALS {
        removed = match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
            Ok(_) => fs::remove_file(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => Err(error),
        };
        match &removed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            _ => return removed,
        }
    }
    removed
}
