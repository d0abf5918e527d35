//! Progress of long operations.

use std::fmt;
use std::sync::Arc;

/// The current stage of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// The backend verifies its own checksums; the total is not known in advance.
    Checksums,
    /// The engine replays ops of the history; the total is known.
    Replay,
    /// Rows are compared or counted; the total is not known in advance.
    Rows,
    /// A migration changes the layout of the state; the number of steps is known.
    Migration,
    /// The state of one store becomes ops of another; the total is not known in advance.
    Transfer,
}

impl Stage {
    /// The stage in a word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Checksums => "checksums",
            Self::Replay => "replay",
            Self::Rows => "rows",
            Self::Migration => "migration",
            Self::Transfer => "transfer",
        }
    }
}

/// How far an operation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Progress {
    /// The current stage.
    pub stage: Stage,
    /// Units done so far.
    pub done: u64,
    /// Units in total, if known.
    pub total: Option<u64>,
}

/// Receives progress reports, or none. Clones report to the same function.
#[derive(Clone, Default)]
pub struct ProgressSink(Option<Arc<dyn Fn(Progress) + Send + Sync>>);

impl ProgressSink {
    /// Drops all reports.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Calls a function for each report. Reports are frequent, so it should be quick.
    pub fn new(sink: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(sink)))
    }

    /// Reports progress.
    pub fn report(&self, stage: Stage, done: u64, total: Option<u64>) {
        if let Some(sink) = &self.0 {
            sink(Progress { stage, done, total });
        }
    }
}

impl fmt::Debug for ProgressSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProgressSink")
            .field("is_none", &self.0.is_none())
            .finish_non_exhaustive()
    }
}
