//! Copies of stores: replicas and backups.

use std::fs;
use std::path::Path;

use lattice_backend::backend::{Copied, FileError, WriteTx, WriterLock};
use lattice_backend::cores::both;
use lattice_backend::engine::write::mark_copied;
use lattice_backend::machine::LogicVersion;
use lattice_meta::{Genesis, MetaInfo, StoreId};

use super::building::{Building, COPYING};
use super::find::{canonical, state_db};
use super::verify::copy_damaged;
use super::{ManagerError, StoreManager};
use crate::Recorded;
use crate::files::{Partial, directory_of, finishing, link_target, set_mode};

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
        if self.is_there(store_id)? {
            return Err(ManagerError::StoreExists { store_id });
        }
        self.check_created(genesis)?;
        let building = Building::begin_empty(self, &format!("{COPYING}{store_id}"))?;
        self.create_file(&building.file(), genesis, recorded)?;
        self.record_new(genesis)?;
        building.place(self, store_id)?;
        Ok(store_id)
    }

    /// Copies the current state of any store to a new file, which is a store itself. Readers and
    /// writers are not interrupted, but a store that is open exclusively must be closed first. The
    /// copy has little unused space; its pages can be as full as those of the store, which
    /// [`compact`](crate::StoreHandle::compact) fills. It appears at the target when it is complete,
    /// and only its owner can read it. The copy is marked as one: the store's owner, the authors of
    /// its ops and this manager's author do not write to it before it is confirmed
    /// ([`confirm_copy`](lattice_backend::engine::Engine::confirm_copy)). A store that this data
    /// directory does not vouch for is verified first ([`IfUnverified`](crate::IfUnverified)).
    ///
    /// All that is copied is compared with the backend's checksums, and the history with the
    /// applied ops. Rows are compared with the state hash only if the backend copies them one by
    /// one ([`Copied::Rows`]). Otherwise rows that another program changed, with right checksums,
    /// are copied, and found by [`verify_path`](Self::verify_path) and
    /// [`begin_restore`](Self::begin_restore).
    ///
    /// # Errors
    /// If the target exists or its directory does not; [`ManagerError::CopyDamaged`] if the store's
    /// history does not consist of the applied ops, or damage is found; and what reading and
    /// writing report.
    pub fn backup(&self, path: impl AsRef<Path>, target: &Path) -> Result<MetaInfo, ManagerError> {
        self.backup_with_mode(path, target, 0o600)
    }

    /// The same for a copy with other permission bits, which the umask does not limit.
    ///
    /// # Errors
    /// As for [`backup`](Self::backup).
    pub fn backup_with_mode(
        &self,
        path: impl AsRef<Path>,
        target: &Path,
        mode: u32,
    ) -> Result<MetaInfo, ManagerError> {
        let file = canonical(&state_db(path.as_ref()));
        let peek = self.peek_recorded(&file)?;
        Partial::clear(directory_of(target));
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
        let partial = Partial::beside(target)?;
        let new = partial.file();
        let (author, progress) = (self.author(), &self.options.progress);
        // Another thread reads the ops, and this one, which alone reports progress, all rows.
        let (ops, copied) = both(
            || self.check_copied_ops(&peek, &file),
            || {
                let mut mark = |tx: &mut dyn WriteTx| mark_copied(tx, author);
                self.backend.backup(&file, &new, &mut mark, progress)
            },
        );
        let copied = copied.map_err(|error| match error {
            FileError::Damaged { path, detail } if path == file => copy_damaged(&file, detail),
            error => ManagerError::Create(error.renamed(&new, target)),
        })?;
        ops?;
        if copied == Copied::Rows {
            self.check_copied_rows(&peek, &file)?;
        }
        set_mode(&new, mode)?;
        let finishing = finishing();
        partial.place(target)?;
        finishing.placed(target);
        Ok(peek.meta)
    }

    /// Whether a store's file exists.
    ///
    /// # Errors
    /// [`ManagerError::DanglingLink`], and what the file system reports.
    pub(super) fn is_there(&self, store_id: StoreId) -> Result<bool, ManagerError> {
        let place = self.store_path(store_id);
        for link in [directory_of(&place), &place] {
            if link.is_symlink() && !link.exists() {
                return Err(ManagerError::DanglingLink {
                    link: link.to_path_buf(),
                    target: link_target(link)?,
                });
            }
        }
        place
            .try_exists()
            .map_err(|source| ManagerError::io("look for", place, source))
    }

    /// Excludes writers from a store's file, which may be damaged, for the named work. Returns
    /// `None` if there is no regular file, so that no writer can open it.
    pub(super) fn lock(
        &self,
        file: &Path,
        work: &'static str,
    ) -> Result<Option<WriterLock>, ManagerError> {
        match self.backend.lock_writer(file, work, self.options.wait) {
            Err(FileError::NotFound { .. } | FileError::NotAStore { .. }) => Ok(None),
            locked => locked
                .map(Some)
                .map_err(|error| ManagerError::Open(error.into())),
        }
    }

    /// Lets the group of a store's file and directory read the store. The group also needs access
    /// to the data directory and to `stores/`, which this call leaves as they are.
    ///
    /// # Errors
    /// If there is no such store; and what the file system reports.
    pub fn share_with_group(&self, store_id: StoreId) -> Result<(), ManagerError> {
        let file = self.existing(store_id)?;
        set_mode(directory_of(&file), 0o750)?;
        Ok(set_mode(&file, 0o640)?)
    }
}
