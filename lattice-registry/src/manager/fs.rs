//! Operations on directories, file names and file locks, independent of stores.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// The most old files that are kept beside a file.
const MAX_KEPT: u32 = 1000;

/// A failed call of the operating system.
#[derive(Debug)]
pub(super) struct FsError {
    /// What the call was for, as in "cannot {doing} {path}".
    pub(super) doing: &'static str,
    pub(super) path: PathBuf,
    pub(super) source: io::Error,
}

impl FsError {
    pub(super) fn new(doing: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self {
            doing,
            path: path.into(),
            source,
        }
    }
}

/// Syncs a directory, so that changes of names in it are durable.
pub(super) fn sync_dir(dir: &Path) -> Result<(), FsError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|source| FsError::new("sync", dir, source))
}

/// The directory that contains, or will contain, a file.
pub(super) fn directory_of(file: &Path) -> &Path {
    match file.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// Whether renaming a directory failed because the new name exists.
pub(super) fn is_taken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists
    )
}

/// Removes a file, if it exists.
pub(super) fn remove_if_there(file: &Path) -> Result<(), FsError> {
    match fs::remove_file(file) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(FsError::new("remove", file, source))
        }
        _ => Ok(()),
    }
}

/// Removes a directory with its contents, if it exists, and creates it again.
pub(super) fn empty_dir(dir: &Path) -> Result<(), FsError> {
    match fs::remove_dir_all(dir) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            return Err(FsError::new("remove", dir, source));
        }
        _ => {}
    }
    fs::create_dir(dir).map_err(|source| FsError::new("create directory", dir, source))
}

/// Renames a file. Fails if the new name exists.
pub(super) fn place_new(file: &Path, target: &Path) -> Result<(), FsError> {
    let linked = fs::hard_link(file, target);
    let placed = match &linked {
        Ok(()) => fs::remove_file(file),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => linked,
        // Some file systems have no hard links.
        Err(_) => fs::rename(file, target),
    };
    placed.map_err(|source| FsError::new("make", target, source))?;
    sync_dir(directory_of(target))
}

/// Replaces a file by another one, and returns the name under which the old one is kept: the first
/// unused one of `<kept_as>-1`, `<kept_as>-2`, ... On failure, nothing has changed.
pub(super) fn replace(place: &Path, new: &Path, kept_as: &str) -> Result<PathBuf, FsError> {
    let dir = directory_of(place);
    let kept = keep(place, kept_as)?;
    // The second name must be on disk before the old file loses its first one.
    let replaced = sync_dir(dir).and_then(|()| {
        fs::rename(new, place).map_err(|source| FsError::new("replace", place, source))
    });
    replaced.inspect_err(|_| {
        let _ = fs::remove_file(&kept);
    })?;
    sync_dir(dir)?;
    Ok(kept)
}

/// Gives a file a second name, which it keeps when another file replaces it.
fn keep(file: &Path, kept_as: &str) -> Result<PathBuf, FsError> {
    let mut nth = 1;
    loop {
        let kept = file.with_file_name(format!("{kept_as}-{nth}"));
        let failed = |source| FsError::new("keep the old file as", &kept, source);
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

/// What to do if another handle holds a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IfHeld {
    /// Return without the lock.
    Return,
    /// Wait for the lock.
    Wait,
}

/// The lock file for a name in a directory.
pub(super) fn lock_of(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.lock"))
}

/// Locks a file, and creates it if it is missing. Returns `None` if another handle holds the lock
/// and the caller does not wait.
pub(super) fn hold(path: &Path, if_held: IfHeld) -> io::Result<Option<File>> {
    loop {
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        match (if_held, file.try_lock()) {
            (_, Ok(())) => {}
            (IfHeld::Return, Err(TryLockError::WouldBlock)) => return Ok(None),
            (IfHeld::Wait, Err(TryLockError::WouldBlock)) => file.lock()?,
            (_, Err(TryLockError::Error(error))) => return Err(error),
        }
        // The previous holder may have removed the file. Later callers then lock a new file of this
        // name.
        match fs::metadata(path) {
            Ok(there) if is_same(&there, &file.metadata()?) => return Ok(Some(file)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether both describe the same file.
#[cfg(unix)]
fn is_same(a: &fs::Metadata, b: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// On these systems open files are not removed, so a name keeps its file.
#[cfg(not(unix))]
fn is_same(_: &fs::Metadata, _: &fs::Metadata) -> bool {
    true
}

/// Directories created for a new file or store. Dropping this value removes those that are empty,
/// unless they are marked as kept.
#[derive(Debug, Default)]
pub(super) struct Made {
    paths: Vec<PathBuf>,
}

impl Made {
    /// Creates a directory and its missing parents.
    pub(super) fn dir(&mut self, dir: &Path) -> Result<PathBuf, FsError> {
        let missing: Vec<_> = dir
            .ancestors()
            .take_while(|above| !above.as_os_str().is_empty() && !above.exists())
            .collect();
        for above in missing.into_iter().rev() {
            match fs::create_dir(above) {
                Ok(()) => self.paths.push(above.to_path_buf()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(FsError::new("create directory", above, source)),
            }
        }
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
