//! Counts the outcomes of a bundle's ops.

use std::collections::{BTreeMap, BTreeSet};

use lattice_backend::engine::ingest::{IngestReport, Outcome, Rejection};
use lattice_backend::op::OpRef;
use lattice_meta::OpId;
use serde_json::{Value, json};

use super::wait::at;
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
    /// This parent is missing.
    Waiting { missing: OpId },
    /// Its timestamp is ahead of the clock until then, in milliseconds since the Unix epoch.
    Deferred { until_ms: u64 },
}

/// The ops that are pending because of the clock: those dated ahead, and those that follow them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deferred {
    pub(super) ops: u64,
    /// When the first of them is due, in milliseconds since the Unix epoch.
    pub(super) first_ms: u64,
    /// When the last of them is due.
    pub(super) last_ms: u64,
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
            (Outcome::Waiting { missing }, Some(id)) => {
                let missing = missing.id;
                self.pending.insert(id, Pending::Waiting { missing });
            }
            (Outcome::Deferred { until_ms }, Some(id)) => {
                let until_ms = *until_ms;
                self.pending.insert(id, Pending::Deferred { until_ms });
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

    /// The number of pending ops.
    fn pending(&self) -> u64 {
        u64::try_from(self.pending.len()).unwrap_or(u64::MAX)
    }

    /// The number of ops whose parents are missing, and not because of the clock; and the deferred
    /// ops.
    fn waiting_and_deferred(&self) -> (u64, Option<Deferred>) {
        let deferred = self.deferred();
        let late = deferred.map_or(0, |deferred| deferred.ops);
        (self.pending().saturating_sub(late), deferred)
    }

    /// The deferred ops, if there are any.
    pub(super) fn deferred(&self) -> Option<Deferred> {
        let due = self.due();
        let (ops, first, last) = (due.len(), due.values().min()?, due.values().max()?);
        Some(Deferred {
            ops: u64::try_from(ops).unwrap_or(u64::MAX),
            first_ms: *first,
            last_ms: *last,
        })
    }

    /// When each pending op that is dated ahead, or follows such an op, is due. An op that waits is
    /// followed to its missing parent, and so on; each op is visited once.
    fn due(&self) -> BTreeMap<OpId, u64> {
        let mut due = BTreeMap::new();
        let mut visited = BTreeSet::new();
        for id in self.pending.keys() {
            let (mut chain, mut next, mut end_ms) = (Vec::new(), *id, None);
            while let Some(pending) = self.pending.get(&next) {
                if !visited.insert(next) {
                    end_ms = due.get(&next).copied();
                    break;
                }
                chain.push(next);
                match pending {
                    Pending::Waiting { missing } => next = *missing,
                    Pending::Deferred { until_ms } => {
                        end_ms = Some(*until_ms);
                        break;
                    }
                }
            }
            if let Some(ms) = end_ms {
                due.extend(chain.into_iter().map(|id| (id, ms)));
            }
        }
        due
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

    /// The number of ops that are not in the store.
    pub(super) fn left(&self) -> u64 {
        self.rejected.values().sum::<u64>() + self.pending()
    }

    /// The counts of several attempts with the same ops: what an earlier one has added to the store
    /// is known to this one.
    pub(super) fn after(self, earlier: &Self) -> Self {
        let added = earlier.applied + earlier.held;
        Self {
            applied: self.applied + earlier.applied,
            held: self.held + earlier.held,
            known: self.known.saturating_sub(added),
            forked: self.forked + earlier.forked,
            ..self
        }
    }

    pub(super) fn json(&self) -> Vec<(&'static str, Value)> {
        let (waiting, deferred) = self.waiting_and_deferred();
        let rejected = self.rejected.iter();
        let rejected = rejected.map(|(reason, ops)| json!({ "reason": reason, "ops": ops }));
        vec![
            ("applied", self.applied.into()),
            ("known", self.known.into()),
            ("held", self.held.into()),
            ("pending", waiting.into()),
            (
                "deferred",
                deferred.map_or(0, |deferred| deferred.ops).into(),
            ),
            (
                "deferred_until_ms",
                deferred.map(|deferred| deferred.last_ms).into(),
            ),
            ("rejected", rejected.collect()),
        ]
    }

    /// Why ops are not in the store.
    pub(super) fn why_left(&self) -> String {
        let ops = |count| plural(count, ("op", "ops"));
        let (waiting, deferred) = self.waiting_and_deferred();
        let mut why = Vec::new();
        if waiting > 0 {
            let waiting = ops(waiting);
            why.push(format!(
                "{waiting} not applied, because parent ops are in none of the files"
            ));
        }
        if let Some(deferred) = deferred {
            why.push(format!(
                "{} not applied, because dated ahead of this machine's clock: set the clock right, or \
                 restore after {}",
                ops(deferred.ops),
                at(deferred.last_ms)
            ));
        }
        let rejected = self.rejected.iter();
        why.extend(rejected.map(|(reason, count)| format!("{} rejected: {reason}", ops(*count))));
        why.join("; ")
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
                "{held} held, because this program's code could not apply them; `lattice info STORE` lists \
                 them, and a program whose code can apply them does so when it opens the store"
            ));
        }
        let (waiting, deferred) = self.waiting_and_deferred();
        if waiting > 0 {
            let waiting = ops(waiting);
            context.out.note(&format!(
                "{waiting} not applied, because parent ops are in neither the bundle nor the store; \
                 apply a bundle with those first, then this one again"
            ));
        }
        if let Some(deferred) = deferred {
            context.out.note(&format!(
                "{} deferred until {}, because dated ahead of this machine's clock, or after such an \
                 op; apply the bundle again then, or use `bundle apply --until-due`, which waits for them",
                ops(deferred.ops),
                at(deferred.last_ms)
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
        let (waiting, deferred) = counts.waiting_and_deferred();
        [
            counts.applied,
            counts.known,
            waiting,
            deferred.map_or(0, |deferred| deferred.ops),
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
    fn ops_that_follow_a_deferred_op_are_deferred() {
        let follows = |byte| {
            let missing = lattice_backend::op::OpRef {
                author: author(9),
                seq: 0,
                id: id(byte),
            };
            Outcome::Waiting { missing }
        };
        let mut counts = Counts::default();
        let deferred = |until_ms| Outcome::Deferred { until_ms };
        // 1 <- 2 <- 3, and 6 <- 5; 4 follows an op that is nowhere, and 7 follows 4.
        counts.add(&given(&[
            (3, follows(2)),
            (1, deferred(100)),
            (2, follows(1)),
            (4, waiting()),
            (5, follows(6)),
            (6, deferred(90)),
            (7, follows(4)),
        ]));
        let due = Deferred {
            ops: 5,
            first_ms: 90,
            last_ms: 100,
        };
        assert_eq!(counts.deferred(), Some(due));
        assert_eq!(numbers(&counts), [0, 0, 2, 5, 0]);
    }

    #[test]
    fn attempts_add_up() {
        let mut first = Counts::default();
        let deferred = Outcome::Deferred { until_ms: 1 };
        first.add(&given(&[(1, APPLIED), (2, Outcome::Known), (3, deferred)]));
        let mut second = Counts::default();
        second.add(&given(&[
            (1, Outcome::Known),
            (2, Outcome::Known),
            (3, APPLIED),
        ]));
        assert_eq!(numbers(&second.after(&first)), [2, 1, 0, 0, 0]);
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
