//! Stores that are made beside the others, by one process at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use lattice_backend::{FileError, OpenError};
use lattice_meta::StoreId;

use super::create::Made;
use super::{ManagerError, STATE_DB, StoreManager};

/// A directory for a store that is being made, which nobody else makes meanwhile. It may have what an
/// attempt has left that was killed; this one's is gone at the end, unless it is placed.
pub(super) struct Building {
    dir: PathBuf,
    lock: PathBuf,
    /// Held for as long as this lives.
    _held: File,
    made: Made,
}

impl Building {
    pub(super) fn begin(manager: &StoreManager, name: &str) -> Result<Self, ManagerError> {
        let mut made = Made::default();
        let data_dir = made.dir(&manager.dir)?;
        let (dir, lock) = (data_dir.join(name), data_dir.join(format!("{name}.lock")));
        let held = hold(&lock).map_err(|source| ManagerError::io("lock", &lock, source))?;
        let Some(held) = held else {
            made.keep();
            let in_use = FileError::InUse { path: dir };
            return Err(ManagerError::Open(OpenError::File(in_use)));
        };
        Ok(Self {
            dir,
            lock,
            _held: held,
            made,
        })
    }

    /// One with nothing in it.
    pub(super) fn begin_empty(manager: &StoreManager, name: &str) -> Result<Self, ManagerError> {
        let building = Self::begin(manager, name)?;
        building.empty()?;
        Ok(building)
    }

    /// Removes what is there, and makes the directory anew.
    pub(super) fn empty(&self) -> Result<(), ManagerError> {
        let dir = &self.dir;
        match fs::remove_dir_all(dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(ManagerError::io("remove", dir, error));
            }
            _ => {}
        }
        fs::create_dir(dir).map_err(|source| ManagerError::io("make directory", dir, source))
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the store's file is to be.
    pub(super) fn file(&self) -> PathBuf {
        self.dir.join(STATE_DB)
    }

    /// Moves the store to where stores are.
    pub(super) fn place(
        mut self,
        manager: &StoreManager,
        store_id: StoreId,
    ) -> Result<(), ManagerError> {
        self.made.dir(&manager.stores_dir())?;
        manager.place(&self.dir, store_id)?;
        self.keep();
        Ok(())
    }

    /// Ends it when what was made has been put elsewhere.
    pub(super) fn keep(mut self) {
        std::mem::take(&mut self.made).keep();
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        // The error that led here is the one to report. The lock's file goes while it is held.
        let _ = fs::remove_dir_all(&self.dir);
        if cfg!(unix) {
            let _ = fs::remove_file(&self.lock);
        }
    }
}

/// Locks a file that is made if it is not there; nothing if somebody else holds it.
fn hold(path: &Path) -> io::Result<Option<File>> {
    loop {
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Whoever held it before may have removed it: then others do not see this lock.
        match fs::metadata(path) {
            Ok(there) if is_same(&there, &file.metadata()?) => return Ok(Some(file)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether two names are those of one file.
#[cfg(unix)]
pub(super) fn is_same(a: &fs::Metadata, b: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// Files that are open are not removed here.
#[cfg(not(unix))]
pub(super) fn is_same(_: &fs::Metadata, _: &fs::Metadata) -> bool {
    true
}
