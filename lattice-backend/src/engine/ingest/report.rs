//! The outcomes of the ops given to an ingest.

use std::collections::BTreeMap;

use lattice_meta::{Hlc, OpId, PubKey};

use crate::history::held::HeldReason;
use crate::op::{ApplyIndex, OpError, OpRef};

/// The outcome of one op.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It is applied.
    Applied {
        /// Its apply index.
        index: ApplyIndex,
    },
    /// It was already applied or held.
    Known,
    /// It is held: it is stored, counts as present on this replica, and other code of the store
    /// type can settle it later.
    Held {
        /// Why it could not be applied.
        reason: HeldReason,
    },
    /// It is pending until the ops that it names are applied. A gap in the given ops shows here.
    Waiting {
        /// The first op that is missing.
        missing: OpRef,
    },
    /// It is dated ahead of the local clock, and pending until the clock reaches its time.
    Deferred {
        /// When it can be applied, in milliseconds since the Unix epoch.
        until_ms: u64,
    },
    /// It is neither recorded nor pending.
    Rejected(Rejection),
}

/// Why an op is not recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// Its bytes or its signature break a rule.
    #[error(transparent)]
    Invalid(#[from] OpError),
    /// Its author is not among the accepted ones.
    #[error("author {author} is not known to this store and was not accepted")]
    UnknownAuthor {
        /// The author.
        author: PubKey,
    },
    /// Its timestamp does not exceed that of an op that it follows.
    #[error(
        "the op's timestamp {found:?} is not after {parent:?}, the timestamp of its parent {after}"
    )]
    ClockDidNotAdvance {
        /// The op's timestamp.
        found: Hlc,
        /// The timestamp that it must exceed.
        parent: Hlc,
        /// The op with that timestamp.
        after: OpRef,
    },
    /// It is dated more than a day ahead of the local clock.
    #[error("the op is dated {ahead_ms} ms ahead of this machine's clock, more than a day")]
    FarAhead {
        /// How far ahead, in milliseconds.
        ahead_ms: u64,
    },
    /// It was pending and was evicted to make room; the sender must send it again later.
    #[error("the op was pending and was evicted to make room for others; send it again later")]
    NoRoom,
}

/// The outcomes of one ingest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IngestReport {
    /// For each given op, in order: its id, if its bytes decode to one, and its outcome.
    pub outcomes: Vec<(Option<OpId>, Outcome)>,
    /// Ops that were pending before, and their outcomes now.
    pub released: Vec<(OpId, Outcome)>,
    /// Ops that were pending before and were evicted to make room.
    pub evicted: Vec<OpId>,
    /// Those of the given ops that this handle's author signed, whatever their outcome; an op that
    /// was given twice is there twice. Another store wrote them, or an earlier state of this one.
    pub own: Vec<OpRef>,
    /// Ops of this handle's author that were applied now and do not follow its tip. The author
    /// writes in several places: from a copy of a data directory, or in a store that was restored
    /// from an older copy.
    pub forked: Vec<OpRef>,
    /// Given and pending ops that this ingest holds, each with its number in the order of held ops.
    pub held_numbers: Vec<(OpId, u64)>,
}

impl IngestReport {
    /// The number of applied ops, including those that were pending before.
    pub fn applied(&self) -> usize {
        let given = self.outcomes.iter().map(|(_, outcome)| outcome);
        let released = self.released.iter().map(|(_, outcome)| outcome);
        given
            .chain(released)
            .filter(|outcome| is_applied(outcome))
            .count()
    }

    /// The rejected ops, each with its position among the given ops.
    pub fn rejected(&self) -> impl Iterator<Item = (usize, &Rejection)> {
        self.outcomes
            .iter()
            .enumerate()
            .filter_map(|(place, (_, outcome))| match outcome {
                Outcome::Rejected(rejection) => Some((place, rejection)),
                _ => None,
            })
    }

    /// The number of ops that this ingest holds and that were not held before.
    pub fn held(&self) -> usize {
        let given = self.outcomes.iter().map(|(_, outcome)| outcome);
        let released = self.released.iter().map(|(_, outcome)| outcome);
        let is_held = |outcome: &&Outcome| matches!(outcome, Outcome::Held { .. });
        given.chain(released).filter(is_held).count()
    }

    /// Whether this replica now has every given op, applied or held.
    pub fn is_complete(&self) -> bool {
        all_are_here(&self.outcomes)
    }
}

fn all_are_here(outcomes: &[(Option<OpId>, Outcome)]) -> bool {
    outcomes.iter().all(|(_, outcome)| {
        matches!(
            outcome,
            Outcome::Applied { .. } | Outcome::Known | Outcome::Held { .. }
        )
    })
}

/// What happened to one op during an ingest transaction.
#[derive(Debug)]
pub(crate) enum Event {
    /// It was tried, with this outcome.
    Tried(Outcome),
    /// It was pending and was evicted to make room.
    Evicted,
}

/// Collects the report of an ingest over all its transactions. An op may be tried, become pending
/// and be tried again several times; only its last outcome counts.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    outcomes: Vec<(Option<OpId>, Outcome)>,
    /// The positions of each op among those given.
    places: BTreeMap<OpId, Vec<usize>>,
    released: BTreeMap<OpId, Outcome>,
    evicted: Vec<OpId>,
    pub(crate) own: Vec<OpRef>,
    pub(crate) forked: Vec<OpRef>,
    pub(crate) held: Vec<(OpId, u64)>,
}

impl Tally {
    /// Records an op whose form and signature are valid; its outcome follows.
    pub(crate) fn give(&mut self, id: OpId) {
        let place = self.outcomes.len();
        self.places.entry(id).or_default().push(place);
        // A placeholder: every given op is tried, and its outcome replaces this one.
        self.outcomes.push((Some(id), Outcome::Known));
    }

    /// Records an op that failed to decode, or whose signature is invalid.
    pub(crate) fn give_invalid(&mut self, id: Option<OpId>, error: OpError) {
        self.outcomes.push((id, Outcome::Rejected(error.into())));
    }

    /// Records what happened to an op.
    pub(crate) fn note(&mut self, id: OpId, event: Event) {
        let Some(places) = self.places.get(&id) else {
            match event {
                Event::Tried(outcome) => {
                    self.released.insert(id, outcome);
                }
                Event::Evicted => {
                    self.released.remove(&id);
                    self.evicted.push(id);
                }
            }
            return;
        };
        let outcome = match event {
            Event::Tried(outcome) => outcome,
            Event::Evicted => Outcome::Rejected(Rejection::NoRoom),
        };
        let (first, again) = places.split_first().expect("a place was noted with the id");
        // A pending op that is given again is tried twice; the second try finds it known.
        if outcome != Outcome::Known || !has_arrived(&self.outcomes[*first].1) {
            self.outcomes[*first].1 = outcome.clone();
        }
        for place in again {
            // An op that was given twice is applied or held only once.
            self.outcomes[*place].1 = match has_arrived(&outcome) {
                true => Outcome::Known,
                false => outcome.clone(),
            };
        }
    }

    /// Whether every op given so far is applied or held.
    pub(crate) fn is_complete(&self) -> bool {
        all_are_here(&self.outcomes)
    }

    pub(crate) fn finish(mut self) -> IngestReport {
        // An op that was evicted and later given again has an outcome instead.
        self.evicted.retain(|id| !self.places.contains_key(id));
        IngestReport {
            outcomes: self.outcomes,
            released: self.released.into_iter().collect(),
            evicted: self.evicted,
            own: self.own,
            forked: self.forked,
            held_numbers: self.held,
        }
    }
}

fn is_applied(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Applied { .. })
}

/// Whether this outcome means that the replica obtained the op.
pub(crate) fn has_arrived(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Applied { .. } | Outcome::Held { .. })
}
