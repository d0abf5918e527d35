//! Finds and removes modules of the cache that nothing needs.

use std::collections::BTreeSet;
use std::fs::{self, DirEntry, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use lattice_meta::Cid;
use lattice_registry::files::{DirLock, Partial};

use crate::cache::DAMAGED;
use crate::error::LibraryError;
use crate::library::CodeLibrary;
use crate::trust::Trusted;

/// How long a module stays after its last use.
const KEPT: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// What a file of the cache is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum GarbageKind {
    /// A module that is not trusted, that no store records, and that was not used for 90 days.
    Module(Cid),
    /// A file that was renamed because its bytes are not those of this content id.
    Damaged(Cid),
    /// A directory with a file that a killed process was writing.
    Unfinished,
}

/// A file of the cache that can be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Garbage {
    /// What it is.
    pub kind: GarbageKind,
    /// The file.
    pub file: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
    /// The last use of a module; of other files, the last change.
    pub last_used: SystemTime,
}

/// The garbage in the directory of a cache, in the order of names.
pub(crate) fn find(
    dir: &Path,
    trusted: &Trusted,
    roots: &BTreeSet<Cid>,
    now: SystemTime,
) -> Result<Vec<Garbage>, LibraryError> {
    let failed = |error| LibraryError::file("list", dir, error);
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let is_needed = |cid: &Cid| roots.contains(cid) || trusted.contains(cid);
    let mut garbage = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        match examine(&entry, is_needed, now) {
            Ok(found) => garbage.extend(found),
            // Another process has removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(LibraryError::file("read", entry.path(), error)),
        }
    }
    for dir in Partial::left(dir).map_err(failed)? {
        match unfinished(&dir) {
            Ok(found) => garbage.push(found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(LibraryError::file("read", dir, error)),
        }
    }
    garbage.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(garbage)
}

/// Removes garbage. While it lives, no process adds, removes or resolves modules of the data
/// directory; those that try wait at most ten seconds.
#[derive(Debug)]
pub struct Collector<'a> {
    library: &'a CodeLibrary,
    /// Dropping it releases the lock: first the leases.
    _leases: File,
    _changes: DirLock,
}

impl<'a> Collector<'a> {
    pub(crate) fn new(library: &'a CodeLibrary, leases: File, changes: DirLock) -> Self {
        Self {
            library,
            _leases: leases,
            _changes: changes,
        }
    }

    /// Removes the [garbage](CodeLibrary::garbage), and returns what it has removed. The caller
    /// reads `roots` while it has the collector, because until then a store may record another
    /// module.
    ///
    /// # Errors
    /// As for [`CodeLibrary::garbage`]. Files that were removed before the error stay removed.
    pub fn collect(
        &self,
        roots: &BTreeSet<Cid>,
        now: SystemTime,
    ) -> Result<Vec<Garbage>, LibraryError> {
        let garbage = self.library.garbage(roots, now)?;
        for Garbage { kind, file, .. } in &garbage {
            let removed = match kind {
                GarbageKind::Unfinished => Partial::remove_left(file),
                GarbageKind::Module(_) | GarbageKind::Damaged(_) => fs::remove_file(file),
            };
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(LibraryError::file("remove", file, error));
                }
                _ => {}
            }
        }
        Ok(garbage)
    }
}

/// What a killed process left.
fn unfinished(dir: &Path) -> io::Result<Garbage> {
    let last_used = fs::symlink_metadata(dir)?.modified()?;
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(Garbage {
        kind: GarbageKind::Unfinished,
        file: dir.to_path_buf(),
        bytes,
        last_used,
    })
}

/// The entry as garbage; `None` if it must stay.
fn examine(
    entry: &DirEntry,
    is_needed: impl Fn(&Cid) -> bool,
    now: SystemTime,
) -> io::Result<Option<Garbage>> {
    let name = entry.file_name();
    let Some(name) = name.to_str() else {
        return Ok(None);
    };
    // A link is not followed, and stays.
    let metadata = entry.metadata()?;
    if !metadata.is_file() {
        return Ok(None);
    }
    let last_used = metadata.modified()?;
    // A time in the future counts as now.
    let age = now.duration_since(last_used).unwrap_or(Duration::ZERO);
    let kind = if let Ok(cid) = name.parse::<Cid>() {
        (age > KEPT && !is_needed(&cid)).then_some(GarbageKind::Module(cid))
    } else {
        let cid = name.strip_suffix(DAMAGED).and_then(|cid| cid.parse().ok());
        cid.map(GarbageKind::Damaged)
    };
    Ok(kind.map(|kind| Garbage {
        kind,
        file: entry.path(),
        bytes: metadata.len(),
        last_used,
    }))
}
