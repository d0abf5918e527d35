//! Destroying stores.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lattice_backend::backend::{Busy, FileError};
use lattice_backend::engine::open::OpenError;
use lattice_backend::storage::{SEGMENT_SUFFIX, TURN_SUFFIX};
use lattice_meta::StoreId;

use super::building::{COPYING, MIGRATING, NEW, RESTORING, clear_left_of, left};
use super::fs::{BEFORE_REBUILD, BEFORE_RESTORE, STALE_JOURNALS, is_taken, lock_of};
use super::{ID_CHARS, ManagerError, STATE_DB, StoreManager};
use crate::files::{FilesError, LockFile, Partial, directory_of, finishing, remove_all, sync_dir};

/// The prefix of directories of stores that are being removed; the id follows.
pub(super) const GOING: &str = "destroying-";
/// The most interrupted removals of one store.
const MAX_LEFT: u32 = 1000;

/// The result of a removal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Destroyed {
    /// Whether the store was in its place. If not, only leftovers of killed processes were removed.
    pub was_there: bool,
    /// The files outside the store's directory that were removed: those that a link led to.
    pub linked: Vec<PathBuf>,
    /// The files beside them that do not belong to the store, or cannot be recognised as belonging
    /// to it. They were left.
    pub left: Vec<PathBuf>,
    /// The leftovers of killed processes that were removed.
    pub leftovers: Vec<PathBuf>,
}

impl StoreManager {
    /// Removes a store of this data directory with everything in its directory, and what killed
    /// processes left of it. First closes the handles that this manager has open. If the directory
    /// or the file is a link, the store's files at its target are removed too, and then the link.
    ///
    /// A removal that was killed is finished by the next one.
    ///
    /// # Errors
    /// If there is neither such a store nor a leftover of it, or another process writes it; and
    /// what the file system reports.
    pub fn destroy(&self, store_id: StoreId) -> Result<Destroyed, ManagerError> {
        let file = self.store_path(store_id);
        let dir = directory_of(&file);
        let mut destroyed = Destroyed {
            was_there: fs::symlink_metadata(dir).is_ok(),
            ..Destroyed::default()
        };
        let dir_of_all = self.stores_dir();
        let left = self.leftovers()?;
        if !destroyed.was_there && !left.iter().any(|(id, _)| *id == store_id) {
            let dir = dir_of_all;
            return Err(ManagerError::NoSuchStore { store_id, dir });
        }
        // An interruption waits for the removal, which is quick.
        let _finishing = finishing();
        let _going = self.begin_going(store_id)?;
        // Another process may have finished the removal before this one took the lock.
        destroyed.was_there = fs::symlink_metadata(dir).is_ok();
        if destroyed.was_there {
            self.close(store_id)?;
            // A damaged store can be removed too. Only one that another process writes cannot.
            let _locked = match file.canonicalize() {
                Ok(file) => self.lock(&file, "destroy")?,
                Err(error) if leads_nowhere(&error) => None,
                Err(source) => return Err(ManagerError::io("look for", file, source)),
            };
            // A removal that is killed from here on leaves an unverified store, or less.
            self.forget(store_id)?;
            // The links go last, because they lead the next removal to what is left.
            self.remove_linked(store_id, &file, &mut destroyed)?;
            // Rename the directory out of `stores/` at once, then remove its contents.
            let going = self.take_away(dir, store_id)?;
            sync_dir(&self.stores_dir())?;
            remove_all(&going)?;
        }
        destroyed.leftovers = self.finish_going(store_id)?;
        let left = clear_left_of(&self.dir, store_id)?;
        destroyed.leftovers.extend(left);
        if !destroyed.was_there && destroyed.leftovers.is_empty() {
            let dir = dir_of_all;
            return Err(ManagerError::NoSuchStore { store_id, dir });
        }
        sync_dir(&self.dir)?;
        self.clear_going();
        Ok(destroyed)
    }

    /// Keeps other processes from removing the same store, or what is left of it.
    fn begin_going(&self, store_id: StoreId) -> Result<LockFile, ManagerError> {
        let lock = lock_of(&self.dir, &format!("{GOING}{store_id}"));
        LockFile::take(lock, Duration::ZERO).map_err(|error| match error {
            FilesError::Held { .. } => {
                let path = self.store_path(store_id);
                ManagerError::Open(OpenError::File(FileError::InUse {
                    path,
                    busy: Busy::default(),
                }))
            }
            error => error.into(),
        })
    }

    /// What interrupted commands left in the data directory: of removals, of stores that were not
    /// finished, and of migrations, each with the id of the store, of a migration that of the old
    /// store. A process may still be working on a store that is not finished.
    ///
    /// # Errors
    /// If the data directory cannot be listed.
    pub fn leftovers(&self) -> Result<Vec<(StoreId, PathBuf)>, ManagerError> {
        self.starting_with(&[GOING, NEW, COPYING, MIGRATING, RESTORING])
    }

    /// The names in the data directory, without the endings of lock files, that start so and go on
    /// with an id.
    fn starting_with(&self, starts: &[&str]) -> Result<Vec<(StoreId, PathBuf)>, ManagerError> {
        let mut found = Vec::new();
        for name in left(&self.dir)? {
            let rest = starts.iter().find_map(|start| name.strip_prefix(*start));
            let id = rest.and_then(|rest| rest.get(..ID_CHARS)?.parse().ok());
            found.extend(id.map(|id| (id, self.dir.join(&name))));
        }
        Ok(found)
    }

    /// Removes the files of a store that links have put elsewhere.
    fn remove_linked(
        &self,
        store_id: StoreId,
        file: &Path,
        destroyed: &mut Destroyed,
    ) -> Result<(), ManagerError> {
        let dir = directory_of(file);
        let linked = |path: &Path| path.canonicalize().ok().filter(|_| path.is_symlink());
        let (target, linked_dir) = (linked(file), linked(dir));
        // First what the link of the file leads to, since the file is in the directory. The target
        // goes last: as long as it exists, the next removal finds what is beside it.
        if let Some(target) = &target {
            let there = directory_of(target);
            self.remove_at(store_id, there, Named::OfAny, target, destroyed)?;
            self.remove_file(store_id, target, Named::OfStore, destroyed)?;
            for beside in files_beside(target) {
                if destroyed.linked.contains(target) && fs::symlink_metadata(&beside).is_ok() {
                    remove_all(&beside)?;
                    destroyed.linked.push(beside);
                }
            }
            sync_dir(there)?;
        }
        if let Some(there) = &linked_dir {
            self.remove_at(store_id, there, Named::OfStore, Path::new(""), destroyed)?;
            sync_dir(there)?;
        }
        let beside_target = target.as_deref().map(directory_of);
        for there in beside_target.into_iter().chain(linked_dir.as_deref()) {
            // Lattice names the directories of stores by their ids. Others stay, even if empty.
            if there.file_name() == Some(store_id.to_string().as_ref())
                && fs::remove_dir(there).is_ok()
            {
                sync_dir(directory_of(there))?;
                destroyed.linked.push(there.to_path_buf());
            }
        }
        destroyed.linked.sort();
        destroyed.left.sort();
        destroyed.left.dedup();
        Ok(())
    }

    /// Removes a store's files in a directory outside of the data directory, except one.
    fn remove_at(
        &self,
        store_id: StoreId,
        there: &Path,
        named: Named,
        except: &Path,
        destroyed: &mut Destroyed,
    ) -> Result<(), ManagerError> {
        // A killed rebuild or restore has left them.
        Partial::clear(there);
        let failed = |source| ManagerError::io("list", there, source);
        for entry in fs::read_dir(there).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let is_file = fs::symlink_metadata(&path).is_ok_and(|entry| !entry.is_dir());
            if path == except {
                continue;
            }
            let belongs = |name: &str| files_beside(Path::new(STATE_DB)).contains(&name.into());
            let belongs = named == Named::OfStore && name.is_some_and(belongs);
            if is_file && (belongs || name.is_some_and(is_store_file)) {
                self.remove_file(store_id, &path, named, destroyed)?;
            } else if named == Named::OfStore {
                // Any directory may hold the target of a linked file.
                destroyed.left.push(path);
            }
        }
        Ok(())
    }

    /// Removes a file that has the name of a store's file, unless it belongs to a different store.
    fn remove_file(
        &self,
        store_id: StoreId,
        path: &Path,
        named: Named,
        destroyed: &mut Destroyed,
    ) -> Result<(), ManagerError> {
        let is_ours = match self.backend.peek_info(path) {
            Ok(meta) => meta.store_id == store_id,
            // A damaged file does not say whose it is.
            Err(_) => named == Named::OfStore,
        };
        let files = match is_ours {
            true => &mut destroyed.linked,
            false => &mut destroyed.left,
        };
        files.push(path.to_path_buf());
        match is_ours {
            true => Ok(remove_all(path)?),
            false => Ok(()),
        }
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
                Err(error) if is_taken(error.kind()) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Err(failed(io::ErrorKind::AlreadyExists.into()))
    }

    /// Removes what interrupted removals of a store left. The caller holds their lock.
    fn finish_going(&self, store_id: StoreId) -> Result<Vec<PathBuf>, ManagerError> {
        let mut removed = Vec::new();
        for (id, path) in self.starting_with(&[GOING])? {
            if id == store_id && fs::symlink_metadata(&path).is_ok() {
                remove_all(&path)?;
                removed.push(path);
            }
        }
        Ok(removed)
    }

    /// Removes what interrupted removals of all stores left. Skips those that another process
    /// removes. What cannot be removed does no harm.
    pub(super) fn clear_going(&self) {
        for (id, _) in self.starting_with(&[GOING]).unwrap_or_else(|_| Vec::new()) {
            let _ = self.clear_removal(id);
        }
    }

    /// Removes what interrupted removals of a store left.
    pub(super) fn clear_removal(&self, store_id: StoreId) -> Result<(), ManagerError> {
        // Dropping the lock removes its file.
        let _going = self.begin_going(store_id)?;
        self.finish_going(store_id).map(drop)
    }
}

/// Whose files have the names of a store's files in a directory outside of the data directory,
/// unless they say otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    /// The store's: its directory is a link to this one.
    OfStore,
    /// Any store's.
    OfAny,
}

/// Whether there is no file at a path, and so nothing to lock.
fn leads_nowhere(error: &io::Error) -> bool {
    #[cfg(unix)]
    let is_circle = error.raw_os_error() == Some(libc::ELOOP);
    #[cfg(not(unix))]
    let is_circle = false;
    is_circle
        || matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
        )
}

/// The files that belong to a store's file: the lock file of its writers, and its journal.
fn files_beside(file: &Path) -> [PathBuf; 3] {
    let beside = |end: &str| {
        let mut path = file.as_os_str().to_owned();
        path.push(end);
        PathBuf::from(path)
    };
    let segment = |number: u8| beside(&format!("{SEGMENT_SUFFIX}{number}"));
    [beside(TURN_SUFFIX), segment(0), segment(1)]
}

/// Whether Lattice gives this name to a file in a store's directory.
fn is_store_file(name: &str) -> bool {
    let kept = [BEFORE_REBUILD, BEFORE_RESTORE].into_iter();
    name == STATE_DB || kept.chain(STALE_JOURNALS).any(|start| is_kept(name, start))
}

/// Whether a name is that of a replaced file: a start, a dash and a number.
pub(super) fn is_kept(name: &str, start: &str) -> bool {
    let nth = name.strip_prefix(start);
    let nth = nth.and_then(|rest| rest.strip_prefix('-'));
    nth.is_some_and(|nth| nth.parse::<u32>().is_ok())
}
