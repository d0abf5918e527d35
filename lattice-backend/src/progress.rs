//! How far a long piece of work is.

use std::fmt;
use std::sync::Arc;

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// The engine's own checksums are looked at; their number is not known before.
    Checksums,
    /// Ops of the history are applied again; their number is known.
    Replay,
    /// Rows are compared or counted; their number is not known before.
    Rows,
    /// The layout of the state is changed; the number of steps is known.
    Migration,
    /// The state of a store becomes ops of another; their number is not known before.
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

/// How far something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// How many are done.
    pub done: u64,
    /// How many there are, if that is known.
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
