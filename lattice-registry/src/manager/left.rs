//! What killed processes and finished commands left on disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use lattice_meta::StoreId;

use super::building::{COPYING, MIGRATING, NEW, RESTORING, clear, left};
use super::destroy::{GOING, is_kept};
use super::fs::{BEFORE_REBUILD, BEFORE_RESTORE, STALE_JOURNALS, lock_of};
use super::{ID_CHARS, ManagerError, STATE_DB, StoreManager};
use crate::files::{FilesError, LockFile, Partial, directory_of, sync_dir};

/// A file or a directory that no process works on and no store needs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leftover {
    /// Where it is.
    pub path: PathBuf,
    /// What left it.
    pub kind: LeftoverKind,
    /// The store that it is of, or that it was to become; of a migration the old store. `None` for
    /// a partial file, which does not say.
    pub store_id: Option<StoreId>,
    /// The length of its files, in bytes.
    pub bytes: u64,
    /// When its newest file was last changed.
    pub modified: SystemTime,
}

/// What left a file or a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LeftoverKind {
    /// A killed creation of a store, or a killed first bundle.
    Creation,
    /// A killed restore.
    Copy,
    /// A killed migration. The next migration of the store to the same type resumes it.
    Migration,
    /// A killed restore of a chain of backups. The same command resumes it.
    Restore,
    /// A killed removal of a store.
    Removal,
    /// A killed command that was making a file.
    Partial,
    /// A rebuild: the file that it replaced.
    BeforeRebuild,
    /// A restore: the file that it replaced.
    BeforeRestore,
    /// A part of a journal that does not belong to the file beside it, or that was given up.
    Journal,
}

impl LeftoverKind {
    /// The names in a data directory that killed processes leave start so.
    const STARTS: [(&str, Self); 5] = [
        (NEW, Self::Creation),
        (COPYING, Self::Copy),
        (MIGRATING, Self::Migration),
        (RESTORING, Self::Restore),
        (GOING, Self::Removal),
    ];

    /// Its name in lists.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Creation => "creation",
            Self::Copy => "copy",
            Self::Migration => "migration",
            Self::Restore => "restore",
            Self::Removal => "removal",
            Self::Partial => "partial",
            Self::BeforeRebuild => "before-rebuild",
            Self::BeforeRestore => "before-restore",
            Self::Journal => "journal",
        }
    }
}

impl StoreManager {
    /// What killed processes left in the data directory and in other directories where files of
    /// stores are made, and the files that rebuilds and restores replaced. Does not list what a
    /// process is working on. Ordered by path.
    ///
    /// # Errors
    /// If a directory cannot be listed, or a file there cannot be examined.
    pub fn left_over(&self, others: &[PathBuf]) -> Result<Vec<Leftover>, ManagerError> {
        let mut found = Vec::new();
        for name in left(&self.dir)? {
            let start = LeftoverKind::STARTS
                .iter()
                .find_map(|(start, kind)| Some((*kind, name.strip_prefix(*start)?)));
            let Some((kind, rest)) = start else { continue };
            let Some(store_id) = rest.get(..ID_CHARS).and_then(|id| id.parse().ok()) else {
                continue;
            };
            // Of a store that is being built, the lock has the name of the directory; of one that
            // is being removed, the id.
            let lock = match kind {
                LeftoverKind::Removal => lock_of(&self.dir, &format!("{GOING}{store_id}")),
                _ => lock_of(&self.dir, &name),
            };
            if !LockFile::is_held(&lock)? {
                push(&mut found, self.dir.join(&name), kind, Some(store_id))?;
            }
        }
        partials(&mut found, &self.dir)?;
        self.left_in_stores(&mut found)?;
        for dir in others {
            let failed = |source| ManagerError::io("list", dir, source);
            fs::read_dir(dir).map_err(failed)?;
            partials(&mut found, dir)?;
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found.dedup();
        Ok(found)
    }

    /// What is beside the files of stores.
    fn left_in_stores(&self, found: &mut Vec<Leftover>) -> Result<(), ManagerError> {
        let stores = self.stores_dir();
        partials(found, &stores)?;
        for (store_id, dir) in store_dirs(&stores)? {
            let mut dirs = vec![dir.clone()];
            // The file can be a link to a file in a different directory.
            let target = self.store_path(store_id).canonicalize().ok();
            let dir = dir.canonicalize().unwrap_or(dir);
            let beside = target.as_deref().map(directory_of);
            dirs.extend(
                beside
                    .filter(|beside| *beside != dir)
                    .map(Path::to_path_buf),
            );
            for dir in dirs {
                partials(found, &dir)?;
                for (path, kind) in kept_files(&dir)? {
                    push(found, path, kind, Some(store_id))?;
                }
            }
        }
        Ok(())
    }

    /// Removes a leftover, unless a process works on it now. Returns whether it is gone.
    ///
    /// # Errors
    /// [`ManagerError::KeptFile`] for a replaced file whose successor cannot be read, and what the
    /// operating system reports.
    pub fn remove_leftover(&self, leftover: &Leftover) -> Result<bool, ManagerError> {
        let path = &leftover.path;
        match (leftover.kind, leftover.store_id) {
            (LeftoverKind::Partial, _) => {
                let failed = |source| ManagerError::io("remove", path, source);
                Partial::remove_left(path).map_err(failed)?;
            }
            (LeftoverKind::Removal, Some(store_id)) => self.clear_removal(store_id)?,
            (
                LeftoverKind::BeforeRebuild | LeftoverKind::BeforeRestore | LeftoverKind::Journal,
                Some(store_id),
            ) => {
                self.remove_replaced(path, store_id)?;
            }
            _ => {
                if let Some(name) = path.file_name().and_then(|name| name.to_str()) {
                    clear(&self.dir, name)?;
                }
            }
        }
        Ok(fs::symlink_metadata(path).is_err())
    }

    /// Removes a replaced file, or a journal, only if the store in its place can be read: it may be
    /// the last copy.
    fn remove_replaced(&self, path: &Path, store_id: StoreId) -> Result<(), ManagerError> {
        let kept = |reason: String| ManagerError::KeptFile {
            path: path.to_path_buf(),
            store: self.store_path(store_id),
            reason,
        };
        match self.backend.peek_info(&self.store_path(store_id)) {
            Ok(meta) if meta.store_id == store_id => {}
            Ok(meta) => return Err(kept(format!("it has the id {}", meta.store_id))),
            Err(error) => return Err(kept(error.to_string())),
        }
        let failed = |source| ManagerError::io("remove", path, source);
        fs::remove_file(path).map_err(failed)?;
        Ok(sync_dir(directory_of(path))?)
    }
}

fn push(
    found: &mut Vec<Leftover>,
    path: PathBuf,
    kind: LeftoverKind,
    store_id: Option<StoreId>,
) -> Result<(), ManagerError> {
    let measured = measure(&path).map_err(|source| ManagerError::io("examine", &path, source))?;
    // Another process has removed it, or only its lock file is left.
    let Some((bytes, modified)) = measured else {
        return Ok(());
    };
    found.push(Leftover {
        path,
        kind,
        store_id,
        bytes,
        modified,
    });
    Ok(())
}

/// The length of all files in a directory, or of a file, and the time of the last change; `None` if
/// there is neither. Does not follow links.
fn measure(path: &Path) -> io::Result<Option<(u64, SystemTime)>> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        metadata => metadata?,
    };
    let mut newest = metadata.modified()?;
    if !metadata.is_dir() {
        return Ok(Some((metadata.len(), newest)));
    }
    let mut bytes = 0;
    for entry in fs::read_dir(path)? {
        if let Some((len, modified)) = measure(&entry?.path())? {
            bytes += len;
            newest = newest.max(modified);
        }
    }
    Ok(Some((bytes, newest)))
}

fn partials(found: &mut Vec<Leftover>, dir: &Path) -> Result<(), ManagerError> {
    let left = match Partial::left(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        left => left.map_err(|source| FilesError::io("list", dir, source))?,
    };
    left.into_iter()
        .try_for_each(|path| push(found, path, LeftoverKind::Partial, None))
}

/// The directories of stores, with their ids.
fn store_dirs(stores: &Path) -> Result<Vec<(StoreId, PathBuf)>, ManagerError> {
    let failed = |source| ManagerError::io("list", stores, source);
    let entries = match fs::read_dir(stores) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut dirs = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let id = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        if let Some(id) = id.filter(|_| entry.path().is_dir()) {
            dirs.push((id, entry.path()));
        }
    }
    Ok(dirs)
}

/// The files of journals that were set aside beside a store's file.
pub(super) fn set_aside(file: &Path) -> Result<Vec<PathBuf>, ManagerError> {
    let kept = kept_files(directory_of(file))?.into_iter();
    let journals = kept.filter(|(_, kind)| *kind == LeftoverKind::Journal);
    Ok(journals.map(|(path, _)| path).collect())
}

/// The replaced files and journals that are kept in a store's directory.
fn kept_files(dir: &Path) -> Result<Vec<(PathBuf, LeftoverKind)>, ManagerError> {
    let failed = |source| ManagerError::io("list", dir, source);
    let mut kept = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let kinds = [
            (BEFORE_REBUILD, LeftoverKind::BeforeRebuild),
            (BEFORE_RESTORE, LeftoverKind::BeforeRestore),
            (STALE_JOURNALS[0], LeftoverKind::Journal),
            (STALE_JOURNALS[1], LeftoverKind::Journal),
        ];
        let kind = kinds.into_iter().find(|(start, _)| is_kept(name, start));
        if let Some((_, kind)) = kind.filter(|_| name != STATE_DB) {
            kept.push((entry.path(), kind));
        }
    }
    Ok(kept)
}
