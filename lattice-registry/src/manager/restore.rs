//! Restores: a copy is copied, verified and then placed. What was verified is what is placed.

use std::path::{Path, PathBuf};

use lattice_backend::engine::read::StoreMark;
use lattice_backend::engine::verify::Depth;
use lattice_backend::engine::write::mark_copied;
use lattice_meta::{MetaInfo, StoreId};

use super::building::{Building, COPYING, RESTORING};
use super::find::canonical;
use super::fs::BEFORE_RESTORE;
use super::known::{How, Key, Known};
use super::trust::sound;
use super::{IfUnverified, ManagerError, StoreManager, Vouched};
use crate::StoreHandle;
use crate::files::{Partial, directory_of, finishing, replace_kept};

/// How a restore treats an existing store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IfThere {
    /// The restore fails, and the store stays.
    Refuse,
    /// The copy replaces the store; the old file is kept beside the new one.
    Replace,
}

/// The result of a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RestoredStore {
    /// The restored store's `meta` table.
    pub meta: MetaInfo,
    /// Where the replaced file is kept.
    pub kept: Option<PathBuf>,
    /// Whether the copy was verified in full, or taken on trust.
    pub vouched: Vouched,
}

/// The new file of a store, before it is in its place.
enum NewFile {
    /// No file is in its place.
    First(Building),
    /// It replaces a file, beside which it is. A link may have put that on another disk.
    Replacing(Partial),
}

impl NewFile {
    fn path(&self) -> PathBuf {
        match self {
            Self::First(building) => building.file(),
            Self::Replacing(partial) => partial.file(),
        }
    }
}

/// A copy that was copied to the data directory and checked, and is not in its place yet. Dropping
/// this value removes it again.
pub struct Restoring<'a> {
    manager: &'a StoreManager,
    new: NewFile,
    meta: MetaInfo,
    mark: StoreMark,
    vouched: Vouched,
}

impl std::fmt::Debug for Restoring<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Restoring")
            .field("meta", &self.meta)
            .field("vouched", &self.vouched)
            .finish_non_exhaustive()
    }
}

impl StoreManager {
    /// Restores a file that [`backup`](Self::backup) made to this data directory; see
    /// [`begin_restore`](Self::begin_restore).
    ///
    /// # Errors
    /// See [`begin_restore`](Self::begin_restore) and [`Restoring::place`].
    pub fn restore(&self, copy: &Path, if_there: IfThere) -> Result<RestoredStore, ManagerError> {
        self.begin_restore(copy)?.place(if_there)
    }

    /// Copies a store's file to this data directory and verifies the new file in full: signatures,
    /// replay, comparison. With [`IfUnverified::Trust`] it checks only the backend's checksums of
    /// the copy, the ids of its ops, and its state hash against its rows. Needs as much space as
    /// the rows of the copy take, and for the verification once more in the directory for temporary
    /// files.
    ///
    /// The store is marked as a copy. Until it is
    /// [confirmed](lattice_backend::engine::Engine::confirm_copy), these do not write to it: its
    /// owner, the authors of its ops, and this manager's author, if the data directory has had the
    /// store, or a file of it, before.
    ///
    /// # Errors
    /// If the file is not a store, or is damaged; [`ManagerError::Unsound`] and
    /// [`ManagerError::Unverifiable`]; and what the file system reports. Nothing is left behind.
    pub fn begin_restore(&self, copy: &Path) -> Result<Restoring<'_>, ManagerError> {
        self.copy_of(copy, None)
    }

    /// The same for the first file of a chain of backups. The caller then
    /// [adds](Restoring::add) the ops of the other files, which `rest` identifies: if a restore of
    /// the same copy with the same `rest` was killed, this continues it.
    ///
    /// # Errors
    /// See [`begin_restore`](Self::begin_restore).
    pub fn begin_restore_chain(
        &self,
        copy: &Path,
        rest: &[u8; 32],
    ) -> Result<Restoring<'_>, ManagerError> {
        self.copy_of(copy, Some(rest))
    }

    fn copy_of(&self, copy: &Path, rest: Option<&[u8; 32]>) -> Result<Restoring<'_>, ManagerError> {
        let peek = self.backend.peek(copy)?;
        let store_id = peek.meta.store_id;
        let vouched = match self.options.unverified {
            IfUnverified::Verify => Vouched::Verified,
            IfUnverified::Trust => Vouched::Trusted,
        };
        if vouched == Vouched::Trusted {
            self.check_copied(&peek, copy)?;
        }
        let place = self.store_path(store_id);
        self.clear_interrupted();
        let is_there = self.is_there(store_id)?;
        let had = is_there || Known::load(&self.dir)?.names(store_id);
        let author = self.author().filter(|_| had);
        // What a link leads to may be on another disk, to which no finished file can be moved.
        let is_linked = place.is_symlink() || directory_of(&place).is_symlink();
        let new = match (is_there, rest) {
            (_, Some(rest)) if !is_linked => {
                let name = self.name_of_chain(copy, vouched, rest)?;
                NewFile::First(Building::begin(self, &name)?)
            }
            (true, _) => NewFile::Replacing(Partial::beside(&canonical(&place))?),
            (false, _) => NewFile::First(Building::begin_empty(
                self,
                &format!("{COPYING}{store_id}"),
            )?),
        };
        let file = new.path();
        let fill = |file: &Path| -> Result<(), ManagerError> {
            let copied = self.backend.backup(
                copy,
                file,
                &mut |tx| mark_copied(tx, author),
                &self.options.progress,
            );
            copied.map_err(|error| ManagerError::Create(error.renamed(file, &place)))?;
            match vouched {
                Vouched::Verified => sound(copy, self.verify_file(file, Depth::Full)),
                _ => Ok(()),
            }
        };
        match (&new, rest) {
            // A killed restore has copied and verified it.
            (NewFile::First(_), Some(_)) if file.exists() => {}
            (NewFile::First(building), Some(_)) => {
                building.empty()?;
                let partial = Partial::beside(&file)?;
                fill(&partial.file())?;
                partial.place(&file)?;
            }
            _ => fill(&file)?,
        }
        let mark = self.mark_of(&file)?;
        if mark.store_id != store_id {
            let path = copy.to_path_buf();
            return Err(ManagerError::VerifyChanged { path });
        }
        Ok(Restoring {
            manager: self,
            new,
            meta: peek.meta,
            mark,
            vouched,
        })
    }

    /// The name of the directory in which a chain is restored: what is there comes from the same
    /// files, treated in the same way.
    fn name_of_chain(
        &self,
        copy: &Path,
        vouched: Vouched,
        rest: &[u8; 32],
    ) -> Result<String, ManagerError> {
        let mark = self.mark_of(copy)?;
        let state: String = mark.state_hash.to_string().chars().take(16).collect();
        let rest: String = rest
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let how = match vouched {
            Vouched::Trusted => "-trusted",
            _ => "",
        };
        let (store_id, ops) = (mark.store_id, mark.ops);
        Ok(format!("{RESTORING}{store_id}-{ops}-{state}-{rest}{how}"))
    }

    /// Returns the path where the old file is kept.
    fn replace(&self, store_id: StoreId, new: &Path) -> Result<PathBuf, ManagerError> {
        let place = self.store_path(store_id);
        let file = place
            .canonicalize()
            .map_err(|source| ManagerError::io("look for", &place, source))?;
        self.close(store_id)?;
        // Keeps writers from opening the old file until it has been replaced.
        let _locked = self.lock(&file, "restore")?;
        let kept = replace_kept(new, &file, &file.with_file_name(BEFORE_RESTORE))?;
        // Name it as the caller named the data directory, unless a link leads elsewhere.
        let is_linked = place.is_symlink() || directory_of(&place).is_symlink();
        Ok(match kept.file_name().filter(|_| !is_linked) {
            Some(name) => place.with_file_name(name),
            None => kept,
        })
    }
}

impl Restoring<'_> {
    /// The `meta` table of the copy.
    pub fn meta(&self) -> &MetaInfo {
        &self.meta
    }

    /// The number of ops that the copy has.
    pub fn ops(&self) -> u64 {
        self.mark.ops
    }

    /// Whether the data directory has the store already.
    pub fn is_there(&self) -> bool {
        self.manager.store_path(self.meta.store_id).exists()
    }

    /// Adds ops to the copy before it is placed: those of the other files of a chain. `add` ingests
    /// them. Does nothing else, so a restore that fails here leaves nothing behind.
    ///
    /// # Errors
    /// What `add` and the opening of the copy report.
    pub fn add<E: From<ManagerError>>(
        &mut self,
        add: impl FnOnce(&dyn StoreHandle) -> Result<(), E>,
    ) -> Result<(), E> {
        let (file, store_id) = (self.new.path(), self.meta.store_id);
        let store = self.manager.open_unplaced(&file)?;
        let added = add(&*store);
        let closed = store.close();
        added?;
        closed.map_err(|source| ManagerError::Close { store_id, source })?;
        self.mark = self.manager.mark_of(&file)?;
        Ok(())
    }

    /// Moves the copy to its place, and enters the store as one that the data directory vouches
    /// for. A replaced file is kept.
    ///
    /// # Errors
    /// [`ManagerError::StoreExists`] if the store exists, unless it is to be replaced. If the store
    /// is in use; and what the file system reports.
    pub fn place(self, if_there: IfThere) -> Result<RestoredStore, ManagerError> {
        let (manager, store_id) = (self.manager, self.meta.store_id);
        let finishing = finishing();
        let is_there = manager.is_there(store_id)?;
        let kept = match (self.new, is_there) {
            (_, true) if if_there == IfThere::Refuse => {
                return Err(ManagerError::StoreExists { store_id });
            }
            (NewFile::First(building), false) => {
                building.place(manager, store_id)?;
                None
            }
            (NewFile::First(building), true) => {
                let kept = manager.replace(store_id, &building.file())?;
                building.keep();
                Some(kept)
            }
            (NewFile::Replacing(partial), _) => Some(manager.replace(store_id, &partial.file())?),
        };
        let how = match self.vouched {
            Vouched::Trusted => How::Trusted,
            _ => How::Restored,
        };
        manager.record(&Key::Store(store_id), &self.mark, how)?;
        finishing.placed(&manager.store_path(store_id));
        Ok(RestoredStore {
            meta: self.meta,
            kept,
            vouched: self.vouched,
        })
    }
}
