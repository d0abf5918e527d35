//! Names of store files and directories: made, replaced and kept.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::files::names::{self, OnDisk};
use crate::files::{FilesError, adopt, is_same, keep_access, make_dir, make_dirs, remove_all};

/// The most old files that are kept beside a file.
const MAX_KEPT: u32 = 1000;

/// Whether renaming a directory failed because the new name exists.
pub(super) fn is_taken(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists
    )
}

/// Removes a directory with its contents, if it exists, and creates it again, for its owner alone.
pub(super) fn empty_dir(dir: &Path) -> Result<(), FilesError> {
    remove_all(dir)?;
    make_dir(dir)
}

/// Replaces a file by another one, which gets its mode and owner, and returns the name under which
/// the old one is kept: the first unused one of `<kept_as>-1`, `<kept_as>-2`, ... On failure,
/// nothing has changed.
pub(super) fn replace(place: &Path, new: &Path, kept_as: &str) -> Result<PathBuf, FilesError> {
    let file = File::open(new).map_err(|source| FilesError::io("replace", place, source))?;
    keep_access(&file, place)?;
    let kept = keep(place, kept_as)?;
    match names::replace_kept(&OnDisk, new, place) {
        Ok(()) => Ok(kept),
        Err(error) => {
            // If the new file has taken the place, only the last sync has failed.
            if new.exists() {
                let _ = fs::remove_file(&kept);
            }
            Err(error)
        }
    }
}

/// Gives a file a second name, which it keeps when another file replaces it.
fn keep(file: &Path, kept_as: &str) -> Result<PathBuf, FilesError> {
    let mut nth = 1;
    loop {
        let kept = file.with_file_name(format!("{kept_as}-{nth}"));
        let failed = |source| FilesError::io("keep the old file as", &kept, source);
        match fs::hard_link(file, &kept) {
            Ok(()) => return Ok(kept),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let (there, old) = (fs::metadata(&kept), fs::metadata(file));
                // A replacement that was interrupted before the rename left this name.
                if cfg!(unix) && is_same(&there.map_err(failed)?, &old.map_err(failed)?) {
                    return Ok(kept);
                }
                if nth == MAX_KEPT {
                    return Err(failed(error));
                }
                nth += 1;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(failed(error)),
            // Some file systems have no hard links.
            Err(_) => {
                let copied = fs::copy(file, &kept);
                let synced = copied.and_then(|_| File::open(&kept)?.sync_all());
                synced.map_err(failed)?;
                return Ok(kept);
            }
        }
    }
}

/// The lock file for a name in a directory.
pub(super) fn lock_of(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.lock"))
}

/// Directories created for a new file or store. Dropping this value removes those that are empty,
/// unless they are marked as kept.
#[derive(Debug, Default)]
pub(super) struct Made {
    paths: Vec<PathBuf>,
}

impl Made {
    /// Creates a directory and its missing parents.
    pub(super) fn dir(&mut self, dir: &Path) -> Result<PathBuf, FilesError> {
        let made = make_dirs(dir)?;
        self.paths.extend_from_slice(&made);
        Ok(dir.to_path_buf())
    }

    /// Creates a directory of a data directory. What root makes there belongs to its owner.
    pub(super) fn dir_inside(&mut self, dir: &Path) -> Result<PathBuf, FilesError> {
        let made = make_dirs(dir)?;
        made.iter().try_for_each(|dir| adopt(dir))?;
        self.paths.extend_from_slice(&made);
        Ok(dir.to_path_buf())
    }

    pub(super) fn keep(mut self) {
        self.paths.clear();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for path in self.paths.drain(..).rev() {
            // This fails for a directory that is not empty, which must stay.
            let _ = fs::remove_dir(&path);
        }
    }
}
