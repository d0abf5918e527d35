//! The scope of a run.

use std::path::PathBuf;

/// Sizes and rounds.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Rounds per line.
    pub rounds: usize,
    /// The divisor of sizes and counts: 1 for a full run.
    pub shrink: usize,
    /// Whether to measure what takes minutes: ten minutes of puts, and files of 1 GB.
    pub long: bool,
    /// The groups to measure; all if empty.
    pub only: Vec<String>,
    /// The path of the `lattice` program.
    pub program: Option<PathBuf>,
    /// The directory for the files.
    pub dir: PathBuf,
}

impl Plan {
    /// True if a group of lines is selected.
    pub fn wants(&self, group: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == group)
    }

    /// A size or count, reduced in a quick run.
    pub fn size(&self, full: usize) -> usize {
        (full / self.shrink).max(1)
    }

    /// A new directory for a group of lines.
    pub fn place(&self) -> tempfile::TempDir {
        tempfile::tempdir_in(&self.dir).expect("a directory")
    }
}
