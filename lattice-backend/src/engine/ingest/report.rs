//! What became of the ops given to an ingest.

use std::collections::BTreeMap;

use lattice_meta::{Hlc, OpId, PubKey};

use crate::history::held::HeldReason;
use crate::op::{ApplyIndex, OpError, OpRef};

/// What became of one op.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It is applied.
    Applied {
        /// Its position in the local order of application.
        index: ApplyIndex,
    },
    /// It had been applied, or was held, before.
    Known,
    /// It is held: it is on disk and counts as one that this replica has, and other code of the
    /// store type settles it.
    Held {
        /// Why it could not be applied.
        reason: HeldReason,
    },
    /// It is pending until ops that it names are applied. A gap in what was given is seen here.
    Waiting {
        /// The first of them that is missing.
        missing: OpRef,
    },
    /// It is dated ahead of the local clock, and pending until the clock shows its time.
    Deferred {
        /// When it can be applied, in milliseconds since the Unix epoch.
        until_ms: u64,
    },
    /// It is not recorded, and not pending.
    Rejected(Rejection),
}

/// Why an op is not recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// Its bytes or its signature break a rule.
    #[error(transparent)]
    Invalid(#[from] OpError),
    /// Its author is not among those whose ops are taken in.
    #[error("author {author} is not known to this store and was not named")]
    UnknownAuthor {
        /// The author.
        author: PubKey,
    },
    /// Its timestamp does not exceed that of an op it follows.
    #[error("the op's timestamp {found:?} does not exceed {parent:?} of {after}, which it follows")]
    ClockDidNotAdvance {
        /// The op's timestamp.
        found: Hlc,
        /// The timestamp it had to exceed.
        parent: Hlc,
        /// Whose timestamp that is.
        after: OpRef,
    },
    /// It is dated more than a day ahead of the local clock.
    #[error("the op is dated {ahead_ms} ms ahead of this machine's clock, more than a day")]
    FarAhead {
        /// How far ahead, in milliseconds.
        ahead_ms: u64,
    },
    /// It was pending, and was evicted to make room for others; send it again later.
    #[error("the op was pending, and was evicted to make room for others; send it again later")]
    NoRoom,
}

/// What became of the ops given to one ingest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IngestReport {
    /// Of each op, in the order given: its id, if its bytes had one, and what became of it.
    pub outcomes: Vec<(Option<OpId>, Outcome)>,
    /// Ops that had been pending before, and what became of them now.
    pub released: Vec<(OpId, Outcome)>,
    /// Ops that had been pending before and were evicted to make room.
    pub evicted: Vec<OpId>,
}

impl IngestReport {
    /// How many ops were applied, those included that had been pending before.
    pub fn applied(&self) -> usize {
        let given = self.outcomes.iter().map(|(_, outcome)| outcome);
        let released = self.released.iter().map(|(_, outcome)| outcome);
        given
            .chain(released)
            .filter(|outcome| is_applied(outcome))
            .count()
    }

    /// The ops given that were rejected, by their place among those given.
    pub fn rejected(&self) -> impl Iterator<Item = (usize, &Rejection)> {
        self.outcomes
            .iter()
            .enumerate()
            .filter_map(|(place, (_, outcome))| match outcome {
                Outcome::Rejected(rejection) => Some((place, rejection)),
                _ => None,
            })
    }

    /// How many ops are held that were not before.
    pub fn held(&self) -> usize {
        let given = self.outcomes.iter().map(|(_, outcome)| outcome);
        let released = self.released.iter().map(|(_, outcome)| outcome);
        let is_held = |outcome: &&Outcome| matches!(outcome, Outcome::Held { .. });
        given.chain(released).filter(is_held).count()
    }

    /// Whether this replica has every op given: it is applied now, or held.
    pub fn is_complete(&self) -> bool {
        self.outcomes.iter().all(|(_, outcome)| {
            matches!(
                outcome,
                Outcome::Applied { .. } | Outcome::Known | Outcome::Held { .. }
            )
        })
    }
}

/// What happened to one op while a transaction took ops in.
#[derive(Debug)]
pub(crate) enum Event {
    /// It was looked at.
    Tried(Outcome),
    /// It was held, and had to go to make room.
    Evicted,
}

/// The report of an ingest while it goes on, over all its transactions: an op may be tried, held
/// and tried again several times, and what counts is what became of it in the end.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    outcomes: Vec<(Option<OpId>, Outcome)>,
    /// Where each op stands among those given.
    places: BTreeMap<OpId, Vec<usize>>,
    released: BTreeMap<OpId, Outcome>,
    evicted: Vec<OpId>,
}

impl Tally {
    /// Takes down an op whose form and signature hold; what became of it follows.
    pub(crate) fn give(&mut self, id: OpId) {
        let place = self.outcomes.len();
        self.places.entry(id).or_default().push(place);
        // Whatever is tried is applied, known or something that is said.
        self.outcomes.push((Some(id), Outcome::Known));
    }

    /// Takes down an op that is none.
    pub(crate) fn give_invalid(&mut self, id: Option<OpId>, error: OpError) {
        self.outcomes.push((id, Outcome::Rejected(error.into())));
    }

    /// Takes down what happened to an op.
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
        // An op that was pending and is given again is tried twice, and known the second time.
        if outcome != Outcome::Known || !has_arrived(&self.outcomes[*first].1) {
            self.outcomes[*first].1 = outcome.clone();
        }
        for place in again {
            // An op that was given twice is applied or held once.
            self.outcomes[*place].1 = match has_arrived(&outcome) {
                true => Outcome::Known,
                false => outcome.clone(),
            };
        }
    }

    pub(crate) fn finish(mut self) -> IngestReport {
        // What has gone and was given later has an outcome.
        self.evicted.retain(|id| !self.places.contains_key(id));
        IngestReport {
            outcomes: self.outcomes,
            released: self.released.into_iter().collect(),
            evicted: self.evicted,
        }
    }
}

fn is_applied(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Applied { .. })
}

/// Whether this replica has an op since it was tried.
pub(crate) fn has_arrived(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Applied { .. } | Outcome::Held { .. })
}
