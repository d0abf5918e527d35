//! What this process is making and has not finished, for a program that is interrupted.
//!
//! A program that ends because of a signal runs no destructors. It calls [`try_stop`], which
//! removes the unfinished files and tells what stands.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

static WORK: Mutex<Work> = Mutex::new(Work {
    next: 0,
    making: Vec::new(),
    finishing: 0,
    placed: None,
    is_stopped: false,
});

/// How often a directory is removed again in which another thread has just made a file.
const TRIES: u32 = 10;

#[derive(Debug)]
struct Work {
    /// The number of the next piece of work.
    next: u64,
    making: Vec<(u64, PathBuf, Fate)>,
    /// How many threads are putting something in its place.
    finishing: u32,
    /// What was finished last.
    placed: Option<PathBuf>,
    is_stopped: bool,
}

/// What becomes of an unfinished file or directory when the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Remove,
    /// Removed if nothing is in it.
    RemoveEmpty,
    /// The next command resumes it.
    Keep,
}

/// What stands after [`try_stop`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stopped {
    /// Unfinished files and directories that were removed.
    pub removed: Vec<PathBuf>,
    /// Unfinished directories that the next command resumes.
    pub kept: Vec<PathBuf>,
    /// Unfinished files and directories that could not be removed.
    pub left: Vec<PathBuf>,
    /// What was [finished](Finishing::placed) last.
    pub placed: Option<PathBuf>,
}

/// Stops all work on unfinished files in this process, and removes them. The caller ends the
/// process: from then on, every thread that begins, finishes or gives up such work waits for ever.
///
/// Returns `None`, and stops nothing, while a thread is putting a finished file in its place.
pub fn try_stop() -> Option<Stopped> {
    let making = {
        let mut work = work();
        if work.finishing > 0 {
            return None;
        }
        work.is_stopped = true;
        std::mem::take(&mut work.making)
    };
    let mut stopped = Stopped {
        placed: work().placed.clone(),
        ..Stopped::default()
    };
    // A lock file is older than what it guards, and goes last.
    for (_, path, fate) in making.into_iter().rev() {
        if fs::symlink_metadata(&path).is_err() {
            continue;
        }
        match fate {
            Fate::Keep => stopped.kept.push(path),
            Fate::RemoveEmpty => drop(fs::remove_dir(&path)),
            Fate::Remove => match remove(&path) {
                Ok(()) => stopped.removed.push(path),
                Err(_) => stopped.left.push(path),
            },
        }
    }
    Some(stopped)
}

/// Whether this process has [finished](Finishing::placed) something.
pub fn has_placed() -> bool {
    work().placed.is_some()
}

/// What is unfinished now, for a program that ends without removing it.
pub fn unfinished() -> Vec<PathBuf> {
    let Ok(work) = WORK.try_lock() else {
        return Vec::new();
    };
    let making = work.making.iter().map(|(_, path, _)| path.clone());
    making.filter(|path| path.exists()).collect()
}

/// Marks that the calling thread is finishing its work, for example putting a file in its place and
/// recording that. [`try_stop`] waits until this value is dropped. Waits for ever if the process is
/// about to end.
pub fn finishing() -> Finishing {
    running().finishing += 1;
    Finishing(())
}

/// See [`finishing`].
#[derive(Debug)]
pub struct Finishing(());

impl Finishing {
    /// Records that the file or directory that a command makes is finished, and in its place.
    pub fn placed(&self, path: &Path) {
        work().placed = Some(path.to_path_buf());
    }
}

impl Drop for Finishing {
    fn drop(&mut self) {
        work().finishing -= 1;
    }
}

/// An unfinished file or directory. Dropping this value says that it is finished or removed.
#[derive(Debug)]
pub struct Making(u64);

impl Making {
    /// A temporary file or directory, which [`try_stop`] removes.
    pub fn temporary(path: &Path) -> Self {
        Self::begin(path, Fate::Remove)
    }

    pub(crate) fn begin(path: &Path, fate: Fate) -> Self {
        let mut work = running();
        let nth = work.next;
        work.next += 1;
        work.making.push((nth, path.to_path_buf(), fate));
        Self(nth)
    }

    /// The same for a directory that `create` makes. A stop comes before or after both.
    pub(crate) fn create<T>(path: &Path, fate: Fate, create: impl FnOnce() -> T) -> (Self, T) {
        let mut work = running();
        let nth = work.next;
        work.next += 1;
        work.making.push((nth, path.to_path_buf(), fate));
        let created = create();
        (Self(nth), created)
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        running().making.retain(|(nth, ..)| *nth != self.0);
    }
}

/// Waits for ever if the process is about to end.
pub(crate) fn check_running() {
    drop(running());
}

fn running() -> MutexGuard<'static, Work> {
    let work = work();
    if !work.is_stopped {
        return work;
    }
    drop(work);
    loop {
        thread::park();
    }
}

fn work() -> MutexGuard<'static, Work> {
    WORK.lock().unwrap_or_else(PoisonError::into_inner)
}

fn remove(path: &Path) -> io::Result<()> {
    let mut tries = 1;
    loop {
        let removed = match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
            Ok(_) => fs::remove_file(path),
            Err(error) => Err(error),
        };
        match removed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(_) if tries < TRIES => tries += 1,
            removed => return removed,
        }
    }
}
