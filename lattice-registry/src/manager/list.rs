//! Lists stores.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use lattice_backend::cores::on_all_cores;
use lattice_meta::{MetaInfo, StoreId};

use super::find::canonical;
use super::known::{Key, Known, Lines};
use super::{ManagerError, STATE_DB, StoreManager};

/// One entry of `stores/`.
#[derive(Debug)]
#[non_exhaustive]
pub struct Listed {
    /// The store's directory.
    pub path: PathBuf,
    /// The store's `meta` table, or why peek failed.
    pub meta: Result<MetaInfo, ManagerError>,
    /// Whether the data directory vouches for the store; see [`StoreManager::is_known`]. False for
    /// a store that cannot be read.
    pub is_known: bool,
    /// The size of its file in bytes; `None` if there is no file.
    pub size_bytes: Option<u64>,
}

impl StoreManager {
    /// Peeks at all stores, on all cores; ordered by directory name. The entry of a damaged store
    /// holds the error.
    ///
    /// # Errors
    /// If `stores/` itself cannot be read. If it does not exist, the list is empty.
    pub fn list(&self) -> Result<Vec<Listed>, ManagerError> {
        let stores = self.stores_dir();
        let failed = |source| ManagerError::io("list", &stores, source);
        let mut paths = Vec::new();
        let entries = match fs::read_dir(&stores) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            // The directory entry has the type; only links must be followed.
            let is_dir = match entry.file_type() {
                Ok(kind) if !kind.is_symlink() => kind.is_dir(),
                _ => path.is_dir(),
            };
            if is_dir {
                paths.push(path);
            }
        }
        paths.sort();
        let known = Known::load(&self.dir)?;
        Ok(self.peek_all(paths, known.is_there(), &known.lines()))
    }

    fn peek_all(&self, paths: Vec<PathBuf>, has_known: bool, known: &Lines) -> Vec<Listed> {
        let each = |(): &mut (), path: PathBuf| self.peek_dir(&path, has_known, known);
        on_all_cores(paths, 1, || (), each, || ()).0
    }

    fn peek_dir(&self, dir: &Path, has_known: bool, known: &Lines) -> Listed {
        let file = dir.join(STATE_DB);
        let entry = |key: &Key| known.mark(key);
        let (meta, is_known) = match self.peek_known(has_known, &entry, &canonical(&file)) {
            Ok((meta, is_known)) => (check_place(&file, &meta).map(|()| meta), is_known),
            // A peek needs less of a file, and its error is the one to report.
            Err(_) => (self.peek_file(&file), false),
        };
        let size_bytes = fs::metadata(&file).ok().map(|metadata| metadata.len());
        Listed {
            path: dir.to_path_buf(),
            is_known: is_known && meta.is_ok(),
            meta,
            size_bytes,
        }
    }
}

/// Checks that a store whose directory is named by an id has that id.
pub(super) fn check_place(file: &Path, meta: &MetaInfo) -> Result<(), ManagerError> {
    let name = file
        .parent()
        .and_then(Path::file_name)
        .and_then(|name| name.to_str());
    match name.and_then(|name| name.parse::<StoreId>().ok()) {
        Some(expected) if expected != meta.store_id => Err(ManagerError::Misplaced {
            path: file.to_path_buf(),
            expected,
            found: meta.store_id,
        }),
        _ => Ok(()),
    }
}
