//! Making stores.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use lattice_backend::engine::open::create_store;
use lattice_meta::{Genesis, Hlc, Nonce, StateHash, StoreId, StoreType};

use super::building::Building;
use super::copies::place_new;
use super::{ManagerError, STATE_DB, StoreManager};
use crate::Birth;

impl StoreManager {
    /// Makes an empty store of a type and gives its id. It appears under `stores/` whole or not at
    /// all.
    ///
    /// # Errors
    /// A manager without an identity, an unknown type, one whose opener cannot make stores, and what
    /// the file system reports.
    pub fn create(&self, store_type: &StoreType) -> Result<StoreId, ManagerError> {
        let birth = self.birth(store_type)?;
        let genesis = self.genesis(store_type, None)?;
        let store_id = genesis.store_id();
        // A directory of its own in which it is built: others build beside it.
        let building = Building::begin_new(self, store_id)?;
        let file = building.file();
        create_store(&*self.backend, &file, &genesis, birth.schema, &birth.logic)?;
        building.place(self, store_id)?;
        Ok(store_id)
    }

    /// What a new store of a type starts with.
    pub(super) fn birth(&self, store_type: &StoreType) -> Result<Birth, ManagerError> {
        let birth = self.registry.resolve(store_type)?.birth();
        birth.ok_or_else(|| ManagerError::NoBirth {
            store_type: store_type.clone(),
        })
    }

    /// The record that a new store begins with.
    pub(super) fn genesis(
        &self,
        store_type: &StoreType,
        migrated_from: Option<(StoreId, StateHash)>,
    ) -> Result<Genesis, ManagerError> {
        let owner = self.author().ok_or(ManagerError::NoIdentity)?;
        let mut nonce = [0; Nonce::LEN];
        getrandom::fill(&mut nonce)
            .map_err(|error| ManagerError::Random(error.to_string().into()))?;
        Ok(Genesis::new(
            store_type.clone(),
            owner,
            Nonce::from_bytes(nonce),
            Hlc::from_parts(self.options.clock.now_ms(), 0)?,
            migrated_from,
        ))
    }

    /// Moves a store that is whole to where stores are.
    pub(super) fn place(&self, building: &Path, store_id: StoreId) -> Result<(), ManagerError> {
        let stores = self.stores_dir();
        let place = stores.join(store_id.to_string());
        match fs::rename(building, &place) {
            // There is a directory that has no store, but perhaps what was kept of one.
            Err(error) if is_taken(&error) => {
                let (file, target) = (building.join(STATE_DB), place.join(STATE_DB));
                place_new(&file, &target).map_err(|error| match error {
                    ManagerError::Io { source, .. }
                        if source.kind() == io::ErrorKind::AlreadyExists =>
                    {
                        ManagerError::StoreExists { store_id }
                    }
                    error => error,
                })?;
            }
            moved => {
                moved.map_err(|source| ManagerError::io("move a new store to", &place, source))?;
            }
        }
        sync_dir(&stores)
    }
}

/// Whether a directory could not be renamed because the new name is that of another.
pub(super) fn is_taken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists
    )
}

/// Names in a directory are on disk once this returns.
pub(super) fn sync_dir(dir: &Path) -> Result<(), ManagerError> {
    fs::File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|source| ManagerError::io("sync", dir, source))
}

/// Directories made on the way to a new store: they go again if it does not come to be.
#[derive(Debug, Default)]
pub(super) struct Made {
    paths: Vec<PathBuf>,
}

impl Made {
    /// Makes a directory and those above it that are missing.
    pub(super) fn dir(&mut self, dir: &Path) -> Result<PathBuf, ManagerError> {
        let missing: Vec<_> = dir
            .ancestors()
            .take_while(|above| !above.as_os_str().is_empty() && !above.exists())
            .collect();
        for above in missing.into_iter().rev() {
            match fs::create_dir(above) {
                Ok(()) => self.paths.push(above.to_path_buf()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(ManagerError::io("make directory", above, source)),
            }
        }
        Ok(dir.to_path_buf())
    }

    pub(super) fn keep(mut self) {
        self.paths.clear();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for path in self.paths.drain(..).rev() {
            // Only what is empty and ours goes; the error that led here is the one to report.
            let _ = fs::remove_dir(&path);
        }
    }
}
