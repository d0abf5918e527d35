//! Files that are made beside their place.

use std::collections::hash_map::RandomState;
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use super::access::open_itself;
use super::lock::{is_at, try_lock};
use super::names::{self, OnDisk};
use super::unfinished::{Fate, Making, check_running, finishing};
use super::{FilesError, directory_of, uninterrupted};

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
    /// Dropped after the directory is removed.
    _making: Making,
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
            let failed = |source| FilesError::io("create", target, source);
            nth += 1;
            let create = || super::dirs::private().create(&dir);
            let (making, made) = Making::create(&dir, Fate::Remove, create);
            match made {
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
                        _making: making,
                        _locked: locked,
                    };
                    Self::clear(parent);
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

    /// Moves the finished file to its place, durably. Fails if the name exists.
    ///
    /// # Errors
    /// What the operating system reports, with the kind `AlreadyExists` if the name exists.
    pub fn place(self, target: &Path) -> Result<(), FilesError> {
        let _finishing = finishing();
        names::place(&OnDisk, &self.file(), target)
    }

    /// Moves the finished file to the place of another file, or to an unused name, durably.
    pub(super) fn replace(self, target: &Path) -> Result<(), FilesError> {
        let _finishing = finishing();
        super::take_place(&self.file(), target)
    }

    /// The directories that killed processes left in a directory.
    ///
    /// # Errors
    /// What the operating system reports.
    pub fn left(parent: &Path) -> io::Result<Vec<PathBuf>> {
        let mut left = Vec::new();
        for entry in fs::read_dir(parent)? {
            let entry = entry?;
            let name = entry.file_name();
            let is_partial = name
                .to_str()
                .is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX));
            if is_partial && matches!(lock_left(&entry.path()), Ok(Some(_))) {
                left.push(entry.path());
            }
        }
        Ok(left)
    }

    /// Removes the directories that killed processes left in a directory. What cannot be removed
    /// does no harm.
    pub fn clear(parent: &Path) {
        for dir in Self::left(parent).into_iter().flatten() {
            let _ = Self::remove_left(&dir);
        }
    }

    /// Removes a directory that [`left`](Self::left) returned, unless a process has locked it
    /// since.
    ///
    /// # Errors
    /// What the operating system reports.
    pub fn remove_left(dir: &Path) -> io::Result<()> {
        match lock_left(dir) {
            Ok(Some(_locked)) => fs::remove_dir_all(dir),
            Ok(None) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        check_running();
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
    let file = match open_itself(dir) {
        // The other process has removed it already.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let is_taken = matches!(uninterrupted(|| try_lock(&file)), Ok(false));
    Ok((!is_taken && is_at(&file, dir)?).then_some(file))
}

/// Locks a directory that another process has left. Returns `None` if that process lives. Only the
/// user whose process it was, and root, can open the directory.
fn lock_left(left: &Path) -> io::Result<Option<File>> {
    let file = open_itself(left)?;
    let is_left = file.metadata()?.is_dir() && uninterrupted(|| try_lock(&file))?;
    Ok((is_left && is_at(&file, left)?).then_some(file))
}
