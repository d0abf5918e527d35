//! Stores computed anew from their history.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use lattice_backend::backend::OpenOptions;
use lattice_backend::engine::verify::Difference;
use lattice_meta::{StateHash, StoreId};

use super::building::is_same;
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
        let opener = self.registry.resolve(&meta.store_type)?;
        self.close(store_id)?;
        // Nobody else writes, rebuilds or restores it until the new file has taken its place.
        let held = self
            .backend
            .open(&file, &OpenOptions::read_write())
            .map_err(|error| ManagerError::Open(error.into()))?;
        let target = file.with_file_name(format!("{STATE_DB}.rebuilding"));
        // One that was interrupted has left what is of no use.
        match fs::remove_file(&target) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(ManagerError::io("remove", &target, source));
            }
            _ => {}
        }
        let rebuilt = opener.rebuild(Rebuild {
            meta: &meta,
            backend: &*self.backend,
            held: &*held,
            path: &file,
            target: &target,
            watch: &self.options.watch,
        });
        let replaced = rebuilt
            .map_err(ManagerError::from)
            .and_then(|rebuilt| Ok((rebuilt, replace(&file, &target, "before-rebuild")?)));
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

/// Puts a file in the place of another, which is kept beside it: gives its new name. After a failure
/// everything is as it was.
pub(super) fn replace(place: &Path, new: &Path, why: &str) -> Result<PathBuf, ManagerError> {
    let dir = place.parent().unwrap_or(Path::new("."));
    let kept = keep(place, why)?;
    // The old file is found under its new name before it loses the other.
    let replaced = sync_dir(dir).and_then(|()| {
        fs::rename(new, place).map_err(|source| ManagerError::io("replace", place, source))
    });
    replaced.inspect_err(|_| {
        let _ = fs::remove_file(&kept);
    })?;
    sync_dir(dir)?;
    Ok(kept)
}

/// Gives a file a second name, which it keeps when another takes its first.
fn keep(file: &Path, why: &str) -> Result<PathBuf, ManagerError> {
    let mut nth = 1;
    loop {
        let kept = file.with_file_name(format!("{STATE_DB}.{why}-{nth}"));
        let failed = |source| ManagerError::io("keep the old file as", &kept, source);
        match fs::hard_link(file, &kept) {
            Ok(()) => return Ok(kept),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let (there, old) = (fs::metadata(&kept), fs::metadata(file));
                // An attempt that was cut off before it replaced the file has left this name.
                if cfg!(unix) && is_same(&there.map_err(failed)?, &old.map_err(failed)?) {
                    return Ok(kept);
                }
                if nth == MAX_KEPT {
                    return Err(failed(error));
                }
                nth += 1;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(failed(error)),
            // Not every file system has second names.
            Err(_) => {
                let copied = fs::copy(file, &kept);
                let synced = copied.and_then(|_| fs::File::open(&kept)?.sync_all());
                synced.map_err(failed)?;
                return Ok(kept);
            }
        }
    }
}
