//! Directories.

use std::fs::{self, DirBuilder};
use std::io;
use std::path::{Path, PathBuf};

use super::names::{self, Names, OnDisk};
use super::{FilesError, adopt};

/// The most tries to remove a directory that another process changes at the same time.
const REMOVALS: u32 = 100;

/// The directory that contains, or will contain, a file.
pub fn directory_of(file: &Path) -> &Path {
    match file.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// Syncs a directory, so that changes of names in it are durable. Does nothing where the file
/// system or the directory's permissions do not allow it: the names are complete all the same.
///
/// # Errors
/// What the operating system reports.
pub fn sync_dir(dir: &Path) -> Result<(), FilesError> {
    let synced = OnDisk.sync_dir(dir);
    synced.map_err(|source| FilesError::io("sync", dir, source))
}

/// Creates a directory and its missing parents, each with mode 0700, and syncs the entry of each.
/// What root creates belongs to the owner of the directory that it is in. Leaves existing ones as
/// they are. Returns those that this call created, outermost first.
///
/// # Errors
/// What the operating system reports. Directories that were created before the error stay.
pub fn make_dirs(dir: &Path) -> Result<Vec<PathBuf>, FilesError> {
    let made = names::make_dirs(&OnDisk, dir)?;
    made.iter().try_for_each(|dir| adopt(dir))?;
    Ok(made)
}

/// Creates a directory of a data directory with mode 0700. What root creates belongs to the owner
/// of the parent.
pub(crate) fn make_dir(dir: &Path) -> Result<(), FilesError> {
    let made = private().create(dir);
    made.map_err(|source| FilesError::io("create directory", dir, source))?;
    adopt(dir)
}

pub(super) fn private() -> DirBuilder {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "there are no modes"))]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

/// Removes a directory with its contents, or a file, or a link itself. A missing one is no error,
/// and another process may remove it at the same time.
///
/// # Errors
/// What the operating system reports.
pub fn remove_all(path: &Path) -> Result<(), FilesError> {
    let mut removed = Ok(());
    for _ in 0..REMOVALS {
        removed = match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
            Ok(_) => fs::remove_file(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => Err(error),
        };
        match &removed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            _ => break,
        }
    }
    removed.map_err(|source| FilesError::io("remove", path, source))
}
