//! Counts the outcomes of a bundle's ops.

use std::collections::BTreeMap;

use lattice_backend::engine::ingest::{IngestReport, Outcome, Rejection};
use lattice_backend::op::OpRef;
use lattice_meta::OpId;
use serde_json::{Value, json};

use crate::program::bulk::plural;
use crate::program::context::Context;

/// The most distinct reasons counted; a bundle can cause as many as it has ops.
const MAX_REASONS: usize = 100;
const OTHER_REASONS: &str = "other reasons";
const NO_ROOM: &str = "evicted while pending, to make room for other ops";

/// The outcomes of a bundle's ops. Memory is bounded by the store's limit on pending ops and by
/// `MAX_REASONS`.
#[derive(Debug, Default)]
pub(super) struct Counts {
    applied: u64,
    known: u64,
    /// Ops on disk that the store type's code could not apply.
    held: u64,
    /// The ops pending now; a later op or a later attempt can release them.
    pending: BTreeMap<OpId, Pending>,
    rejected: BTreeMap<String, u64>,
    /// True if ops were rejected only because of their author.
    unknown_authors: bool,
    /// An op of this node's author that the store has.
    own_here: Option<OpRef>,
    /// The ops of this node's author that the store lacks.
    own_absent: BTreeMap<OpId, OpRef>,
    /// Ops of this node's author that fork what was here.
    forked: u64,
}

/// Why an op is pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pending {
    /// A referenced op is missing.
    Waiting,
    /// Its timestamp is ahead of the clock.
    Deferred,
}

impl Counts {
    pub(super) fn add(&mut self, report: &IngestReport) {
        for id in &report.evicted {
            if self.pending.remove(id).is_some() {
                self.reject(NO_ROOM.into());
            }
        }
        let own = report.own.iter();
        self.own_absent.extend(own.map(|op| (op.id, *op)));
        for (id, outcome) in &report.released {
            self.count(Some(*id), outcome);
        }
        for (id, outcome) in &report.outcomes {
            self.count(*id, outcome);
        }
        self.forked += u64::try_from(report.forked.len()).unwrap_or(u64::MAX);
    }

    fn count(&mut self, id: Option<OpId>, outcome: &Outcome) {
        // Each ingest retries pending ops, and a bundle can contain an op twice.
        if let Some(id) = id {
            self.pending.remove(&id);
            let is_here = matches!(
                outcome,
                Outcome::Applied { .. } | Outcome::Known | Outcome::Held { .. }
            );
            if is_here && let Some(op) = self.own_absent.remove(&id) {
                self.own_here = Some(op);
            }
        }
        match (outcome, id) {
            (Outcome::Applied { .. }, _) => self.applied += 1,
            (Outcome::Known, _) => self.known += 1,
            (Outcome::Held { .. }, _) => self.held += 1,
            (Outcome::Waiting { .. }, Some(id)) => {
                self.pending.insert(id, Pending::Waiting);
            }
            (Outcome::Deferred { .. }, Some(id)) => {
                self.pending.insert(id, Pending::Deferred);
            }
            (Outcome::Rejected(why), _) => {
                self.unknown_authors |= matches!(why, Rejection::UnknownAuthor { .. });
                self.reject(why.to_string());
            }
            _ => {}
        }
    }

    fn reject(&mut self, reason: String) {
        let is_full = self.rejected.len() >= MAX_REASONS && !self.rejected.contains_key(&reason);
        let reason = match is_full {
            true => OTHER_REASONS.into(),
            false => reason,
        };
        *self.rejected.entry(reason).or_insert(0) += 1;
    }

    pub(super) fn applied(&self) -> u64 {
        self.applied
    }

    /// An op of this node's author that the bundle has and the store, too.
    pub(super) fn own_here(&self) -> Option<OpRef> {
        self.own_here
    }

    /// An op of this node's author that the bundle has and the store lacks.
    pub(super) fn own_absent(&self) -> Option<OpRef> {
        self.own_absent.values().next().copied()
    }

    /// The number of ops of this node's author that fork what was here.
    pub(super) fn forked(&self) -> u64 {
        self.forked
    }

    fn pending(&self, why: Pending) -> u64 {
        let pending = self.pending.values().filter(|pending| **pending == why);
        u64::try_from(pending.count()).unwrap_or(u64::MAX)
    }

    /// The number of ops that are not in the store.
    pub(super) fn left(&self) -> u64 {
        let pending = self.pending(Pending::Waiting) + self.pending(Pending::Deferred);
        self.rejected.values().sum::<u64>() + pending
    }

    pub(super) fn json(&self) -> Vec<(&'static str, Value)> {
        let rejected = self.rejected.iter();
        let rejected = rejected.map(|(reason, ops)| json!({ "reason": reason, "ops": ops }));
        vec![
            ("applied", self.applied.into()),
            ("known", self.known.into()),
            ("held", self.held.into()),
            ("waiting", self.pending(Pending::Waiting).into()),
            ("deferred", self.pending(Pending::Deferred).into()),
            ("rejected", rejected.collect()),
        ]
    }

    pub(super) fn tell(&self, context: &mut Context<'_>, created: bool) {
        let ops = |count| plural(count, ("op", "ops"));
        let replica = if created { " to a new replica" } else { "" };
        let (applied, known) = (ops(self.applied), ops(self.known));
        context.out.note(&format!(
            "{applied} applied{replica}, {known} already known"
        ));
        if self.held > 0 {
            let held = ops(self.held);
            context.out.note(&format!(
                "{held} held, because this program's code could not apply them; `lattice info` lists \
                 them, and a program whose code can apply them does so when it opens the store"
            ));
        }
        let (waiting, deferred) = (
            self.pending(Pending::Waiting),
            self.pending(Pending::Deferred),
        );
        if waiting > 0 {
            let waiting = ops(waiting);
            context.out.note(&format!(
                "{waiting} not applied, because parent ops are in neither the bundle nor the store; \
                 apply a bundle with those first, then this one again"
            ));
        }
        if deferred > 0 {
            let deferred = ops(deferred);
            context.out.note(&format!(
                "{deferred} not applied, because dated ahead of this machine's clock; apply the bundle \
                 again later"
            ));
        }
        for (reason, count) in &self.rejected {
            context
                .out
                .note(&format!("{} rejected: {reason}", ops(*count)));
        }
        if self.unknown_authors {
            context.out.note(
                "--author KEY accepts the ops of an author, --any-author those of all authors",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use lattice_backend::engine::read::HeldReason;
    use lattice_backend::op::ApplyIndex;
    use lattice_meta::PubKey;

    use super::*;

    fn id(byte: u8) -> OpId {
        OpId::from_slice(&[byte; 32]).unwrap()
    }

    fn waiting() -> Outcome {
        let missing = lattice_backend::op::OpRef {
            author: author(9),
            seq: 0,
            id: id(9),
        };
        Outcome::Waiting { missing }
    }

    fn author(seed: u8) -> PubKey {
        lattice_backend::op::SecretKey::from_bytes(&[seed; 32]).public()
    }

    const APPLIED: Outcome = Outcome::Applied {
        index: ApplyIndex::FIRST,
    };

    fn given(outcomes: &[(u8, Outcome)]) -> IngestReport {
        IngestReport {
            outcomes: outcomes
                .iter()
                .map(|(byte, outcome)| (Some(id(*byte)), outcome.clone()))
                .collect(),
            ..IngestReport::default()
        }
    }

    fn numbers(counts: &Counts) -> [u64; 5] {
        [
            counts.applied,
            counts.known,
            counts.pending(Pending::Waiting),
            counts.pending(Pending::Deferred),
            counts.rejected.values().sum(),
        ]
    }

    #[test]
    fn a_deferred_op_counts_once_however_often_it_is_tried() {
        let deferred = Outcome::Deferred { until_ms: 1 };
        let mut counts = Counts::default();
        counts.add(&given(&[(1, deferred.clone()), (2, waiting())]));
        for _ in 0..3 {
            let mut report = given(&[]);
            report.released = vec![(id(1), deferred.clone()), (id(2), waiting())];
            counts.add(&report);
        }
        assert_eq!(numbers(&counts), [0, 0, 1, 1, 0]);
        let mut report = given(&[]);
        report.released = vec![(id(1), APPLIED)];
        counts.add(&report);
        assert_eq!(numbers(&counts), [1, 0, 1, 0, 0]);
    }

    #[test]
    fn an_op_that_waited_and_is_given_again_counts_once() {
        let mut counts = Counts::default();
        counts.add(&given(&[(1, waiting()), (1, waiting())]));
        assert_eq!(counts.left(), 1);
        counts.add(&given(&[(1, APPLIED)]));
        assert_eq!(numbers(&counts), [1, 0, 0, 0, 0]);
        assert_eq!(counts.left(), 0);
    }

    #[test]
    fn a_held_op_is_in_the_store_and_not_pending() {
        let mut counts = Counts::default();
        counts.add(&given(&[(1, waiting())]));
        let message = "the store type's code panicked".into();
        let reason = HeldReason::Fault { message };
        counts.add(&given(&[(1, Outcome::Held { reason })]));
        assert_eq!(numbers(&counts), [0, 0, 0, 0, 0]);
        assert_eq!((counts.held, counts.left()), (1, 0));
    }

    #[test]
    fn an_evicted_op_counts_as_rejected() {
        let mut counts = Counts::default();
        let deferred = Outcome::Deferred { until_ms: 1 };
        counts.add(&given(&[(1, deferred), (2, waiting())]));
        let mut report = given(&[]);
        report.evicted = vec![id(1)];
        counts.add(&report);
        assert_eq!(numbers(&counts), [0, 0, 1, 0, 1]);
    }

    #[test]
    fn reasons_beyond_the_first_are_counted_together() {
        let mut counts = Counts::default();
        for seed in 0..u8::MAX {
            let author = author(seed);
            let unknown = Outcome::Rejected(Rejection::UnknownAuthor { author });
            counts.add(&given(&[(seed, unknown)]));
        }
        assert_eq!(counts.rejected.len(), MAX_REASONS + 1);
        assert_eq!(counts.left(), 255);
        assert_eq!(counts.rejected[OTHER_REASONS], 155);
    }
}
