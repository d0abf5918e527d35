//! Finds a store's file and peeks at it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lattice_backend::backend::{
    Access, BackendError, FileError, OpenOptions, Peek, PeekError, StateDb, peek_open,
};
use lattice_backend::engine::read::InfoError;
use lattice_meta::{MetaInfo, StoreId};

use super::list::check_place;
use super::{ManagerError, STATE_DB, StoreManager};
use crate::{Recorded, StoreHandle};

/// A store that was found and peeked at, but is not open yet.
#[derive(Debug)]
pub struct Found {
    pub(super) file: PathBuf,
    pub(super) peek: Peek,
    /// The file, open for reading, if the store is to be opened for writing.
    pub(super) reader: Option<Arc<dyn StateDb>>,
}

impl Found {
    fn new(file: PathBuf, peek: Peek, reader: Option<Arc<dyn StateDb>>) -> Self {
        Self { file, peek, reader }
    }

    /// Its `meta` table.
    pub fn meta(&self) -> &MetaInfo {
        &self.peek.meta
    }

    /// What it records about the code that it needs.
    pub fn recorded(&self) -> Recorded<'_> {
        (&self.peek).into()
    }

    /// The canonical path of its file.
    pub fn path(&self) -> &Path {
        &self.file
    }

    /// Closes the file.
    pub(super) fn close(&mut self) {
        if let Some(reader) = self.reader.take() {
            // Nothing was written through it.
            let _ = reader.close();
        }
    }
}

impl Drop for Found {
    fn drop(&mut self) {
        self.close();
    }
}

/// Peek data of a store that is open here.
pub(super) fn peek_handle(open: &dyn StoreHandle, file: &Path) -> Result<Peek, PeekError> {
    let meta = open.info().map_err(|failed| match failed {
        InfoError::Meta(found) => found,
        InfoError::Backend(source) => PeekError::Backend {
            path: file.to_path_buf(),
            source,
        },
        error => PeekError::Backend {
            path: file.to_path_buf(),
            source: BackendError::storage("reading the `meta` table", error),
        },
    })?;
    let logic = Some(open.logic_version().to_string());
    Ok(Peek { meta, logic })
}

impl StoreManager {
    /// Peeks at a store of this data directory.
    ///
    /// # Errors
    /// See [`ManagerError`].
    pub fn peek(&self, store_id: StoreId) -> Result<MetaInfo, ManagerError> {
        self.peek_path(self.existing(store_id)?)
    }

    /// Peeks at any store: a `state.db` or the directory that holds one.
    ///
    /// # Errors
    /// See [`ManagerError`].
    pub fn peek_path(&self, path: impl AsRef<Path>) -> Result<MetaInfo, ManagerError> {
        self.peek_file(&state_db(path.as_ref()))
    }

    /// Peeks at any store, including its recorded logic: a `state.db` or the directory that holds
    /// one.
    ///
    /// # Errors
    /// See [`ManagerError`].
    pub fn peek_logic(&self, path: impl AsRef<Path>) -> Result<Peek, ManagerError> {
        self.peek_recorded(&state_db(path.as_ref()))
    }

    /// Peeks at a file. A file that is open exclusively cannot be peeked at; if this manager has it
    /// open, the open handle answers.
    pub(super) fn peek_file(&self, file: &Path) -> Result<MetaInfo, ManagerError> {
        Ok(self.peek_recorded(file)?.meta)
    }

    /// The same, with the recorded logic.
    pub(super) fn peek_recorded(&self, file: &Path) -> Result<Peek, ManagerError> {
        let peek = match self.backend.peek(file) {
            Err(error @ PeekError::File(FileError::InUse { .. })) => {
                let Some(open) = self.opened(&canonical(file), Access::ReadOnly) else {
                    return Err(error.into());
                };
                peek_handle(&*open, file)?
            }
            peeked => peeked?,
        };
        check_place(file, &peek.meta)?;
        Ok(peek)
    }

    /// Finds a store (a `state.db` or the directory that holds one) and peeks at it, for callers
    /// that check the store before they [open](Self::open_found) it with this access. A file that
    /// is to be written is opened for reading here, and need not be opened for reading again.
    ///
    /// # Errors
    /// See [`ManagerError`].
    pub fn find(&self, path: impl AsRef<Path>, access: Access) -> Result<Found, ManagerError> {
        let file = canonical(&state_db(path.as_ref()));
        if let Some(open) = self.opened(&file, access) {
            let peek = peek_handle(&*open, &file)?;
            return Ok(Found::new(file, peek, None));
        }
        if access == Access::ReadOnly {
            let peek = self.peek_recorded(&file)?;
            return Ok(Found::new(file, peek, None));
        }
        let options = OpenOptions::read_only();
        let reader = self
            .backend
            .open(&file, &options)
            .map_err(PeekError::File)?;
        let peek = match peek_open(&*reader, &file) {
            Ok(peek) => peek,
            Err(error) => {
                // Report the first error.
                let _ = reader.close();
                return Err(error.into());
            }
        };
        let found = Found::new(file, peek, Some(reader));
        check_place(&found.file, found.meta())?;
        Ok(found)
    }

    /// The path of a store of this data directory, which must exist.
    pub(super) fn existing(&self, store_id: StoreId) -> Result<PathBuf, ManagerError> {
        let path = self.store_path(store_id);
        let exists = path
            .try_exists()
            .map_err(|source| ManagerError::io("look for", &path, source))?;
        let dir = self.stores_dir();
        if exists {
            Ok(path)
        } else {
            Err(ManagerError::NoSuchStore { store_id, dir })
        }
    }
}

/// The file that a path means: the path itself, or `state.db` in the directory.
pub(super) fn state_db(path: &Path) -> PathBuf {
    // A directory named `state.db` does not hold a store: it is where the file should be.
    if path.is_dir() && path.file_name() != Some(STATE_DB.as_ref()) {
        path.join(STATE_DB)
    } else {
        path.to_path_buf()
    }
}

/// The canonical path of a file. If the path cannot be resolved, it is returned unchanged; peeking
/// at it then reports the error.
pub(super) fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_path_buf())
}
