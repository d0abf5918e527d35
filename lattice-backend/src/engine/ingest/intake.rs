//! One ingest transaction.

use std::collections::{BTreeSet, VecDeque};

use lattice_meta::{Hlc, MetaKey, OpId, PubKey};

use crate::backend::{BackendError, Result, Table};
use crate::engine::contain::{Decoded, decode};
use crate::engine::ingest::Authors;
use crate::engine::ingest::pending::AuthorTrust;
use crate::engine::ingest::report::{Event, Outcome, Rejection, has_arrived};
use crate::engine::write::recorder::Recorder;
use crate::history::held::HeldReason;
use crate::machine::StateMachine;
use crate::op::{Op, OpRef, Stamp};
use crate::state::reads::Reads;

/// An op is applied if it is dated at most this far ahead of the local clock, in milliseconds. A
/// replica is created if its genesis is.
pub const DEFER_AHEAD_MS: u64 = 10 * 60 * 1000;
/// An op dated further ahead than this is rejected instead of pending, in milliseconds.
pub const REFUSE_AHEAD_MS: u64 = 24 * 60 * 60 * 1000;

/// Ingests a chunk of ops, and every pending op that can now follow.
pub(crate) struct Intake<'a, 'b, M: StateMachine> {
    recorder: &'a mut Recorder<'b, M>,
    whose: &'a Authors,
    now_ms: u64,
    taken: Taken,
}

/// What an ingest transaction did.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// The outcomes of the given ops and of pending ops.
    pub(crate) events: Vec<(OpId, Event)>,
    /// Applied ops of this handle's author that do not follow its tip.
    pub(crate) forked: Vec<OpRef>,
    /// The numbers of ops that are held now.
    pub(crate) held: Vec<(OpId, u64)>,
}

/// An op in the queue of an ingest. A given op comes with its decoded payload.
struct Queued<P> {
    op: Op,
    decoded: Option<Decoded<P>>,
    checked: Checked,
}

/// What was checked of an op, besides its form and signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Checked {
    Nothing,
    /// Its author was accepted when the op was first tried.
    Author,
    /// The same; also, its parents are applied and dated before it.
    AuthorAndParents,
}

/// Whether an op can follow its parents.
pub(crate) enum Parents {
    /// All parents are applied, and dated before it.
    Applied,
    /// Some parents are neither applied nor held.
    Missing {
        /// The first missing parent.
        first: OpRef,
        /// The positions of the missing parents among all parents.
        places: Vec<u16>,
    },
    /// All parents are present, and this one is held.
    Held(OpRef),
    /// A present parent is not dated before the op, so the op can never be applied.
    Later(Rejection),
}

impl<'a, 'b, M: StateMachine> Intake<'a, 'b, M> {
    pub(crate) fn new(recorder: &'a mut Recorder<'b, M>, whose: &'a Authors) -> Self {
        let now_ms = recorder.inner.clock.now_ms();
        Self {
            recorder,
            whose,
            now_ms,
            taken: Taken::default(),
        }
    }

    /// Ingests ops, and the pending ops that can follow.
    pub(crate) fn take_in<'o>(
        mut self,
        ops: Vec<(&'o Op, Decoded<M::Payload<'o>>)>,
    ) -> Result<Taken> {
        let mut queue = VecDeque::new();
        for appended in self.recorder.state.pending.take_appended() {
            if self.recorder.place_of(&appended.op)?.is_some() {
                self.release(&appended, &mut queue);
            }
        }
        for parent in self.recorder.state.pending.take_unsure() {
            let hlc = match hlc_of(self.recorder, &parent)? {
                Some(hlc) => Some(hlc),
                None => self.recorder.held(&parent)?,
            };
            if let Some(hlc) = hlc {
                self.release(&Stamp { hlc, op: parent }, &mut queue);
            }
        }
        let due = self.recorder.state.pending.take_due(self.now_ms);
        queue.extend(due.into_iter().map(|op| Queued {
            op,
            decoded: None,
            checked: Checked::Author,
        }));
        let mut given = BTreeSet::new();
        for (op, decoded) in ops {
            if given.insert(op.reference().id) {
                queue.push_back(Queued {
                    op: op.clone(),
                    decoded: Some(decoded),
                    checked: Checked::Nothing,
                });
            }
        }
        while let Some(queued) = queue.pop_front() {
            let stamp = queued.op.stamp();
            let (outcome, evicted) = self.take_in_one(queued)?;
            let has_arrived = has_arrived(&outcome);
            let events = &mut self.taken.events;
            events.push((stamp.op.id, Event::Tried(outcome)));
            let evicted = evicted.into_iter().map(|id| (id, Event::Evicted));
            events.extend(evicted);
            if has_arrived {
                self.release(&stamp, &mut queue);
            }
        }
        let moved = self.recorder.state.pending.take_moved().into_iter();
        let waiting = |(id, missing)| (id, Event::Tried(Outcome::Waiting { missing }));
        self.taken.events.extend(moved.map(waiting));
        Ok(self.taken)
    }

    /// Queues the pending ops whose last missing parent has arrived, and rejects those not dated
    /// after it. They go to the front of the queue: a copy given in the same call is then known,
    /// and its parents are not looked up again.
    fn release<P>(&mut self, arrived: &Stamp, queue: &mut VecDeque<Queued<P>>) {
        let checked = match self.recorder.state.held.is_empty() {
            true => Checked::AuthorAndParents,
            // Another parent may be held.
            false => Checked::Author,
        };
        for op in self
            .recorder
            .state
            .pending
            .arrive(arrived)
            .into_iter()
            .rev()
        {
            match clock_conflict(&op, arrived) {
                Some(rejection) => {
                    let outcome = Outcome::Rejected(rejection);
                    let tried = (op.reference().id, Event::Tried(outcome));
                    self.taken.events.push(tried);
                }
                None => queue.push_front(Queued {
                    op,
                    decoded: None,
                    checked,
                }),
            }
        }
    }

    /// Tries one op. Returns its outcome, and the ops that were evicted.
    fn take_in_one(&mut self, queued: Queued<M::Payload<'_>>) -> Result<(Outcome, Vec<OpId>)> {
        let Queued {
            op,
            decoded,
            checked,
        } = queued;
        let done = |outcome| Ok((outcome, Vec::new()));
        let OpRef { author, id, .. } = op.reference();
        if self.is_there(&op.reference())? {
            return done(Outcome::Known);
        }
        if checked == Checked::AuthorAndParents {
            return done(self.apply(op, decoded)?);
        }
        if checked == Checked::Nothing && !self.accepts(&author)? {
            return done(Outcome::Rejected(Rejection::UnknownAuthor { author }));
        }
        let ahead_ms = op.hlc().ms().saturating_sub(self.now_ms);
        if ahead_ms > REFUSE_AHEAD_MS {
            return done(Outcome::Rejected(Rejection::FarAhead { ahead_ms }));
        }
        if ahead_ms > DEFER_AHEAD_MS {
            let until_ms = op.hlc().ms() - DEFER_AHEAD_MS;
            let trust = self.trust(&author)?;
            let evicted = self.recorder.state.pending.defer(op, until_ms, trust);
            return Ok((Outcome::Deferred { until_ms }, evicted));
        }
        if let Some(missing) = self.recorder.state.pending.first_missing(&id) {
            let trust = self.trust(&author)?;
            self.recorder.state.pending.renew(&id, trust);
            return done(Outcome::Waiting { missing });
        }
        match check_parents(self.recorder, &op)? {
            Parents::Missing { first, places } => {
                let trust = self.trust(&author)?;
                let evicted = self.recorder.state.pending.wait(op, &places, trust);
                Ok((Outcome::Waiting { missing: first }, evicted))
            }
            Parents::Later(rejection) => done(Outcome::Rejected(rejection)),
            Parents::Applied => done(self.apply(op, decoded)?),
            Parents::Held(parent) => done(self.hold(op, HeldReason::Follows { parent })?),
        }
    }

    /// Whether an op is applied or held.
    fn is_there(&mut self, op: &OpRef) -> Result<bool> {
        let held = self.recorder.state.held;
        Ok(self.recorder.place_of(op)?.is_some() || held.contains(&*self.recorder.tx, op)?)
    }

    /// Applies an op whose parents are applied; holds it if the code of the store type fails.
    fn apply(&mut self, op: Op, decoded: Option<Decoded<M::Payload<'_>>>) -> Result<Outcome> {
        let staged = match decoded {
            Some(decoded) => self.recorder.stage(&op, decoded, Reads::default()),
            None => {
                let decoded = decode(&*self.recorder.inner.machine, &op);
                self.recorder.stage(&op, decoded, Reads::default())
            }
        };
        match staged {
            Ok(staged) => {
                self.note_fork(&op)?;
                let index = self.recorder.record(&op, staged)?.place.index;
                Ok(Outcome::Applied { index })
            }
            Err(BackendError::Fault(fault)) => {
                let message = fault.to_string();
                self.hold(op, HeldReason::Fault { message })
            }
            Err(error) => Err(error),
        }
    }

    /// Notes an op of this handle's author that does not follow its tip.
    fn note_fork(&mut self, op: &Op) -> Result<()> {
        let reference = op.reference();
        if self.own() == Some(reference.author) {
            let tip = self.recorder.tip(&reference.author)?;
            if tip.is_some() && tip != op.prev() {
                self.taken.forked.push(reference);
            }
        }
        Ok(())
    }

    /// The author that this handle writes as.
    fn own(&self) -> Option<PubKey> {
        let identity = self.recorder.inner.identity.as_ref();
        identity.map(|identity| identity.public())
    }

    fn hold(&mut self, op: Op, reason: HeldReason) -> Result<Outcome> {
        let id = op.reference().id;
        let number = self.recorder.hold(op, reason.clone())?;
        self.taken.held.push((id, number));
        Ok(Outcome::Held { reason })
    }

    fn accepts(&mut self, author: &PubKey) -> Result<bool> {
        Ok(*self.whose == Authors::Any || self.trust(author)? == AuthorTrust::Known)
    }

    fn trust(&mut self, author: &PubKey) -> Result<AuthorTrust> {
        let named = matches!(self.whose, Authors::Named(authors) if authors.contains(author));
        let owner = self.recorder.inner.genesis.owner();
        if named || *author == owner || Some(*author) == self.own() {
            return Ok(AuthorTrust::Known);
        }
        // Authors of ops in this transaction count too: they were accepted already.
        let tip = MetaKey::Tip(*author).to_bytes();
        let has_tip = self.recorder.tx.get(Table::Meta, &tip)?.is_some();
        Ok(match has_tip || self.recorder.tip(author)?.is_some() {
            true => AuthorTrust::Known,
            false => AuthorTrust::Unknown,
        })
    }
}

/// Looks up each parent of an op once.
pub(crate) fn check_parents<M: StateMachine>(
    recorder: &Recorder<'_, M>,
    op: &Op,
) -> Result<Parents> {
    let (mut first, mut places, mut held) = (None, Vec::new(), None);
    for (nth, parent) in (0..).zip(op.parents()) {
        let hlc = match hlc_of(recorder, &parent)? {
            Some(hlc) => hlc,
            None => match recorder.held(&parent)? {
                Some(hlc) => {
                    held.get_or_insert(parent);
                    hlc
                }
                None => {
                    first.get_or_insert(parent);
                    places.push(nth);
                    continue;
                }
            },
        };
        if let Some(rejection) = clock_conflict(op, &Stamp { hlc, op: parent }) {
            return Ok(Parents::Later(rejection));
        }
    }
    Ok(match (first, held) {
        (Some(first), _) => Parents::Missing { first, places },
        (None, Some(parent)) => Parents::Held(parent),
        (None, None) => Parents::Applied,
    })
}

fn hlc_of<M: StateMachine>(recorder: &Recorder<'_, M>, op: &OpRef) -> Result<Option<Hlc>> {
    match recorder.state.frontier.get(op) {
        Some(hlc) => Ok(Some(*hlc)),
        None => recorder.index().hlc_of(op),
    }
}

/// Rejects an op that is not dated after this parent.
pub(crate) fn clock_conflict(op: &Op, parent: &Stamp) -> Option<Rejection> {
    (op.hlc() <= parent.hlc).then(|| Rejection::ClockDidNotAdvance {
        found: op.hlc(),
        parent: parent.hlc,
        after: parent.op,
    })
}
