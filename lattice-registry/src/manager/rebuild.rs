//! Stores computed anew from their history.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use lattice_backend::Difference;
use lattice_meta::{StateHash, StoreId};

use super::create::sync_dir;
use super::open::{canonical, state_db};
use super::{ManagerError, STATE_DB, StoreManager};
use crate::Rebuild;

/// Copies of old files that are kept beside a store, at the most.
const MAX_KEPT: u32 = 1000;

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
    /// Computes a store anew from its history, by the logic at hand: the way out for one that this
    /// logic differs from. The old file is kept beside the new one, which takes its place at once or
    /// not at all. Handles that this manager has open are closed first.
    ///
    /// # Errors
    /// A store that somebody writes, a history that is not whole, and what the file system reports.
    /// The store is then as it was.
    pub fn rebuild(&self, path: impl AsRef<Path>) -> Result<RebuiltStore, ManagerError> {
        let file = canonical(&state_db(path.as_ref()));
        let meta = self.peek_path(&file)?;
        let store_id = meta.store_id;
        self.close(store_id)?;
        let opener = self.registry.resolve(&meta.store_type)?;
        let target = file.with_file_name(format!("{STATE_DB}.rebuilding"));
        let remove = |path: &Path| match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        // One that was interrupted has left what is of no use.
        remove(&target).map_err(|source| ManagerError::io("remove", &target, source))?;
        let rebuilt = opener.rebuild(Rebuild {
            meta: &meta,
            backend: &*self.backend,
            path: &file,
            target: &target,
            watch: &self.options.watch,
        });
        let rebuilt = rebuilt.inspect_err(|_| {
            // The error is what counts.
            let _ = remove(&target);
        })?;
        let kept = keep(&file, "before-rebuild")?;
        fs::rename(&target, &file).map_err(|source| ManagerError::io("replace", &file, source))?;
        if let Some(dir) = file.parent() {
            sync_dir(dir)?;
        }
        let closed = rebuilt.held.close();
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

/// Gives a file a second name, which it keeps when another takes its first.
pub(super) fn keep(file: &Path, why: &str) -> Result<PathBuf, ManagerError> {
    let mut nth = 1;
    loop {
        let kept = file.with_file_name(format!("{STATE_DB}.{why}-{nth}"));
        match fs::hard_link(file, &kept) {
            Ok(()) => return Ok(kept),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && nth < MAX_KEPT => {
                nth += 1;
            }
            Err(source) => return Err(ManagerError::io("keep the old file as", &kept, source)),
        }
    }
}
