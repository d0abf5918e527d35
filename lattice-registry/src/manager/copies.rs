//! Copies of stores, and their end.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use lattice_backend::{OpenOptions, create_store};
use lattice_meta::{Genesis, MetaInfo, StoreId};

use super::create::{Made, sync_dir};
use super::open::{canonical, state_db};
use super::{ManagerError, STATE_DB, StoreManager};

/// What happens to a store that is there already when a copy of it is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IfThere {
    /// It stays, and the copy is refused.
    Refuse,
    /// The copy takes its place; its file is kept beside the new one.
    Replace,
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
        let mut made = Made::default();
        let building = made.dir(&self.dir.join(format!("building-{store_id}")))?;
        let file = made.file(building.join(STATE_DB));
        create_store(&*self.backend, &file, genesis, birth.schema, &birth.logic)?;
        made.dir(&self.stores_dir())?;
        self.place(&building, store_id)?;
        made.keep();
        Ok(store_id)
    }

    /// Copies any store, as it is now, to a new file, which is a store itself. Whoever has it open can
    /// go on. The copy has none of the space that the original no longer uses.
    ///
    /// # Errors
    /// A file that is there already, and what reading and writing report.
    pub fn backup(&self, path: impl AsRef<Path>, target: &Path) -> Result<MetaInfo, ManagerError> {
        let file = canonical(&state_db(path.as_ref()));
        let meta = self.peek_path(&file)?;
        let copied = self.backend.backup(&file, target);
        copied.map_err(|error| ManagerError::Create(error.into()))?;
        Ok(meta)
    }

    /// Puts a copy of a store, a file that [`backup`](Self::backup) made, among the stores of this
    /// data directory. Whoever writes on from an old copy as the same author forks that author: both
    /// ways of going on are kept, and shown as a fork.
    ///
    /// # Errors
    /// A file that is no store; [`ManagerError::StoreExists`] for one that is there already, unless
    /// it is to be replaced; one that is in use; and what the file system reports.
    pub fn restore(&self, copy: &Path, if_there: IfThere) -> Result<MetaInfo, ManagerError> {
        let meta = self.backend.peek_info(copy)?;
        let store_id = meta.store_id;
        let place = self.store_path(store_id);
        let is_there = place.exists();
        if is_there && if_there == IfThere::Refuse {
            return Err(ManagerError::StoreExists { store_id });
        }
        let mut made = Made::default();
        let building = made.dir(&self.dir.join(format!("building-{store_id}")))?;
        let file = made.file(building.join(STATE_DB));
        let copied = self.backend.backup(copy, &file);
        copied.map_err(|error| ManagerError::Create(error.into()))?;
        if is_there {
            self.replace(store_id, &file, &place)?;
            fs::remove_dir(&building)
                .map_err(|source| ManagerError::io("remove", &building, source))?;
        } else {
            made.dir(&self.stores_dir())?;
            self.place(&building, store_id)?;
        }
        made.keep();
        Ok(meta)
    }

    fn replace(&self, store_id: StoreId, file: &Path, place: &Path) -> Result<(), ManagerError> {
        self.close(store_id)?;
        // Whoever is about to write to the old file is kept out until it has been replaced.
        let held = self
            .backend
            .open(place, &OpenOptions::read_write())
            .map_err(|error| ManagerError::Open(error.into()))?;
        super::rebuild::keep(place, "before-restore")?;
        fs::rename(file, place).map_err(|source| ManagerError::io("replace", place, source))?;
        if let Some(dir) = place.parent() {
            sync_dir(dir)?;
        }
        let closed = held.close();
        closed.map_err(|source| ManagerError::Close { store_id, source })
    }

    /// Removes a store of this data directory with everything in its directory. Handles that this
    /// manager has open are closed first.
    ///
    /// # Errors
    /// No such store, one that another process writes, and what the file system reports.
    pub fn destroy(&self, store_id: StoreId) -> Result<(), ManagerError> {
        let file = self.store_path(store_id);
        let dir = self.stores_dir().join(store_id.to_string());
        if fs::symlink_metadata(&dir).is_err() {
            let dir = self.stores_dir();
            return Err(ManagerError::NoSuchStore { store_id, dir });
        }
        self.close(store_id)?;
        // A damaged store can be removed, too: only one that somebody writes cannot.
        let held = match self.backend.open(&file, &OpenOptions::read_write()) {
            Err(error @ lattice_backend::FileError::InUse { .. }) => {
                return Err(ManagerError::Open(error.into()));
            }
            opened => opened.ok(),
        };
        // It is out of sight at once, and then goes piece by piece.
        let going: PathBuf = self.dir.join(format!("destroying-{store_id}"));
        fs::rename(&dir, &going).map_err(|source| ManagerError::io("remove", &dir, source))?;
        sync_dir(&self.stores_dir())?;
        drop(held);
        let removed = match fs::symlink_metadata(&going) {
            // A link is removed, and not what it leads to.
            Ok(metadata) if metadata.is_symlink() => fs::remove_file(&going),
            Ok(_) => fs::remove_dir_all(&going),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        };
        removed.map_err(|source| ManagerError::io("remove", &going, source))
    }
}
