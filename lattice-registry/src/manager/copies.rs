//! Copies of stores.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lattice_backend::backend::{FileError, OpenOptions, StateDb};
use lattice_backend::engine::open::create_store;
use lattice_meta::{Genesis, MetaInfo, StoreId};

use super::building::Building;
use super::create::sync_dir;
use super::open::{canonical, state_db};
use super::rebuild::replace;
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
    /// An unknown type, one whose opener cannot make stores, [`ManagerError::StoreExists`], and what
    /// the file system reports.
    pub fn create_replica(&self, genesis: &Genesis) -> Result<StoreId, ManagerError> {
        let birth = self.birth(genesis.store_type())?;
        let store_id = genesis.store_id();
        if self.store_path(store_id).exists() {
            return Err(ManagerError::StoreExists { store_id });
        }
        let building = Building::begin_empty(self, &format!("copying-{store_id}"))?;
        let file = building.file();
        create_store(&*self.backend, &file, genesis, birth.schema, &birth.logic)?;
        building.place(self, store_id)?;
        Ok(store_id)
    }

    /// Copies any store, as it is now, to a new file, which is a store itself. Whoever has it open can
    /// go on; one that is open exclusively is to be closed first. The copy has none of the space that
    /// the original no longer uses. It is made beside its place, as `<name>.partial-<process>`, and
    /// appears there whole.
    ///
    /// # Errors
    /// A file that is there already, or no directory for it; a store whose ops are not those that were
    /// applied, or whose rows are not what its state hash says; and what reading and writing report.
    pub fn backup(&self, path: impl AsRef<Path>, target: &Path) -> Result<MetaInfo, ManagerError> {
        let file = canonical(&state_db(path.as_ref()));
        let meta = self.peek_path(&file)?;
        let failed = |error: FileError| ManagerError::Create(error.into());
        if fs::symlink_metadata(target).is_ok() {
            let path = target.to_path_buf();
            return Err(failed(FileError::Exists { path }));
        }
        let dir = directory_of(target);
        if !dir.is_dir() {
            let (path, dir) = (target.to_path_buf(), dir.to_path_buf());
            return Err(ManagerError::NoDirectory { path, dir });
        }
        self.check_copied(&meta, &file, Checksums::Leave)?;
        let mut partial = target.as_os_str().to_owned();
        partial.push(format!(".partial-{}", std::process::id()));
        let partial = PathBuf::from(partial);
        self.backend.backup(&file, &partial).map_err(failed)?;
        let placed = place_new(&partial, target);
        if placed.is_err() {
            // The file is ours; the error is the one to report.
            let _ = fs::remove_file(&partial);
        }
        placed?;
        Ok(meta)
    }

    /// Puts a copy of a store, a file that [`backup`](Self::backup) made, among the stores of this
    /// data directory. Whoever writes on from an old copy as the same author forks that author: both
    /// ways of going on are kept, and shown as a fork.
    ///
    /// # Errors
    /// A file that is no store, or a damaged one: nothing takes the place of a store that is there
    /// before the engine's checksums and the rows have been looked at; [`ManagerError::StoreExists`]
    /// for one that is there already, unless it is to be replaced; one that is in use; and what the
    /// file system reports.
    pub fn restore(&self, copy: &Path, if_there: IfThere) -> Result<RestoredStore, ManagerError> {
        let meta = self.backend.peek_info(copy)?;
        let store_id = meta.store_id;
        let place = self.store_path(store_id);
        // Before anybody is asked whether it may take another's place.
        self.check_copied(&meta, copy, Checksums::Check)?;
        let is_there = place.exists();
        if is_there && if_there == IfThere::Refuse {
            return Err(ManagerError::StoreExists { store_id });
        }
        let building = Building::begin_empty(self, &format!("copying-{store_id}"))?;
        let file = building.file();
        let copied = self.backend.backup(copy, &file);
        copied.map_err(|error| ManagerError::Create(error.into()))?;
        let kept = if is_there {
            let kept = self.replace(store_id, &file, &place)?;
            building.keep();
            Some(kept)
        } else {
            building.place(self, store_id)?;
            None
        };
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
        // Whoever is about to write to the old file is kept out until it has been replaced.
        let held = self.hold(place)?;
        let kept = replace(place, file, "before-restore")?;
        let closed = held.map_or(Ok(()), |held| held.close());
        closed.map_err(|source| ManagerError::Close { store_id, source })?;
        Ok(kept)
    }

    /// Opens a store for writing, so that nobody else does. One that is damaged is not held: nobody
    /// can write to it. Nor is one that only a link leads to, which stays as it is.
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

/// Gives a file another name, which nothing has yet.
pub(super) fn place_new(file: &Path, target: &Path) -> Result<(), ManagerError> {
    let linked = fs::hard_link(file, target);
    let placed = match &linked {
        Ok(()) => fs::remove_file(file),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => linked,
        // Not every file system has second names.
        Err(_) => fs::rename(file, target),
    };
    placed.map_err(|source| ManagerError::io("make", target, source))?;
    sync_dir(directory_of(target))
}

/// The directory that a file is in, or is to be.
fn directory_of(file: &Path) -> &Path {
    match file.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}
