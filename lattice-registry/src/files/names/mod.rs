//! The order in which names are made, changed and synced.
//!
//! A new name is durable only once its directory is synced. These functions run on a file system,
//! and in tests on a model of one that loses power.

use std::fmt::Debug;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::{FilesError, directory_of, uninterrupted};

/// Names of files and directories, and what makes them durable.
pub(crate) trait Names: Debug {
    /// Whether a path leads to a file or a directory.
    fn exists(&self, path: &Path) -> bool;

    /// Creates a directory that only its owner can access.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Gives a file a second name, which must be unused.
    fn link(&self, file: &Path, name: &Path) -> io::Result<()>;

    /// Renames a file, in place of another one, or a directory, in place of an empty one.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    fn remove_file(&self, file: &Path) -> io::Result<()>;

    /// Returns once the contents of a file are on disk.
    fn sync_file(&self, file: &Path) -> io::Result<()>;

    /// Returns once the names in a directory are on disk.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// The file system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OnDisk;

impl Names for OnDisk {
    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        super::dirs::private().create(dir)
    }

    fn link(&self, file: &Path, name: &Path) -> io::Result<()> {
        fs::hard_link(file, name)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, file: &Path) -> io::Result<()> {
        fs::remove_file(file)
    }

    fn sync_file(&self, file: &Path) -> io::Result<()> {
        let file = File::open(file)?;
        uninterrupted(|| file.sync_all())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let synced = File::open(dir).and_then(|dir| uninterrupted(|| dir.sync_all()));
        match synced {
            Err(error) if is_impossible(&error) => Ok(()),
            synced => synced,
        }
    }
}

/// Whether no user, or not this one, can sync a directory of this file system. The names in it are
/// complete all the same.
fn is_impossible(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
    )
}

fn sync(names: &dyn Names, dir: &Path) -> Result<(), FilesError> {
    let synced = names.sync_dir(dir);
    synced.map_err(|source| FilesError::io("sync", dir, source))
}

/// Creates a directory and its missing parents, and syncs the entry of each.
pub(crate) fn make_dirs(names: &dyn Names, dir: &Path) -> Result<Vec<PathBuf>, FilesError> {
    let missing: Vec<_> = dir
        .ancestors()
        .take_while(|above| !above.as_os_str().is_empty() && !names.exists(above))
        .collect();
    let mut made = Vec::new();
    for above in missing.into_iter().rev() {
        match names.create_dir(above) {
            Ok(()) => {
                sync(names, directory_of(above))?;
                made.push(above.to_path_buf());
            }
            // Another process has made it. A link to nothing has the name, and is no directory.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && names.exists(above) => {}
            Err(source) => return Err(FilesError::io("create directory", above, source)),
        }
    }
    Ok(made)
}

/// Moves a finished file to an unused name.
pub(crate) fn place(names: &dyn Names, file: &Path, target: &Path) -> Result<(), FilesError> {
    let failed = |source| FilesError::io("create", target, source);
    names.sync_file(file).map_err(failed)?;
    match names.link(file, target) {
        Ok(()) => names.remove_file(file),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // Some file systems have no hard links.
        Err(_) if names.exists(target) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => names.rename(file, target),
    }
    .map_err(failed)?;
    sync(names, directory_of(target))
}

/// Moves a finished file to a name that another one may have.
pub(crate) fn replace(names: &dyn Names, new: &Path, old: &Path) -> Result<(), FilesError> {
    let failed = |source| FilesError::io("replace", old, source);
    names.sync_file(new).map_err(failed)?;
    names.rename(new, old).map_err(failed)?;
    sync(names, directory_of(old))
}

/// Moves a finished file to the name of another one, which has been given a second name in the same
/// directory before.
pub(crate) fn replace_kept(names: &dyn Names, new: &Path, old: &Path) -> Result<(), FilesError> {
    // The second name must be on disk before the old file loses its first one.
    sync(names, directory_of(old))?;
    replace(names, new, old)
}

/// Moves a finished directory, in which all is synced, to an unused name.
pub(crate) fn move_dir(names: &dyn Names, dir: &Path, place: &Path) -> Result<(), FilesError> {
    let moved = names.rename(dir, place);
    moved.map_err(|source| FilesError::io("move a new store to", place, source))?;
    sync(names, directory_of(place))
}

#[cfg(test)]
mod tests;
