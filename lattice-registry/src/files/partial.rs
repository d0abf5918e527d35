//! Files that are made beside their place.

use std::collections::hash_map::RandomState;
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use super::access::open_itself;
use super::lock::{is_at, try_lock};
use super::{FilesError, directory_of, sync_dir, uninterrupted};

/// A directory for a file that is being made has this prefix and this suffix. Its name does not
/// depend on the file's, which can be as long as names can be.
const PREFIX: &str = ".lattice-";
const SUFFIX: &str = ".partial";
/// The most attempts to find an unused name.
const ATTEMPTS: u32 = 100;

/// A file that is made in a private, locked directory beside its place, and appears there complete.
/// Dropping this value removes the directory with what is still in it. If the process is killed,
/// the directory stays, unlocked; the next file that any process of the same user makes beside it
/// removes it.
#[derive(Debug)]
pub struct Partial {
    dir: PathBuf,
    /// The directory, locked while this value lives.
    _locked: File,
}

impl Partial {
    /// Makes the directory beside `target`, and removes those of processes that were killed.
    ///
    /// # Errors
    /// What the operating system reports.
    pub fn beside(target: &Path) -> Result<Self, FilesError> {
        let parent = directory_of(target);
        let mut nth = 0;
        loop {
            let dir = parent.join(name());
            let failed = |source| FilesError::io("write in", parent, source);
            nth += 1;
            match super::dirs::private().create(&dir) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && nth < ATTEMPTS => {
                    continue;
                }
                made => made.map_err(failed)?,
            }
            let locked = lock_new(&dir);
            if !matches!(locked, Ok(Some(_))) {
                let _ = fs::remove_dir(&dir);
            }
            match locked.map_err(failed)? {
                Some(locked) => {
                    let partial = Self {
                        dir,
                        _locked: locked,
                    };
                    partial.clear_left(parent);
                    return Ok(partial);
                }
                None if nth < ATTEMPTS => {}
                None => return Err(failed(io::ErrorKind::ResourceBusy.into())),
            }
        }
    }

    /// The path of the file, which the caller makes.
    pub fn file(&self) -> PathBuf {
        self.dir.join("new")
    }

    /// The directory, for a caller that removes it before the process ends without dropping this
    /// value.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Moves the finished file to its place, durably. Fails if the name exists.
    ///
    /// # Errors
    /// What the operating system reports, with the kind `AlreadyExists` if the name exists.
    pub fn place(self, target: &Path) -> Result<(), FilesError> {
        let file = self.file();
        let failed = |source| FilesError::io("create", target, source);
        let opened = File::open(&file).and_then(|file| uninterrupted(|| file.sync_all()));
        opened.map_err(failed)?;
        let linked = fs::hard_link(&file, target);
        match linked {
            Ok(()) => fs::remove_file(&file),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
            // Some file systems have no hard links.
            Err(_) if fs::symlink_metadata(target).is_ok() => {
                Err(io::ErrorKind::AlreadyExists.into())
            }
            Err(_) => fs::rename(&file, target),
        }
        .map_err(failed)?;
        sync_dir(directory_of(target))
    }

    /// Moves the finished file to the place of another file, or to an unused name, durably.
    pub(super) fn replace(self, target: &Path) -> Result<(), FilesError> {
        super::take_place(&self.file(), target)
    }

    /// Removes the directories that killed processes of this user left. What cannot be removed does
    /// no harm.
    fn clear_left(&self, parent: &Path) {
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name();
            let is_left = name
                .to_str()
                .is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX));
            let left = entry.path();
            if !is_left || left == self.dir {
                continue;
            }
            if let Ok(Some(_locked)) = lock_left(&left, &self.dir) {
                let _ = fs::remove_dir_all(&left);
            }
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // The caller reports the error that led here.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A name that no other call uses. The directory is created only if it does not exist, so the name
/// need not be unpredictable.
fn name() -> String {
    // Each value has keys of its own.
    let random = RandomState::new().build_hasher().finish();
    format!("{PREFIX}{random:016x}{SUFFIX}")
}

/// Locks a directory that this process has just made. Returns `None` if another process has taken
/// it for a leftover. On file systems without locks, no process removes leftovers.
fn lock_new(dir: &Path) -> io::Result<Option<File>> {
    let file = open_itself(dir)?;
    let is_taken = matches!(uninterrupted(|| try_lock(&file)), Ok(false));
    Ok((!is_taken && is_at(&file, dir)?).then_some(file))
}

/// Locks a directory that another process of the same user has left. Returns `None` if that process
/// lives, or if the directory is another user's.
fn lock_left(left: &Path, mine: &Path) -> io::Result<Option<File>> {
    let file = open_itself(left)?;
    let is_ours = is_same_owner(&file.metadata()?, &fs::metadata(mine)?);
    let is_free = is_ours && uninterrupted(|| try_lock(&file))?;
    Ok((is_free && is_at(&file, left)?).then_some(file))
}

#[cfg(unix)]
fn is_same_owner(left: &fs::Metadata, mine: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    left.is_dir() && left.uid() == mine.uid()
}

/// Here directories cannot be opened, let alone locked.
#[cfg(not(unix))]
fn is_same_owner(_: &fs::Metadata, _: &fs::Metadata) -> bool {
    false
}
