//! How much is measured.

use std::path::PathBuf;

/// Sizes and rounds.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Rounds of each line.
    pub rounds: usize,
    /// Divides sizes and numbers: 1 for the real thing.
    pub shrink: usize,
    /// Which lines; all if there are none.
    pub only: Vec<String>,
    /// The `lattice` program.
    pub program: Option<PathBuf>,
    /// Where the files are made.
    pub dir: PathBuf,
}

impl Plan {
    /// Whether a group of lines is wanted.
    pub fn wants(&self, group: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == group)
    }

    /// A number, smaller in a quick run.
    pub fn size(&self, full: usize) -> usize {
        (full / self.shrink).max(1)
    }

    /// A new directory for a group of lines.
    pub fn place(&self) -> tempfile::TempDir {
        tempfile::tempdir_in(&self.dir).expect("a directory")
    }
}
