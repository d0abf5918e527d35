//! What a handle has done since it was opened.

use std::ops::Add;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::ingest::{IngestReport, Outcome};

/// Counts of what a handle, and its clones, have done since it was opened. All only grow.
///
/// Sums of several handles are counters of a program: `a + b`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Transactions that were committed and changed something.
    pub commits: u64,
    /// Ops that were applied: appended here, ingested, or held before.
    pub ops_applied: u64,
    /// Ingests that ended.
    pub ingests: u64,
    /// Ops of others that an ingest applied.
    pub ops_ingested: u64,
    /// Given ops that were applied or held before.
    pub ops_known: u64,
    /// Given ops that were rejected.
    pub ops_rejected: u64,
    /// Ops that were held because the code of the store type fails on them.
    pub ops_held: u64,
}

impl Counters {
    /// Each counter with its name in snake case, and what it counts.
    pub fn all(&self) -> [(&'static str, &'static str, u64); 7] {
        [
            (
                "commits",
                "transactions that changed something",
                self.commits,
            ),
            ("ops_applied", "ops applied", self.ops_applied),
            ("ingests", "ingests that ended", self.ingests),
            ("ops_ingested", "ops of others applied", self.ops_ingested),
            ("ops_known", "given ops that were there", self.ops_known),
            ("ops_rejected", "given ops rejected", self.ops_rejected),
            ("ops_held", "ops held", self.ops_held),
        ]
    }
}

impl Add for Counters {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            commits: self.commits + other.commits,
            ops_applied: self.ops_applied + other.ops_applied,
            ingests: self.ingests + other.ingests,
            ops_ingested: self.ops_ingested + other.ops_ingested,
            ops_known: self.ops_known + other.ops_known,
            ops_rejected: self.ops_rejected + other.ops_rejected,
            ops_held: self.ops_held + other.ops_held,
        }
    }
}

/// The counters of a handle while it is open.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    commits: AtomicU64,
    ops_applied: AtomicU64,
    ingests: AtomicU64,
    ops_ingested: AtomicU64,
    ops_known: AtomicU64,
    ops_rejected: AtomicU64,
    ops_held: AtomicU64,
}

impl Counts {
    /// Counts a commit that applied so many ops.
    pub(crate) fn commit(&self, ops: u64) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.ops_applied.fetch_add(ops, Ordering::Relaxed);
    }

    pub(crate) fn ingested(&self, report: &IngestReport) {
        let count = |count: usize| u64::try_from(count).expect("what is in memory can be counted");
        let add = |counter: &AtomicU64, more| counter.fetch_add(count(more), Ordering::Relaxed);
        add(&self.ingests, 1);
        add(&self.ops_ingested, report.applied());
        let outcomes = report.outcomes.iter().map(|(_, outcome)| outcome);
        let known = outcomes.filter(|outcome| **outcome == Outcome::Known);
        add(&self.ops_known, known.count());
        add(&self.ops_rejected, report.rejected().count());
        add(&self.ops_held, report.held());
    }

    pub(crate) fn read(&self) -> Counters {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            commits: count(&self.commits),
            ops_applied: count(&self.ops_applied),
            ingests: count(&self.ingests),
            ops_ingested: count(&self.ops_ingested),
            ops_known: count(&self.ops_known),
            ops_rejected: count(&self.ops_rejected),
            ops_held: count(&self.ops_held),
        }
    }
}
