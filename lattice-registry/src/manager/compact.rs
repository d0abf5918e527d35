//! Stores without unused space.

use std::fs;
use std::io;
use std::path::Path;

use lattice_backend::backend::{Access, FileError, OpenOptions};
use lattice_meta::StoreId;

use super::open::{canonical, state_db};
use super::{ManagerError, StoreManager};

/// What a compaction has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compacted {
    /// The store.
    pub store_id: StoreId,
    /// The length that its file had, in bytes.
    pub before_bytes: u64,
    /// The length that it has.
    pub after_bytes: u64,
}

impl StoreManager {
    /// Gives the space that a store no longer uses back to the file system. One that this manager
    /// has open for writing stays so, and what it still keeps ready is given back when it is
    /// closed. Its type need not be known: no row is changed.
    ///
    /// # Errors
    /// A store that another process writes or any handle reads; what the file system reports.
    pub fn compact(&self, path: impl AsRef<Path>) -> Result<Compacted, ManagerError> {
        let file = canonical(&state_db(path.as_ref()));
        let len = || {
            let metadata = fs::metadata(&file);
            metadata.map(|found| found.len()).map_err(|source| {
                let path = file.clone();
                match source.kind() {
                    // It was removed after it was found.
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
            Some(open) => open.compact(),
            None => {
                let db = self
                    .backend
                    .open(&file, &OpenOptions::read_write())
                    .map_err(|error| ManagerError::Open(error.into()))?;
                db.compact().and(db.close())
            }
        };
        compacted.map_err(|source| ManagerError::Compact { store_id, source })?;
        Ok(Compacted {
            store_id,
            before_bytes,
            after_bytes: len()?,
        })
    }
}
