//! Directories, names and locks of files. Nothing here knows what a store is.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// The most old files that are kept beside one.
const MAX_KEPT: u32 = 1000;

/// A call that the operating system refused.
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

/// Names in a directory are on disk once this returns.
pub(super) fn sync_dir(dir: &Path) -> Result<(), FsError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|source| FsError::new("sync", dir, source))
}

/// The directory that a file is in, or is to be in.
pub(super) fn directory_of(file: &Path) -> &Path {
    match file.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// Whether a directory could not be renamed because another one has the new name.
pub(super) fn is_taken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists
    )
}

/// Removes a file; one that is not there is no error.
pub(super) fn remove_if_there(file: &Path) -> Result<(), FsError> {
    match fs::remove_file(file) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(FsError::new("remove", file, source))
        }
        _ => Ok(()),
    }
}

/// Removes a directory with all that is in it, if it is there, and makes it again.
pub(super) fn empty_dir(dir: &Path) -> Result<(), FsError> {
    match fs::remove_dir_all(dir) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            return Err(FsError::new("remove", dir, source));
        }
        _ => {}
    }
    fs::create_dir(dir).map_err(|source| FsError::new("make directory", dir, source))
}

/// Gives a file a new name, which no other file may have.
pub(super) fn place_new(file: &Path, target: &Path) -> Result<(), FsError> {
    let linked = fs::hard_link(file, target);
    let placed = match &linked {
        Ok(()) => fs::remove_file(file),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => linked,
        // Not every file system has hard links.
        Err(_) => fs::rename(file, target),
    };
    placed.map_err(|source| FsError::new("make", target, source))?;
    sync_dir(directory_of(target))
}

/// Puts a file in the place of another and returns the name under which the old one is kept: the
/// first of `<kept_as>-1`, `<kept_as>-2`, ... that is free. A failure leaves everything as it was.
pub(super) fn replace(place: &Path, new: &Path, kept_as: &str) -> Result<PathBuf, FsError> {
    let dir = directory_of(place);
    let kept = keep(place, kept_as)?;
    // The second name must be on disk before the old file loses its first.
    let replaced = sync_dir(dir).and_then(|()| {
        fs::rename(new, place).map_err(|source| FsError::new("replace", place, source))
    });
    replaced.inspect_err(|_| {
        let _ = fs::remove_file(&kept);
    })?;
    sync_dir(dir)?;
    Ok(kept)
}

/// Gives a file a second name, which it keeps when another file takes its first.
fn keep(file: &Path, kept_as: &str) -> Result<PathBuf, FsError> {
    let mut nth = 1;
    loop {
        let kept = file.with_file_name(format!("{kept_as}-{nth}"));
        let failed = |source| FsError::new("keep the old file as", &kept, source);
        match fs::hard_link(file, &kept) {
            Ok(()) => return Ok(kept),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let (there, old) = (fs::metadata(&kept), fs::metadata(file));
                // A replacement that was cut off before the rename has left this name.
                if cfg!(unix) && is_same(&there.map_err(failed)?, &old.map_err(failed)?) {
                    return Ok(kept);
                }
                if nth == MAX_KEPT {
                    return Err(failed(error));
                }
                nth += 1;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(failed(error)),
            // Not every file system has hard links.
            Err(_) => {
                let copied = fs::copy(file, &kept);
                let synced = copied.and_then(|_| File::open(&kept)?.sync_all());
                synced.map_err(failed)?;
                return Ok(kept);
            }
        }
    }
}

/// What is done about a lock that another handle holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IfHeld {
    /// Return without it.
    Return,
    /// Wait until it is free.
    Wait,
}

/// The lock file of a name in a directory.
pub(super) fn lock_of(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.lock"))
}

/// Locks a file, which is made if it is not there. Returns no file if another handle holds the lock
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
        // The holder before may have removed the file: later callers lock a new one of its name.
        match fs::metadata(path) {
            Ok(there) if is_same(&there, &file.metadata()?) => return Ok(Some(file)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether both describe one file.
#[cfg(unix)]
fn is_same(a: &fs::Metadata, b: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// Files that are open are not removed here, so a name stays with its file.
#[cfg(not(unix))]
fn is_same(_: &fs::Metadata, _: &fs::Metadata) -> bool {
    true
}

/// Directories made for something new. Those that are still empty are removed on drop, unless they
/// are kept.
#[derive(Debug, Default)]
pub(super) struct Made {
    paths: Vec<PathBuf>,
}

impl Made {
    /// Makes a directory and its missing parents.
    pub(super) fn dir(&mut self, dir: &Path) -> Result<PathBuf, FsError> {
        let missing: Vec<_> = dir
            .ancestors()
            .take_while(|above| !above.as_os_str().is_empty() && !above.exists())
            .collect();
        for above in missing.into_iter().rev() {
            match fs::create_dir(above) {
                Ok(()) => self.paths.push(above.to_path_buf()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(FsError::new("make directory", above, source)),
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
            // This fails for a directory that is not empty, which is to stay.
            let _ = fs::remove_dir(&path);
        }
    }
}
