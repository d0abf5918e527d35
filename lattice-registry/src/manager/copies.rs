//! Copies of stores.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lattice_backend::backend::{FileError, OpenOptions, StateDb};
use lattice_meta::{Genesis, MetaInfo, StoreId};

use super::building::Building;
use super::fs::{directory_of, place_new, replace};
use super::open::{canonical, state_db};
use super::rebuild::kept_as;
use super::verify::Checksums;
use super::{ManagerError, StoreManager};

/// What happens to a store that is there already when a copy of it is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IfThere {
    /// It stays, and the copy is refused.
    Refuse,
    /// The copy takes its place; its file is kept beside the new one.
    Replace,
}

/// What a restore has done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RestoredStore {
    /// What the store is now.
    pub meta: MetaInfo,
    /// The file that was in its place.
    pub kept: Option<PathBuf>,
}

impl StoreManager {
    /// Makes an empty replica of a store of another node, whose genesis is known: its ops are to be
    /// ingested. The replica is written by this node, and owned by whom the genesis says.
    ///
    /// # Errors
    /// An unknown type, [`ManagerError::StoreExists`], and what the file system reports.
    pub fn create_replica(&self, genesis: &Genesis) -> Result<StoreId, ManagerError> {
        self.registry.resolve(genesis.store_type())?;
        let store_id = genesis.store_id();
        if self.store_path(store_id).exists() {
            return Err(ManagerError::StoreExists { store_id });
        }
        let building = Building::begin_empty(self, &format!("copying-{store_id}"))?;
        self.create_file(&building.file(), genesis)?;
        building.place(self, store_id)?;
        Ok(store_id)
    }

    /// Copies any store, as it is now, to a new file, which is a store itself. Readers and writers
    /// are not interrupted; one that is open exclusively must be closed first. The copy has none of
    /// the space that the original no longer uses. It is made beside its place, as
    /// `<name>.partial-<process>`, and appears there whole.
    ///
    /// # Errors
    /// A file that is there already, or no directory for it; a store whose ops are not those that
    /// were applied, or whose rows are not what its state hash says; and what reading and writing
    /// report.
    pub fn backup(&self, path: impl AsRef<Path>, target: &Path) -> Result<MetaInfo, ManagerError> {
        let file = canonical(&state_db(path.as_ref()));
        let peek = self.peek_recorded(&file)?;
        if fs::symlink_metadata(target).is_ok() {
            let path = target.to_path_buf();
            return Err(ManagerError::Create(FileError::Exists { path }));
        }
        let dir = directory_of(target);
        if !dir.is_dir() {
            let (path, dir) = (target.to_path_buf(), dir.to_path_buf());
            return Err(ManagerError::NoDirectory { path, dir });
        }
        self.check_copied(&peek, &file, Checksums::Leave)?;
        let mut partial = target.as_os_str().to_owned();
        partial.push(format!(".partial-{}", std::process::id()));
        let partial = PathBuf::from(partial);
        let copied = self.backend.backup(&file, &partial);
        copied.map_err(ManagerError::Create)?;
        let placed = place_new(&partial, target);
        if placed.is_err() {
            // The file is ours; the error is the one to report.
            let _ = fs::remove_file(&partial);
        }
        placed?;
        Ok(peek.meta)
    }

    /// Puts a copy of a store, a file that [`backup`](Self::backup) made, among the stores of this
    /// data directory. Writing on from an old copy as the same author forks that author: both
    /// branches are kept, and shown as a fork.
    ///
    /// # Errors
    /// A file that is no store, or a damaged one: nothing takes the place of a store that is there
    /// before the backend's checksums and the rows have been checked; [`ManagerError::StoreExists`]
    /// for one that is there already, unless it is to be replaced; one that is in use; and what the
    /// file system reports.
    pub fn restore(&self, copy: &Path, if_there: IfThere) -> Result<RestoredStore, ManagerError> {
        let peek = self.backend.peek(copy)?;
        let store_id = peek.meta.store_id;
        let place = self.store_path(store_id);
        // Damage is reported before a caller has to decide whether to replace a store.
        self.check_copied(&peek, copy, Checksums::Check)?;
        let is_there = place.exists();
        if is_there && if_there == IfThere::Refuse {
            return Err(ManagerError::StoreExists { store_id });
        }
        let building = Building::begin_empty(self, &format!("copying-{store_id}"))?;
        let file = building.file();
        let copied = self.backend.backup(copy, &file);
        copied.map_err(ManagerError::Create)?;
        let kept = if is_there {
            let kept = self.replace(store_id, &file, &place)?;
            building.keep();
            Some(kept)
        } else {
            building.place(self, store_id)?;
            None
        };
        let meta = peek.meta;
        Ok(RestoredStore { meta, kept })
    }

    /// Gives where the old file is kept.
    fn replace(
        &self,
        store_id: StoreId,
        file: &Path,
        place: &Path,
    ) -> Result<PathBuf, ManagerError> {
        self.close(store_id)?;
        // This keeps writers of the old file out until it has been replaced.
        let held = self.hold(place)?;
        let kept = replace(place, file, &kept_as("before-restore"))?;
        let closed = held.map_or(Ok(()), |held| held.close());
        closed.map_err(|source| ManagerError::Close { store_id, source })?;
        Ok(kept)
    }

    /// Opens a store for writing to keep other writers out. A damaged store is not held, since no
    /// writer can open it. Nor is one behind a link: the link goes and the store stays.
    pub(super) fn hold(&self, file: &Path) -> Result<Option<Arc<dyn StateDb>>, ManagerError> {
        let links = [file.parent(), Some(file)].into_iter().flatten();
        if links.into_iter().any(|path| path.is_symlink()) {
            return Ok(None);
        }
        match self.backend.open(file, &OpenOptions::read_write()) {
            Err(error @ FileError::InUse { .. }) => Err(ManagerError::Open(error.into())),
            opened => Ok(opened.ok()),
        }
    }
}
