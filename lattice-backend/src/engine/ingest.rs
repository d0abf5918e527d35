//! Taking in ops of others, in any order.

use std::collections::{BTreeSet, VecDeque};
use std::num::NonZero;
use std::sync::{Mutex, PoisonError};

use lattice_meta::{Hlc, MetaKey, OpId, PubKey};

use super::inbox::Standing;
use super::local::{Done, Job};
use super::record::Recorder;
use super::report::{Event, IngestReport, Outcome, Rejection, Tally};
use super::{Engine, Inner};
use crate::history::read_place;
use crate::op::Verifier;
use crate::tx::{ReadTx, Result, Table};
use crate::{Access, BackendError, Op, OpError, OpRef, StateMachine};

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

/// Ops whose form and signature have been looked at already.
pub(super) struct IngestJob {
    ops: Vec<Op>,
    whose: Authors,
}

impl<M: StateMachine> Engine<M> {
    /// Takes in ops, in any order, and says of each what became of it. Ops that wait for others,
    /// and ops dated ahead, are held in memory within bounds, are tried again at every ingest, and
    /// are forgotten on close. Taking in an op twice changes nothing, and one bad op stops
    /// nothing but what causally follows it.
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
        // A transaction without ops still tries what is held, also when nothing was given.
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

    /// How many ops are held back, waiting for others or for the clock.
    pub fn held_ops(&self) -> usize {
        let writer = self.inner.writer.as_ref();
        writer.map_or(0, |writer| {
            writer
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .inbox
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
    /// Checks forms and signatures with a helper for each core, while this thread does something else first,
    /// which may wait for the disk, and then helps. What is applied already needs no check: its id is
    /// known, and the id leaves out the signature.
    fn check<T>(
        &self,
        chunk: Vec<Vec<u8>>,
        meanwhile: impl FnOnce() -> T,
    ) -> Result<(Vec<CheckedOp>, T)> {
        let snapshot = self.db.snapshot()?;
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
                    mine.push((place, self.check_one(&*snapshot, bytes, &mut verifier)?));
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
        bytes: Vec<u8>,
        verifier: &mut Verifier,
    ) -> Result<CheckedOp> {
        let op = match Op::decode(bytes, &self.hasher) {
            Ok(op) => op,
            Err(error) => return Ok(Err((None, error))),
        };
        if read_place(snapshot, &op.reference())?.is_some() {
            return Ok(Ok(op));
        }
        Ok(match op.verify_by(verifier) {
            Ok(()) => Ok(op),
            Err(error) => Err((Some(op.reference().id), error.into())),
        })
    }
}

impl<M: StateMachine> Recorder<'_, M> {
    /// Takes in a chunk of ops, and every held op that can follow now.
    pub(super) fn ingest(&mut self, job: &IngestJob) -> Result<Vec<(OpId, Event)>> {
        let now_ms = self.inner.clock.now_ms();
        let mut events = Vec::with_capacity(job.ops.len());
        let mut queue = VecDeque::from(self.state.inbox.take_due(now_ms));
        let mut given = BTreeSet::new();
        for op in &job.ops {
            if given.insert(op.reference().id) {
                queue.push_back(op.clone());
            }
        }
        while let Some(op) = queue.pop_front() {
            let reference = op.reference();
            let trusted = !given.contains(&reference.id);
            let (outcome, evicted) = self.take_in(op, &job.whose, trusted, now_ms)?;
            if matches!(outcome, Outcome::Applied { .. } | Outcome::Known) {
                queue.extend(self.state.inbox.take_waiting_for(&reference));
            }
            events.push((reference.id, Event::Tried(outcome)));
            events.extend(evicted.into_iter().map(|id| (id, Event::Evicted)));
        }
        Ok(events)
    }

    /// Applies one op, or finds out why not. `trusted`: its author was accepted when it came.
    fn take_in(
        &mut self,
        op: Op,
        whose: &Authors,
        trusted: bool,
        now_ms: u64,
    ) -> Result<(Outcome, Vec<OpId>)> {
        let done = |outcome| Ok((outcome, Vec::new()));
        let reference = op.reference();
        if self.place_of(&reference)?.is_some() {
            return done(Outcome::Known);
        }
        if !trusted && !self.accepts(&reference.author, whose)? {
            let author = reference.author;
            return done(Outcome::Rejected(Rejection::UnknownAuthor { author }));
        }
        let ahead_ms = op.hlc().ms().saturating_sub(now_ms);
        if ahead_ms > REFUSE_MS {
            return done(Outcome::Rejected(Rejection::FarAhead { ahead_ms }));
        }
        if ahead_ms > DEFER_MS {
            let until_ms = op.hlc().ms() - DEFER_MS;
            let standing = self.standing(&reference.author, whose)?;
            return Ok((
                Outcome::Deferred { until_ms },
                self.state.inbox.defer(op, until_ms, standing),
            ));
        }
        match self.check_parents(&op)? {
            Parents::Missing(missing) => {
                let standing = self.standing(&reference.author, whose)?;
                let evicted = self.state.inbox.wait(op, missing, standing);
                Ok((Outcome::Waiting { missing }, evicted))
            }
            Parents::Later(rejection) => done(Outcome::Rejected(rejection)),
            Parents::Applied => done(Outcome::Applied {
                index: self.record(&op)?.place.index,
            }),
        }
    }

    /// How an op stands to those that it names.
    pub(super) fn check_parents(&self, op: &Op) -> Result<Parents> {
        let mut missing = None;
        for after in op.parents() {
            let Some(parent) = self.hlc_of(&after)? else {
                missing.get_or_insert(after);
                continue;
            };
            if op.hlc() <= parent {
                let found = op.hlc();
                return Ok(Parents::Later(Rejection::ClockDidNotAdvance {
                    found,
                    parent,
                    after,
                }));
            }
        }
        Ok(missing.map_or(Parents::Applied, Parents::Missing))
    }

    fn hlc_of(&self, op: &OpRef) -> Result<Option<Hlc>> {
        match self.state.frontier.get(op) {
            Some(hlc) => Ok(Some(*hlc)),
            None => self.index().hlc_of(op),
        }
    }

    fn accepts(&mut self, author: &PubKey, whose: &Authors) -> Result<bool> {
        Ok(*whose == Authors::Any || self.standing(author, whose)? == Standing::Known)
    }

    fn standing(&mut self, author: &PubKey, whose: &Authors) -> Result<Standing> {
        Ok(match self.knows(author, whose)? {
            true => Standing::Known,
            false => Standing::Stranger,
        })
    }

    fn knows(&mut self, author: &PubKey, whose: &Authors) -> Result<bool> {
        let named = matches!(whose, Authors::Named(authors) if authors.contains(author));
        let own = self
            .inner
            .identity
            .as_ref()
            .map(|identity| identity.public());
        if named || *author == self.inner.genesis.owner() || Some(*author) == own {
            return Ok(true);
        }
        // Ops of this transaction count too: whoever has one was accepted already.
        let has_tip = self
            .tx
            .get(Table::Meta, &MetaKey::Tip(*author).to_bytes())?
            .is_some();
        Ok(has_tip || self.tip(author)?.is_some())
    }
}

/// How an op stands to those it names.
pub(super) enum Parents {
    /// All are applied, and dated before it.
    Applied,
    /// This one is not applied.
    Missing(OpRef),
    /// One is applied and not dated before it, so it never can be.
    Later(Rejection),
}
