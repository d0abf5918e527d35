//! Modules in the data directory: `wasm/<content id>`, each hashed again whenever it is read.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use lattice_meta::Cid;
use lattice_wasm::abi::MAX_CODE_BYTES;

use crate::error::LibraryError;

/// Reads a file of at most the length of a module. A longer one is cut behind it, so that it is
/// found to be too long, and takes no more memory.
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

    /// A module; nothing if it is not there. A file that is not what its name says is set aside.
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
        let aside = self.dir.join(format!("{cid}.bad"));
        fs::rename(&path, aside).map_err(|error| LibraryError::file("set aside", path, error))?;
        Ok(None)
    }

    /// Keeps a module: whole or not at all.
    pub(crate) fn put(&self, cid: &Cid, bytes: &[u8]) -> Result<(), LibraryError> {
        if self.get(cid)?.is_some() {
            return Ok(());
        }
        let failed = |error| LibraryError::file("write", self.path(cid), error);
        fs::create_dir_all(&self.dir)
            .map_err(|error| LibraryError::file("make", &self.dir, error))?;
        replace(&self.path(cid), bytes).map_err(failed)
    }

    /// The modules that are there, by their names.
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

/// Puts a file in the place of another, synced before it appears under its name, and its directory
/// after it.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    // A directory cannot be opened on every system; the file is whole all the same.
    match File::open(dir) {
        Ok(dir) => dir.sync_all(),
        Err(_) => Ok(()),
    }
}
