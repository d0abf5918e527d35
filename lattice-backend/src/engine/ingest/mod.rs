//! Taking in ops of others, in any order.

pub(crate) mod pending;
pub(crate) mod report;

pub use pending::{MAX_HELD_BYTES, MAX_HELD_OPS};
pub use report::{IngestReport, Outcome, Rejection};

use std::collections::{BTreeSet, VecDeque};
use std::num::NonZero;
use std::sync::{Mutex, PoisonError};

use lattice_meta::{Hlc, MetaKey, OpId, PubKey};

use crate::backend::{Access, BackendError, ReadTx, Result, Table};
use crate::engine::ingest::pending::AuthorTrust;
use crate::engine::ingest::report::{Event, Tally};
use crate::engine::write::recorder::Recorder;
use crate::engine::write::{Done, Job};
use crate::engine::{Engine, Inner};
use crate::history::{Forks, read_place};
use crate::machine::StateMachine;
use crate::op::{Op, OpError, OpRef, Stamp, Verifier};

/// An op dated at most this far ahead of the local clock is applied, in milliseconds.
const DEFER_MS: u64 = 10 * 60 * 1000;
/// An op dated further ahead than this is not even held, in milliseconds.
const REFUSE_MS: u64 = 24 * 60 * 60 * 1000;
/// Ops that one transaction takes in, at the most.
const CHUNK_OPS: usize = 1024;
/// Bytes after which a transaction takes in no more ops.
const CHUNK_BYTES: usize = 8 << 20;
/// Signatures that a thread checks at a time; fewer for each are not worth one more.
const MIN_SHARE: usize = 16;

/// Whose ops are taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Authors {
    /// The store's owner, this node itself, and authors of whom ops are applied already.
    Known,
    /// These, and those known.
    Named(BTreeSet<PubKey>),
    /// Everybody's.
    Any,
}

/// An op whose form and signature hold; else its id, if it has one, and what is wrong with it.
type CheckedOp = Result<Op, (Option<OpId>, OpError)>;

/// Ops whose form and signature have been checked.
pub(crate) struct IngestJob {
    ops: Vec<Op>,
    whose: Authors,
}

impl<M: StateMachine> Engine<M> {
    /// Takes in ops, in any order, and says of each what became of it. Ops whose parents are
    /// missing, and ops dated ahead, are pending: they stay in memory, within bounds, until an
    /// ingest brings the last missing parent, or finds that their time has come. They are lost on
    /// close. Taking in an op twice changes nothing, and one bad op stops nothing but what causally
    /// follows it.
    ///
    /// # Errors
    /// The storage's; what was applied before stays applied.
    pub fn ingest(
        &self,
        ops: &mut dyn Iterator<Item = Vec<u8>>,
        whose: &Authors,
    ) -> Result<IngestReport> {
        if self.access() == Access::ReadOnly {
            return Err(BackendError::ReadOnly);
        }
        let mut tally = Tally::default();
        let mut checked = self.inner.check(next_chunk(ops), || ())?.0;
        // A transaction without ops applies what is due, also when nothing was given.
        while !checked.is_empty() || tally.is_empty() {
            let mut accepted = Vec::with_capacity(checked.len());
            for checked in checked {
                match checked {
                    Ok(op) => {
                        tally.give(op.reference().id);
                        accepted.push(op);
                    }
                    Err((id, error)) => tally.give_invalid(id, error),
                }
            }
            let job = IngestJob {
                ops: accepted,
                whose: whose.clone(),
            };
            // While these are written, the signatures of the next ones are checked.
            let chunk = next_chunk(ops);
            let (next, done) = self.inner.check(chunk, || self.submit(Job::Ingest(job)))?;
            match done {
                Some(Done::Ingest(events)) => {
                    for (id, event) in events? {
                        tally.note(id, event);
                    }
                }
                _ => return Err(BackendError::Unusable),
            }
            if next.is_empty() {
                break;
            }
            checked = next;
        }
        Ok(tally.finish())
    }

    /// How many ops are pending: their parents are missing, or they are dated ahead.
    pub fn held_ops(&self) -> usize {
        let writer = self.inner.writer.as_ref();
        writer.map_or(0, |writer| {
            writer
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pending
                .len()
        })
    }
}

fn next_chunk(ops: &mut dyn Iterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
    let (mut chunk, mut bytes) = (Vec::new(), 0);
    while chunk.len() < CHUNK_OPS
        && bytes < CHUNK_BYTES
        && let Some(op) = ops.next()
    {
        bytes += op.len();
        chunk.push(op);
    }
    chunk
}

impl<M: StateMachine> Inner<M> {
    /// Checks forms and signatures with a helper for each core, while this thread does something
    /// else first, which may wait for the disk, and then helps. What is applied already needs no
    /// check: its id is known, and the id leaves out the signature.
    fn check<T>(
        &self,
        chunk: Vec<Vec<u8>>,
        meanwhile: impl FnOnce() -> T,
    ) -> Result<(Vec<CheckedOp>, T)> {
        let snapshot = self.db.snapshot()?;
        let forks = Forks::read(&*snapshot)?;
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let helpers = cores.min(chunk.len() / MIN_SHARE);
        let count = chunk.len();
        let queue = Mutex::new(chunk.into_iter().enumerate());
        let work = || {
            let mut verifier = Verifier::default();
            let mut mine = Vec::with_capacity(count / (helpers + 1));
            loop {
                let taken: Vec<_> = queue
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .by_ref()
                    .take(MIN_SHARE)
                    .collect();
                if taken.is_empty() {
                    return Ok(mine);
                }
                for (place, bytes) in taken {
                    mine.push((
                        place,
                        self.check_one(&*snapshot, forks, bytes, &mut verifier)?,
                    ));
                }
            }
        };
        let (done, shares) = std::thread::scope(|scope| {
            let helpers: Vec<_> = (0..helpers).map(|_| scope.spawn(work)).collect();
            let done = meanwhile();
            let mut shares = vec![work()];
            shares.extend(helpers.into_iter().map(|helper| {
                helper
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            }));
            (done, shares)
        });
        let mut checked = Vec::with_capacity(count);
        for share in shares {
            checked.extend(share?);
        }
        checked.sort_unstable_by_key(|(place, _)| *place);
        Ok((checked.into_iter().map(|(_, op)| op).collect(), done))
    }

    fn check_one(
        &self,
        snapshot: &(dyn ReadTx + Send + Sync),
        forks: Forks,
        bytes: Vec<u8>,
        verifier: &mut Verifier,
    ) -> Result<CheckedOp> {
        let op = match Op::decode(bytes, &self.hasher) {
            Ok(op) => op,
            Err(error) => return Ok(Err((None, error))),
        };
        if read_place(snapshot, &op.reference(), forks)?.is_some() {
            return Ok(Ok(op));
        }
        Ok(match op.verify_by(verifier) {
            Ok(()) => Ok(op),
            Err(error) => Err((Some(op.reference().id), error.into())),
        })
    }
}

/// An op in the queue of an ingest.
struct Queued {
    op: Op,
    checked: Checked,
}

/// What was checked of an op, besides its form and signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Checked {
    Nothing,
    /// Its author was accepted when it came.
    Author,
    /// The same, and its parents are applied and dated before it.
    AuthorAndParents,
}

impl<M: StateMachine> Recorder<'_, M> {
    /// Takes in a chunk of ops, and every pending op that can follow now.
    pub(crate) fn ingest(&mut self, job: &mut IngestJob) -> Result<Vec<(OpId, Event)>> {
        let now_ms = self.inner.clock.now_ms();
        let mut events = Vec::with_capacity(job.ops.len());
        let mut queue = VecDeque::new();
        for appended in self.state.pending.take_appended() {
            if self.place_of(&appended.op)?.is_some() {
                self.release(&appended, &mut queue, &mut events);
            }
        }
        let due = self.state.pending.take_due(now_ms).into_iter();
        queue.extend(due.map(|op| Queued {
            op,
            checked: Checked::Author,
        }));
        let mut given = BTreeSet::new();
        for op in std::mem::take(&mut job.ops) {
            if given.insert(op.reference().id) {
                let checked = Checked::Nothing;
                queue.push_back(Queued { op, checked });
            }
        }
        while let Some(queued) = queue.pop_front() {
            let stamp = queued.op.stamp();
            let (outcome, evicted) = self.take_in(queued, &job.whose, now_ms)?;
            let is_applied = matches!(outcome, Outcome::Applied { .. });
            events.push((stamp.op.id, Event::Tried(outcome)));
            events.extend(evicted.into_iter().map(|id| (id, Event::Evicted)));
            if is_applied {
                self.release(&stamp, &mut queue, &mut events);
            }
        }
        let moved = self.state.pending.take_moved().into_iter();
        events.extend(moved.map(|(id, missing)| (id, Event::Tried(Outcome::Waiting { missing }))));
        Ok(events)
    }

    /// Queues the pending ops whose last missing parent was applied, and rejects those not dated
    /// after it. They come first in the queue: a copy that was given in the same call is known
    /// then, and its parents are not looked up again.
    fn release(
        &mut self,
        applied: &Stamp,
        queue: &mut VecDeque<Queued>,
        events: &mut Vec<(OpId, Event)>,
    ) {
        for op in self.state.pending.arrive(applied).into_iter().rev() {
            match clock_conflict(&op, applied) {
                Some(rejection) => {
                    let outcome = Outcome::Rejected(rejection);
                    events.push((op.reference().id, Event::Tried(outcome)));
                }
                None => queue.push_front(Queued {
                    op,
                    checked: Checked::AuthorAndParents,
                }),
            }
        }
    }

    /// Applies one op, or returns why not; with the ops that were evicted.
    fn take_in(
        &mut self,
        Queued { op, checked }: Queued,
        whose: &Authors,
        now_ms: u64,
    ) -> Result<(Outcome, Vec<OpId>)> {
        let done = |outcome| Ok((outcome, Vec::new()));
        let OpRef { author, id, .. } = op.reference();
        if self.place_of(&op.reference())?.is_some() {
            return done(Outcome::Known);
        }
        if checked == Checked::AuthorAndParents {
            let index = self.record(&op)?.place.index;
            return done(Outcome::Applied { index });
        }
        if checked == Checked::Nothing && !self.accepts(&author, whose)? {
            return done(Outcome::Rejected(Rejection::UnknownAuthor { author }));
        }
        let ahead_ms = op.hlc().ms().saturating_sub(now_ms);
        if ahead_ms > REFUSE_MS {
            return done(Outcome::Rejected(Rejection::FarAhead { ahead_ms }));
        }
        if ahead_ms > DEFER_MS {
            let until_ms = op.hlc().ms() - DEFER_MS;
            let trust = self.trust(&author, whose)?;
            let evicted = self.state.pending.defer(op, until_ms, trust);
            return Ok((Outcome::Deferred { until_ms }, evicted));
        }
        if let Some(missing) = self.state.pending.first_missing(&id) {
            let trust = self.trust(&author, whose)?;
            self.state.pending.renew(&id, trust);
            return done(Outcome::Waiting { missing });
        }
        match self.check_parents(&op)? {
            Parents::Missing { first, places } => {
                let trust = self.trust(&author, whose)?;
                let evicted = self.state.pending.wait(op, &places, trust);
                Ok((Outcome::Waiting { missing: first }, evicted))
            }
            Parents::Later(rejection) => done(Outcome::Rejected(rejection)),
            Parents::Applied => {
                let index = self.record(&op)?.place.index;
                done(Outcome::Applied { index })
            }
        }
    }

    /// Looks up each parent of an op once.
    pub(crate) fn check_parents(&self, op: &Op) -> Result<Parents> {
        let (mut first, mut places) = (None, Vec::new());
        for (nth, parent) in (0..).zip(op.parents()) {
            let Some(hlc) = self.hlc_of(&parent)? else {
                first.get_or_insert(parent);
                places.push(nth);
                continue;
            };
            if let Some(rejection) = clock_conflict(op, &Stamp { hlc, op: parent }) {
                return Ok(Parents::Later(rejection));
            }
        }
        Ok(first.map_or(Parents::Applied, |first| Parents::Missing { first, places }))
    }

    fn hlc_of(&self, op: &OpRef) -> Result<Option<Hlc>> {
        match self.state.frontier.get(op) {
            Some(hlc) => Ok(Some(*hlc)),
            None => self.index().hlc_of(op),
        }
    }

    fn accepts(&mut self, author: &PubKey, whose: &Authors) -> Result<bool> {
        Ok(*whose == Authors::Any || self.trust(author, whose)? == AuthorTrust::Known)
    }

    fn trust(&mut self, author: &PubKey, whose: &Authors) -> Result<AuthorTrust> {
        let named = matches!(whose, Authors::Named(authors) if authors.contains(author));
        let own = self
            .inner
            .identity
            .as_ref()
            .map(|identity| identity.public());
        if named || *author == self.inner.genesis.owner() || Some(*author) == own {
            return Ok(AuthorTrust::Known);
        }
        // Ops of this transaction count too: their authors were accepted already.
        let has_tip = self
            .tx
            .get(Table::Meta, &MetaKey::Tip(*author).to_bytes())?
            .is_some();
        Ok(match has_tip || self.tip(author)?.is_some() {
            true => AuthorTrust::Known,
            false => AuthorTrust::Unknown,
        })
    }
}

/// Whether an op can follow its parents.
pub(crate) enum Parents {
    /// All are applied, and dated before it.
    Applied,
    /// Some are not applied.
    Missing {
        /// The first of them.
        first: OpRef,
        /// Their places among all parents.
        places: Vec<u16>,
    },
    /// One is applied and not dated before it, so the op can never be applied.
    Later(Rejection),
}

/// Why an op cannot follow this parent: it is not dated after it.
fn clock_conflict(op: &Op, parent: &Stamp) -> Option<Rejection> {
    (op.hlc() <= parent.hlc).then(|| Rejection::ClockDidNotAdvance {
        found: op.hlc(),
        parent: parent.hlc,
        after: parent.op,
    })
}
