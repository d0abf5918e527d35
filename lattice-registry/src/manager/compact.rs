//! Compaction of stores.

use std::fs;
use std::io;
use std::path::Path;

use lattice_backend::backend::{Access, FileError, OpenOptions};
use lattice_meta::StoreId;

use super::find::{canonical, state_db};
use super::{ManagerError, StoreManager};

/// The result of a compaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compacted {
    /// The store.
    pub store_id: StoreId,
    /// The file's length before, in bytes.
    pub before_bytes: u64,
    /// The file's length after, in bytes.
    pub after_bytes: u64,
}

impl StoreManager {
    /// Returns a store's unused space to the file system. If this manager has the store open for
    /// writing, the store stays open; closing it frees the space that it still keeps in reserve.
    /// The type need not be known, since no row changes.
    ///
    /// # Errors
    /// If another process writes the store, or any handle reads it; and what the file system
    /// reports.
    pub fn compact(&self, path: impl AsRef<Path>) -> Result<Compacted, ManagerError> {
        let file = canonical(&state_db(path.as_ref()));
        let len = || {
            let metadata = fs::metadata(&file);
            metadata.map(|found| found.len()).map_err(|source| {
                let path = file.clone();
                match source.kind() {
                    // The file was removed after it was found.
                    io::ErrorKind::NotFound => {
                        ManagerError::Peek(FileError::NotFound { path }.into())
                    }
                    _ => ManagerError::io("read the length of", path, source),
                }
            })
        };
        let open = self.opened(&file, Access::ReadWrite);
        let store_id = match &open {
            Some(open) => open.store_id(),
            None => self.peek_path(&file)?.store_id,
        };
        let before_bytes = len()?;
        let compacted = match open {
            Some(open) => open.compact(&self.options.progress),
            None => {
                let db = self
                    .backend
                    .open(&file, &OpenOptions::long_work("compact", self.options.wait))
                    .map_err(|error| ManagerError::Open(error.into()))?;
                db.compact(&self.options.progress).and(db.close())
            }
        };
        compacted.map_err(|source| ManagerError::Compact { store_id, source })?;
        let after_bytes = len()?;
        tracing::info!(store = %store_id, before_bytes, after_bytes, "file compacted");
        Ok(Compacted {
            store_id,
            before_bytes,
            after_bytes,
        })
    }
}
