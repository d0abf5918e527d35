//! Lock files.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::unfinished::{Fate, Making, check_running, finishing};
use super::{FilesError, adopt};

/// How long a call waits for another process that holds a lock: 10 seconds.
pub const MAX_WAIT: Duration = Duration::from_secs(10);
/// The name of the lock file of a directory.
pub const DIR_LOCK: &str = ".lock";
/// The interval between two attempts to take a lock.
const POLL: Duration = Duration::from_millis(10);

/// The lock of a directory, for changes of its small files. Readers take no lock, because those
/// files are replaced atomically.
///
/// The lock is on a file in the directory, not on the directory itself: any user who can list a
/// directory can lock it.
#[derive(Debug)]
pub struct DirLock {
    _file: LockFile,
}

impl DirLock {
    /// Takes the lock of a directory, which must exist. Waits at most this long; commands wait for
    /// [`MAX_WAIT`].
    ///
    /// # Errors
    /// [`FilesError::Held`], and what the operating system reports.
    pub fn take(dir: &Path, wait: Duration) -> Result<Self, FilesError> {
        LockFile::take(dir.join(DIR_LOCK), wait).map(|file| Self { _file: file })
    }
}

/// An exclusively locked file that only its owner can open. It exists while it is locked: dropping
/// this value removes the file and releases the lock.
#[derive(Debug)]
pub struct LockFile {
    path: PathBuf,
    /// Locked while this value lives.
    _file: File,
    _making: Making,
}

impl LockFile {
    /// Creates and locks a file. Waits at most this long for another process or thread that holds
    /// it. The file must not be a symbolic link.
    ///
    /// # Errors
    /// [`FilesError::Held`], and what the operating system reports.
    pub fn take(path: impl Into<PathBuf>, wait: Duration) -> Result<Self, FilesError> {
        let path = path.into();
        let taken = wait_for_lock(&path, wait, || {
            // A signal does not end the process between the creation of the file and its record.
            let _finishing = finishing();
            loop {
                let file = open(&path).map_err(TryLockError::Error)?;
                file.try_lock()?;
                // The previous holder may have removed the file. Later callers then lock a new file
                // of this name.
                if is_at(&file, &path).map_err(TryLockError::Error)? {
                    return Ok(Self {
                        _making: Making::begin(&path, Fate::Remove),
                        path: path.clone(),
                        _file: file,
                    });
                }
            }
        })?;
        adopt(&taken.path)?;
        Ok(taken)
    }
}

impl LockFile {
    /// Whether a process or a thread holds a lock file now. Creates nothing.
    ///
    /// # Errors
    /// What the operating system reports.
    pub fn is_held(path: &Path) -> Result<bool, FilesError> {
        let failed = |source| FilesError::io("lock", path, source);
        let file = match open_if(path, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            file => file.map_err(failed)?,
        };
        match file.try_lock() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

/// Tries to take a lock until it is free, and waits at most this long. The path is what it is on.
///
/// # Errors
/// [`FilesError::Held`], and what the operating system reports.
pub fn wait_for_lock<T>(
    path: &Path,
    wait: Duration,
    mut try_lock: impl FnMut() -> Result<T, TryLockError>,
) -> Result<T, FilesError> {
    let began = Instant::now();
    loop {
        match try_lock() {
            Ok(locked) => return Ok(locked),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {
                continue;
            }
            Err(TryLockError::Error(source)) => return Err(FilesError::io("lock", path, source)),
        }
        let waited = began.elapsed();
        if waited >= wait {
            let path = path.to_path_buf();
            return Err(FilesError::Held { path, waited });
        }
        sleep(POLL.min(wait - waited));
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        check_running();
        // Remove the file while it is still locked. Where open files cannot be removed, it stays.
        if cfg!(unix) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    open_if(path, true)
}

/// Opens a lock file, or creates it.
fn open_if(path: &Path, create: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(create).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // Another user may have put a link or a pipe there.
        options
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    }
    options.open(path)
}

/// Returns whether the lock was taken.
pub(super) fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether an open file or directory is the one at a path.
pub(super) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(there) => Ok(is_same(&there, &file.metadata()?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether both describe the same file.
#[cfg(unix)]
pub(super) fn is_same(a: &fs::Metadata, b: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// On these systems open files are not removed, so a name keeps its file.
#[cfg(not(unix))]
pub(super) fn is_same(_: &fs::Metadata, _: &fs::Metadata) -> bool {
    true
}
