//! Progress of long operations.

use std::fmt;
use std::sync::Arc;

/// The current stage of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// The backend verifies its own checksums. Nothing is counted.
    Checksums,
    /// Ops are compared with the index by author.
    Ops,
    /// The engine replays ops of the history.
    Replay,
    /// Rows are hashed or compared.
    Rows,
    /// Rows are copied to a new file.
    Copy,
    /// Rows are rewritten in order, to fill pages.
    Pack,
    /// The backend moves pages and shortens the file. Nothing is counted.
    Shrink,
    /// A migration changes the layout of the state, in steps.
    Migration,
    /// The ops that a transfer will write are counted.
    Count,
    /// The state of one store becomes ops of another.
    Transfer,
}

/// What a stage counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unit {
    /// Nothing: how far the stage has come is not known.
    Nothing,
    /// Ops of a history.
    Ops,
    /// Rows of tables.
    Rows,
    /// Steps of a migration.
    Steps,
    /// Bytes.
    Bytes,
}

impl Stage {
    /// The stage in a word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Checksums => "checksums",
            Self::Ops => "ops",
            Self::Replay => "replay",
            Self::Rows => "rows",
            Self::Copy => "copy",
            Self::Pack => "pack",
            Self::Shrink => "shrink",
            Self::Migration => "migration",
            Self::Count => "count",
            Self::Transfer => "transfer",
        }
    }

    /// What the stage counts.
    pub const fn unit(self) -> Unit {
        match self {
            Self::Checksums | Self::Shrink => Unit::Nothing,
            Self::Ops | Self::Replay | Self::Count | Self::Transfer => Unit::Ops,
            Self::Rows | Self::Copy | Self::Pack => Unit::Rows,
            Self::Migration => Unit::Steps,
        }
    }
}

/// How far an operation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Progress {
    /// The current stage.
    pub stage: Stage,
    /// [Units](Stage::unit) done so far.
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

    /// Whether nothing receives the reports.
    pub fn is_none(&self) -> bool {
        self.0.is_none()
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

/// The number of rows or ops between two reports.
const EACH: u64 = 1024;

/// Counts rows or ops, and reports their number now and then.
#[derive(Debug)]
pub(crate) struct Counted<'a> {
    sink: &'a ProgressSink,
    stage: Stage,
    done: u64,
    total: Option<u64>,
}

impl<'a> Counted<'a> {
    pub(crate) fn new(sink: &'a ProgressSink, stage: Stage, total: Option<u64>) -> Self {
        sink.report(stage, 0, total);
        Self {
            sink,
            stage,
            done: 0,
            total,
        }
    }

    pub(crate) fn one(&mut self) {
        self.add(1);
    }

    pub(crate) fn add(&mut self, more: u64) {
        let before = self.done;
        self.done += more;
        if before / EACH < self.done / EACH || Some(self.done) == self.total {
            self.sink.report(self.stage, self.done, self.total);
        }
    }
}
