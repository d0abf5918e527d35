//! The module cache in the data directory: `wasm/<content id>`, hashed on every read.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use lattice_meta::Cid;
use lattice_registry::files::{
    DirLock, MAX_WAIT, Partial, make_dirs, replace_bytes, wait_for_lock,
};
use lattice_wasm::abi::MAX_CODE_BYTES;

use crate::error::LibraryError;
use crate::lease::Lease;

/// The end of the name of a file whose bytes do not match its content id.
pub(crate) const DAMAGED: &str = ".bad";
/// The modification time of a module is renewed at a use if it is older.
const RENEWED_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads a file up to the limit of a module and one byte more. A longer file is truncated there, so
/// that the length check refuses it and it takes no more memory.
pub(crate) fn read_module(path: &Path) -> io::Result<Vec<u8>> {
    let most = u64::try_from(MAX_CODE_BYTES + 1).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[derive(Debug)]
pub(crate) struct Cache {
    dir: PathBuf,
}

impl Cache {
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self {
            dir: data_dir.join("wasm"),
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn path(&self, cid: &Cid) -> PathBuf {
        self.dir.join(cid.to_string())
    }

    /// Whether a file of this module was set aside because its bytes did not match its name.
    pub(crate) fn has_damaged(&self, cid: &Cid) -> bool {
        self.dir.join(format!("{cid}{DAMAGED}")).exists()
    }

    /// Returns a module, or `None` if the cache does not have it. Renames a file whose bytes do not
    /// match its name to `<content id>.bad`.
    pub(crate) fn get(&self, cid: &Cid) -> Result<Option<Vec<u8>>, LibraryError> {
        let path = self.path(cid);
        let bytes = match read_module(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(_) if path.is_dir() => return Ok(None),
            Err(error) => return Err(LibraryError::file("read", path, error)),
        };
        if cid.is_of(&bytes) {
            return Ok(Some(bytes));
        }
        // In a read-only directory the rename fails: the file stays and is skipped again next time.
        let _ = fs::rename(&path, self.dir.join(format!("{cid}{DAMAGED}")));
        Ok(None)
    }

    fn create(&self) -> Result<(), LibraryError> {
        make_dirs(&self.dir)?;
        Ok(())
    }

    /// Takes the lock that guards changes of the cache and of the list of trusted modules. Dropping
    /// it releases it.
    pub(crate) fn lock(&self) -> Result<DirLock, LibraryError> {
        self.create()?;
        Ok(DirLock::take(&self.dir, MAX_WAIT)?)
    }

    /// Removes what killed processes left of modules that they were writing.
    pub(crate) fn clear_unfinished(&self) {
        Partial::clear(&self.dir);
    }

    /// Keeps the modules from being collected.
    pub(crate) fn lease(&self) -> Result<Lease, LibraryError> {
        let Ok(dir) = File::open(&self.dir) else {
            return Ok(Lease::new(None));
        };
        let mut is_locked = true;
        wait_for_lock(&self.dir, MAX_WAIT, || match dir.try_lock_shared() {
            Err(TryLockError::Error(error)) if error.kind() != io::ErrorKind::Interrupted => {
                is_locked = false;
                Ok(())
            }
            locked => locked,
        })?;
        Ok(Lease::new(is_locked.then_some(dir)))
    }

    /// Locks the directory, so that no process has a lease. The caller holds the
    /// [lock](Self::lock). Dropping the file releases it.
    pub(crate) fn exclude_leases(&self) -> Result<File, LibraryError> {
        let dir = File::open(&self.dir);
        let dir = dir.map_err(|error| LibraryError::file("lock", &self.dir, error))?;
        wait_for_lock(&self.dir, MAX_WAIT, || dir.try_lock())?;
        Ok(dir)
    }

    /// Notes that a module is used now, if its file says that it was not used for a day. Failure is
    /// ignored: this process may not be allowed to change the file.
    pub(crate) fn renew(&self, cid: &Cid) {
        let path = self.path(cid);
        let now = SystemTime::now();
        let modified = fs::metadata(&path).and_then(|metadata| metadata.modified());
        let age = modified.map(|modified| now.duration_since(modified));
        if matches!(age, Ok(Ok(age)) if age > RENEWED_AFTER) {
            let file = File::options().write(true).open(&path);
            let _ = file.and_then(|file| file.set_modified(now));
        }
    }

    /// Stores a module atomically. This needs no lock: all processes write the same bytes.
    pub(crate) fn put(&self, cid: &Cid, bytes: &[u8]) -> Result<(), LibraryError> {
        if self.get(cid)?.is_some() {
            self.renew(cid);
            return Ok(());
        }
        self.create()?;
        let path = self.path(cid);
        Ok(replace_bytes(&path, bytes)?)
    }

    /// Removes a module, if it exists. The caller holds the [lock](Self::lock).
    pub(crate) fn remove(&self, cid: &Cid) -> Result<(), LibraryError> {
        let path = self.path(cid);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(LibraryError::file("remove", path, error))
            }
            _ => Ok(()),
        }
    }

    /// The content ids of the cached modules.
    pub(crate) fn list(&self) -> Result<Vec<Cid>, LibraryError> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(LibraryError::file("list", &self.dir, error)),
        };
        let mut cids = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| LibraryError::file("list", &self.dir, error))?;
            let name = entry.file_name();
            cids.extend(name.to_str().and_then(|name| name.parse::<Cid>().ok()));
        }
        cids.sort_unstable();
        Ok(cids)
    }
}
