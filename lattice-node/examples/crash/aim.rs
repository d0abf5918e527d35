//! Kills that aim at folds of a journal.
//!
//! The worker folds every few commits, and is killed shortly after the file of a store with a
//! journal has changed: while the fold is committed, while the segment becomes that of the next
//! generation but one, or right after that.

use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use lattice_backend::journal::Tuning;

use crate::script::Random;

/// The longest wait for a fold: a worker can be busy with other steps.
const MAX_WAIT: Duration = Duration::from_millis(400);
const PAUSE: Duration = Duration::from_micros(50);
/// How long after the first change of the file the worker is killed.
const MAX_AFTER_US: u64 = 4_000;
/// Directories this far below the worker's have stores.
const DEPTH: usize = 4;

/// Whether a worker folds all the time, and is killed during a fold.
pub(crate) const fn is_at_folds(seed: u64) -> bool {
    seed % 4 == 1
}

/// A journal from the first commit on, and generations of a few commits.
pub(crate) fn tuning() -> Tuning {
    Tuning {
        burst_commits: 1,
        segment_bytes: 20 << 10,
        table_bytes: 24 << 10,
        ..Tuning::default()
    }
}

/// Returns when a fold is most likely under way. Returns whether one was seen.
pub(crate) fn wait_for_fold(dir: &Path, random: &mut Random) -> io::Result<bool> {
    let began = Instant::now();
    let mut before = changes(dir)?;
    while began.elapsed() < MAX_WAIT {
        sleep(PAUSE);
        let now = changes(dir)?;
        let is_changed = |(path, at): &(PathBuf, SystemTime)| {
            before.iter().any(|(of, before)| of == path && before < at)
        };
        if now.iter().any(is_changed) {
            sleep(Duration::from_micros(random.below(MAX_AFTER_US)));
            return Ok(true);
        }
        before = now;
    }
    Ok(false)
}

/// When the files of stores with a journal were last changed.
fn changes(dir: &Path) -> io::Result<Vec<(PathBuf, SystemTime)>> {
    let mut found = Vec::new();
    find(dir, DEPTH, &mut found)?;
    Ok(found)
}

fn find(dir: &Path, depth: usize, found: &mut Vec<(PathBuf, SystemTime)>) -> io::Result<()> {
    // The worker makes and removes files and directories at the same time.
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            find(&path, depth - 1, found)?;
        } else if let Some(name) = path
            .to_str()
            .and_then(|path| path.strip_suffix(".journal-0"))
            && let Ok(changed) = std::fs::metadata(name).and_then(|store| store.modified())
        {
            found.push((PathBuf::from(name), changed));
        }
    }
    Ok(())
}
