//! The module cache in the data directory: `wasm/<content id>`, hashed on every read.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use lattice_meta::Cid;
use lattice_wasm::abi::MAX_CODE_BYTES;

use crate::error::LibraryError;

/// How long a change waits for another process that holds the lock.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// Interval between attempts to take the lock.
const POLL: Duration = Duration::from_millis(10);

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

    /// Returns a module, or `None` if the cache does not have it. Renames a file whose bytes do not
    /// match its name to `<content id>.bad`.
    pub(crate) fn get(&self, cid: &Cid) -> Result<Option<Vec<u8>>, LibraryError> {
        let path = self.path(cid);
        let bytes = match read_module(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(LibraryError::file("read", path, error)),
        };
        if cid.is_of(&bytes) {
            return Ok(Some(bytes));
        }
        // In a read-only directory the rename fails: the file stays and is skipped again next time.
        let _ = fs::rename(&path, self.dir.join(format!("{cid}.bad")));
        Ok(None)
    }

    /// Takes the lock that guards changes of the cache and of the list of trusted modules. Dropping
    /// the file releases it.
    pub(crate) fn lock(&self) -> Result<File, LibraryError> {
        fs::create_dir_all(&self.dir)
            .map_err(|error| LibraryError::file("make", &self.dir, error))?;
        let path = self.dir.join(".lock");
        let failed = |error| LibraryError::file("lock", &path, error);
        let mut options = File::options();
        options.create(true).truncate(false).write(true);
        let file = options.open(&path).map_err(failed)?;
        let began = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if began.elapsed() < MAX_WAIT => sleep(POLL),
                Err(TryLockError::WouldBlock) => {
                    let waited = format!("another process has held it for {MAX_WAIT:?}");
                    return Err(failed(io::Error::other(waited)));
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
    }

    /// Stores a module atomically. The caller holds the [lock](Self::lock).
    pub(crate) fn put(&self, cid: &Cid, bytes: &[u8]) -> Result<(), LibraryError> {
        if self.get(cid)?.is_some() {
            return Ok(());
        }
        let path = self.path(cid);
        replace(&path, bytes).map_err(|error| LibraryError::file("write", path, error))
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

/// Replaces a file atomically: syncs the new file before it gets its name, and its directory after
/// it.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    // Some systems cannot open a directory; the file is complete all the same.
    match File::open(dir) {
        Ok(dir) => dir.sync_all(),
        Err(_) => Ok(()),
    }
}
