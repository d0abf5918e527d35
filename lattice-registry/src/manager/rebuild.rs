//! Stores rebuilt from their history.

use std::fs;
use std::path::{Path, PathBuf};

use lattice_backend::backend::OpenOptions;
use lattice_backend::engine::verify::Difference;
use lattice_meta::{StateHash, StoreId};

use super::fs::{remove_if_there, replace};
use super::open::{canonical, state_db};
use super::{ManagerError, STATE_DB, StoreManager};
use crate::Rebuild;

/// What a rebuild has done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RebuiltStore {
    /// The store.
    pub store_id: StoreId,
    /// The old file.
    pub kept: PathBuf,
    /// Ops of the history.
    pub ops: u64,
    /// The state hash that the store had.
    pub before: StateHash,
    /// The state hash that it has.
    pub after: StateHash,
    /// The first op that has another effect than it had, if there is one.
    pub difference: Difference,
}

impl StoreManager {
    /// Rebuilds a store from its history, by the logic at hand: the way out for a state that this
    /// logic does not compute. The old file is kept beside the new one, which takes its place at
    /// once or not at all. Handles that this manager has open are closed first.
    ///
    /// # Errors
    /// A store that another process writes, a history with gaps, and what the file system reports.
    /// The store is then as it was.
    pub fn rebuild(&self, path: impl AsRef<Path>) -> Result<RebuiltStore, ManagerError> {
        let file = canonical(&state_db(path.as_ref()));
        let peek = self.peek_recorded(&file)?;
        let meta = &peek.meta;
        let store_id = meta.store_id;
        let opener = self.registry.resolve(&peek)?;
        self.close(store_id)?;
        // This keeps other writers, rebuilds and restores out until the new file is in its place.
        let held = self
            .backend
            .open(&file, &OpenOptions::read_write())
            .map_err(|error| ManagerError::Open(error.into()))?;
        let target = file.with_file_name(format!("{STATE_DB}.rebuilding"));
        // An interrupted rebuild has left its file.
        remove_if_there(&target)?;
        let rebuilt = opener.rebuild(Rebuild {
            meta,
            backend: &*self.backend,
            held: &*held,
            path: &file,
            target: &target,
            progress: &self.options.progress,
        });
        let replaced = rebuilt.map_err(ManagerError::from).and_then(|rebuilt| {
            Ok((
                rebuilt,
                replace(&file, &target, &kept_as("before-rebuild"))?,
            ))
        });
        let (rebuilt, kept) = replaced.inspect_err(|_| {
            // The error is what counts.
            let _ = fs::remove_file(&target);
        })?;
        let closed = held.close();
        closed.map_err(|source| ManagerError::Close { store_id, source })?;
        Ok(RebuiltStore {
            store_id,
            kept,
            ops: rebuilt.ops,
            before: rebuilt.before,
            after: rebuilt.after,
            difference: rebuilt.difference,
        })
    }
}

/// Begins the names of the files that are kept when a store's file is replaced.
pub(super) fn kept_as(why: &str) -> String {
    format!("{STATE_DB}.{why}")
}
