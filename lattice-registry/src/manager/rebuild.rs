//! Rebuilds stores from their history.

use std::path::{Path, PathBuf};

use lattice_backend::backend::{BackendError, FileError, Journal, OpenOptions};
use lattice_backend::engine::verify::Difference;
use lattice_meta::{StateHash, StoreId};

use super::find::{canonical, state_db};
use super::fs::BEFORE_REBUILD;
use super::known::How;
use super::left::set_aside;
use super::{ManagerError, StoreManager};
use crate::Rebuild;
use crate::files::{Partial, finishing, replace_kept};

/// The result of a rebuild.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RebuiltStore {
    /// The store.
    pub store_id: StoreId,
    /// Where the old file is kept.
    pub kept: PathBuf,
    /// Whether the journal was missing or damaged: writes that only it had are lost.
    pub journal_lost: bool,
    /// The files of the journal, if they were set aside.
    pub journals: Vec<PathBuf>,
    /// The number of ops in the history.
    pub ops: u64,
    /// The state hash before.
    pub before: StateHash,
    /// The state hash after.
    pub after: StateHash,
    /// The first op whose effect differs from its recorded effect, if any.
    pub difference: Difference,
}

impl StoreManager {
    /// Replays the history of a store into a new file, with the logic that
    /// [`rebuild`](Self::rebuild) uses. The store does not change.
    ///
    /// # Errors
    /// If the store cannot be opened, or its history has gaps; and what the file system reports.
    pub fn replay_to(&self, path: impl AsRef<Path>, target: &Path) -> Result<(), ManagerError> {
        let file = canonical(&state_db(path.as_ref()));
        let peek = self.peek_recorded(&file)?;
        let meta = &peek.meta;
        let opener = self.registry.resolve(&peek);
        let opener =
            opener.or_else(|error| self.registry.resolve(&meta.store_type).map_err(|_| error))?;
        let held = self
            .backend
            .open(&file, &OpenOptions::read_only())
            .map_err(|error| ManagerError::Open(error.into()))?;
        let replayed = opener.rebuild(Rebuild {
            meta,
            backend: &*self.backend,
            held: &*held,
            path: &file,
            target,
            progress: &self.options.progress,
        });
        let closed = held.close();
        replayed?;
        let store_id = meta.store_id;
        closed.map_err(|source| ManagerError::Close { store_id, source })
    }

    /// Whether the journal that a store's file needs is not there, or cannot be recognised.
    fn lacks_journal(&self, file: &Path) -> bool {
        match self.backend.open(file, &OpenOptions::read_only()) {
            Ok(db) => matches!(db.snapshot(), Err(BackendError::JournalMissing { .. })),
            Err(error) => matches!(error, FileError::JournalMissing { .. }),
        }
    }

    /// Whether a store cannot be read for its journal alone, which is damaged or not there. A
    /// [`rebuild`](Self::rebuild) takes what can be read of it.
    pub fn has_journal_fault(&self, path: impl AsRef<Path>) -> bool {
        let file = canonical(&state_db(path.as_ref()));
        let reads = |journal| {
            let options = OpenOptions {
                journal,
                ..OpenOptions::read_only()
            };
            let opened = self.backend.open(&file, &options).ok();
            opened.is_some_and(|db| db.snapshot().is_ok())
        };
        !reads(Journal::On) && reads(Journal::Salvage)
    }

    /// Rebuilds a store from its history with the current logic: that of the registry for the
    /// store, or if that is not available, the logic for new stores of its type. Use it when this
    /// logic does not compute the store's state. The new file replaces the old one atomically, and
    /// the old one is kept beside it. First closes the handles that this manager has open.
    ///
    /// # Errors
    /// If another process writes the store, or its history has gaps; and what the file system
    /// reports. The store has not changed then.
    pub fn rebuild(&self, path: impl AsRef<Path>) -> Result<RebuiltStore, ManagerError> {
        let file = canonical(&state_db(path.as_ref()));
        let peek = self.peek_recorded(&file)?;
        let meta = &peek.meta;
        let store_id = meta.store_id;
        let opener = self.registry.resolve(&peek);
        let opener =
            opener.or_else(|error| self.registry.resolve(&meta.store_type).map_err(|_| error))?;
        self.close(store_id)?;
        let before = set_aside(&file)?;
        let is_missing = self.lacks_journal(&file);
        // Keeps other writers, rebuilds and restores out until the new file is in its place.
        let options = OpenOptions {
            journal: Journal::Salvage,
            ..OpenOptions::long_work("rebuild", self.options.wait)
        };
        let held = self
            .backend
            .open(&file, &options)
            .map_err(|error| ManagerError::Open(error.into()))?;
        let partial = Partial::beside(&file)?;
        let target = partial.file();
        let rebuilt = opener.rebuild(Rebuild {
            meta,
            backend: &*self.backend,
            held: &*held,
            path: &file,
            target: &target,
            progress: &self.options.progress,
        });
        let rebuilt = rebuilt?;
        let finishing = finishing();
        let kept = replace_kept(&target, &file, &file.with_file_name(BEFORE_REBUILD))?;
        drop(partial);
        let closed = held.close();
        closed.map_err(|source| ManagerError::Close { store_id, source })?;
        let mut journals = set_aside(&file)?;
        journals.retain(|path| !before.contains(path));
        // The replay has checked the history.
        self.record_file(&file, How::Verified)?;
        finishing.placed(&file);
        Ok(RebuiltStore {
            store_id,
            kept,
            journal_lost: is_missing || !journals.is_empty(),
            journals,
            ops: rebuilt.ops,
            before: rebuilt.before,
            after: rebuilt.after,
            difference: rebuilt.difference,
        })
    }
}
