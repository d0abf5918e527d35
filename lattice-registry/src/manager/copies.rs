//! Copies of stores: replicas and backups.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lattice_backend::backend::{FileError, OpenOptions, StateDb};
use lattice_backend::engine::write::mark_copied;
use lattice_backend::machine::LogicVersion;
use lattice_meta::{Genesis, MetaInfo, StoreId};

use super::building::Building;
use super::find::{canonical, state_db};
use super::fs::{directory_of, place_new};
use super::verify::Checksums;
use super::{ManagerError, StoreManager};
use crate::Recorded;

impl StoreManager {
    /// Creates an empty replica of another node's store from its genesis; the caller then ingests
    /// the store's ops. This node writes to the replica. Its owner is the one in the genesis.
    ///
    /// # Errors
    /// An unknown type, [`ManagerError::StoreExists`], [`ManagerError::CreatedAhead`], and what the
    /// file system reports.
    pub fn create_replica(&self, genesis: &Genesis) -> Result<StoreId, ManagerError> {
        self.replica(genesis, genesis.store_type().into())
    }

    /// The same, with the code that would open a store which records `logic`: the logic that
    /// another replica claims to record. Nothing checks that claim; the replica records the version
    /// of the code that it was resolved to.
    ///
    /// # Errors
    /// As for [`create_replica`](Self::create_replica); and if that code cannot be loaded.
    pub fn create_replica_of(
        &self,
        genesis: &Genesis,
        logic: &LogicVersion,
    ) -> Result<StoreId, ManagerError> {
        let recorded = Recorded::from(genesis.store_type());
        self.replica(genesis, recorded.logic(logic.as_str()))
    }

    fn replica(&self, genesis: &Genesis, recorded: Recorded<'_>) -> Result<StoreId, ManagerError> {
        self.registry.resolve(recorded)?;
        let store_id = genesis.store_id();
        if self.store_path(store_id).exists() {
            return Err(ManagerError::StoreExists { store_id });
        }
        self.check_created(genesis)?;
        let building = Building::begin_empty(self, &format!("copying-{store_id}"))?;
        self.create_file(&building.file(), genesis, recorded)?;
        self.record_new(genesis)?;
        building.place(self, store_id)?;
        Ok(store_id)
    }

    /// Copies the current state of any store to a new file, which is a store itself. Readers and
    /// writers are not interrupted, but a store that is open exclusively must be closed first. The
    /// copy has no unused space. It is written beside the target, as `<name>.partial-<process>`,
    /// and then placed there atomically. The copy is marked as one: its owner, the authors of its
    /// ops and this manager's author do not write to it before it is confirmed
    /// ([`confirm_copy`](lattice_backend::engine::Engine::confirm_copy)). A store that this data
    /// directory does not vouch for is verified first ([`IfUnverified`](crate::IfUnverified)).
    ///
    /// # Errors
    /// If the target exists or its directory does not; if the store's history does not consist of
    /// the applied ops, or its rows do not match its state hash; and what reading and writing
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
        self.ensure_known(&file)?;
        self.check_copied(&peek, &file, Checksums::Leave)?;
        let mut partial = target.as_os_str().to_owned();
        partial.push(format!(".partial-{}", std::process::id()));
        let partial = PathBuf::from(partial);
        let author = self.author();
        let copied = self
            .backend
            .backup(&file, &partial, &mut |tx| mark_copied(tx, author));
        copied.map_err(ManagerError::Create)?;
        let placed = place_new(&partial, target);
        if placed.is_err() {
            // This call created the file. Report the first error, not that of the removal.
            let _ = fs::remove_file(&partial);
        }
        placed?;
        Ok(peek.meta)
    }

    /// Opens a store for writing to keep other writers out. Returns `None` for a damaged store,
    /// which no writer can open, and for a store behind a link: only the link is replaced or
    /// removed, and the store stays.
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
