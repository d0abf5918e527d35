//! Directories of stores, and names beside them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::files::{Fate, FilesError, Making, make_dir, make_dirs, remove_all};

/// The names under which replaced files are kept beside a store's file start so; `-1`, `-2` and so
/// on follow.
pub(super) const BEFORE_REBUILD: &str = "state.db.before-rebuild";
pub(super) const BEFORE_RESTORE: &str = "state.db.before-restore";
/// The names of journals start so that do not belong to the file beside them: those of a file that
/// was replaced by hand, and damaged ones that a rebuild gave up.
pub(super) const STALE_JOURNALS: [&str; 2] =
    ["state.db.journal-0.stale", "state.db.journal-1.stale"];

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

/// The lock file for a name in a directory.
pub(super) fn lock_of(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.lock"))
}

/// Directories created for a new file or store. Dropping this value removes those that are empty,
/// unless they are marked as kept.
#[derive(Debug, Default)]
pub(super) struct Made {
    paths: Vec<(PathBuf, Making)>,
}

impl Made {
    /// Creates a directory and its missing parents.
    pub(super) fn dir(&mut self, dir: &Path) -> Result<PathBuf, FilesError> {
        let made = make_dirs(dir)?;
        let making = |path: PathBuf| {
            let making = Making::begin(&path, Fate::RemoveEmpty);
            (path, making)
        };
        self.paths.extend(made.into_iter().map(making));
        Ok(dir.to_path_buf())
    }

    pub(super) fn keep(mut self) {
        self.paths.clear();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for (path, _making) in self.paths.drain(..).rev() {
            // This fails for a directory that is not empty, which must stay.
            let _ = fs::remove_dir(&path);
        }
    }
}
