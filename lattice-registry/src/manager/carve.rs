//! The ops of files that cannot be opened.

use std::path::Path;

use lattice_backend::engine::carve::CarvedOps;

use super::find::{canonical, state_db};
use super::{ManagerError, StoreManager};

impl StoreManager {
    /// Searches the bytes of a store's file for signed ops, whatever is damaged of it. Of a file in
    /// a directory that has the name of a store, only that store's ops are searched. Returns `None`
    /// if the file does not say which store it was, or the backend cannot search its files.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn carve(&self, path: impl AsRef<Path>) -> Result<Option<CarvedOps>, ManagerError> {
        let file = canonical(&state_db(path.as_ref()));
        let open = |error: lattice_backend::backend::FileError| ManagerError::Open(error.into());
        let Some(rows) = self.backend.raw_rows(&file).map_err(open)? else {
            return Ok(None);
        };
        let named = || file.parent()?.file_name()?.to_str()?.parse().ok();
        CarvedOps::find(rows, named()).map_err(open)
    }
}
