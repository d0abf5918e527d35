//! Taking in ops of others, in any order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZero;

use lattice_meta::{Hlc, MetaKey, OpId, PubKey};

use super::local::{Done, Job};
use super::record::Recorder;
use super::{Engine, Inner};
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
/// Below this many signatures a second thread costs more than it saves.
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

/// What became of one op.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It is applied.
    Applied {
        /// Its place in the order of local application.
        index: u64,
    },
    /// It had been applied before.
    Known,
    /// It is held until ops that it names are applied. A gap in what was given is seen here.
    Waiting {
        /// The first of them that is missing.
        missing: OpRef,
    },
    /// It is dated ahead of the local clock, and held until the clock shows its time.
    Deferred {
        /// When it can be applied, in milliseconds since the Unix epoch.
        until_ms: u64,
    },
    /// It is not recorded, and not held.
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
    /// It had to be held back, and others that were had to go first; send it again later.
    #[error("the op was to be held back, and there was no room for it")]
    NoRoom,
}

/// What became of the ops given to one ingest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IngestReport {
    /// Of each op, in the order given: its id, if its bytes had one, and what became of it.
    pub outcomes: Vec<(Option<OpId>, Outcome)>,
    /// Ops that had been held before, and what became of them now.
    pub released: Vec<(OpId, Outcome)>,
    /// Ops that had been held before and had to go to make room.
    pub evicted: Vec<OpId>,
}

impl IngestReport {
    /// How many ops were applied, those included that had been held before.
    pub fn applied(&self) -> usize {
        let given = self.outcomes.iter().map(|(_, outcome)| outcome);
        let released = self.released.iter().map(|(_, outcome)| outcome);
        given
            .chain(released)
            .filter(|outcome| matches!(outcome, Outcome::Applied { .. }))
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

    /// Whether every op given is applied now.
    pub fn is_complete(&self) -> bool {
        self.outcomes
            .iter()
            .all(|(_, outcome)| matches!(outcome, Outcome::Applied { .. } | Outcome::Known))
    }

    /// Appends the report of a later transaction of the same ingest, which may tell better what
    /// became of ops that this one left waiting.
    fn extend(&mut self, later: Self) {
        let mut released: BTreeMap<OpId, Outcome> = later.released.into_iter().collect();
        for (id, outcome) in &mut self.outcomes {
            if let Some(better) = id.and_then(|id| released.remove(&id)) {
                *outcome = better;
            }
        }
        self.released.extend(released);
        self.outcomes.extend(later.outcomes);
        self.evicted.extend(later.evicted);
    }
}

/// An op whose form and signature hold; else its id, if it has one, and what is wrong with it.
type CheckedOp = Result<Op, (Option<OpId>, OpError)>;

/// Ops whose form and signature have been looked at already.
pub(super) struct IngestJob {
    ops: Vec<CheckedOp>,
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
        let mut report = IngestReport::default();
        loop {
            let chunk = next_chunk(ops);
            let is_last = chunk.is_empty();
            // An empty last transaction still tries what is held, also when nothing was given.
            if !is_last || report.outcomes.is_empty() {
                let ops = self.inner.check(chunk)?;
                match self.submit(Job::Ingest(IngestJob {
                    ops,
                    whose: whose.clone(),
                })) {
                    Some(Done::Ingest(done)) => report.extend(done?),
                    _ => return Err(BackendError::Unusable),
                }
            }
            if is_last {
                return Ok(report);
            }
        }
    }

    /// How many ops are held back, waiting for others or for the clock.
    pub fn held_ops(&self) -> usize {
        let writer = self.inner.writer.as_ref();
        writer.map_or(0, |writer| {
            writer
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
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
    /// Checks forms and signatures, on all cores, before the single writer is asked for. What is
    /// applied already needs no check: its id is known, and the id leaves out the signature.
    fn check(&self, chunk: Vec<Vec<u8>>) -> Result<Vec<CheckedOp>> {
        let snapshot = self.db.snapshot()?;
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let threads = cores.min(chunk.len().div_ceil(MIN_SHARE)).max(1);
        let share = chunk.len().div_ceil(threads).max(1);
        let mut chunk = chunk.into_iter();
        let shares: Vec<Vec<_>> = (0..threads)
            .map(|_| chunk.by_ref().take(share).collect())
            .collect();
        let snapshot = &*snapshot;
        let check = |ops: Vec<Vec<u8>>| -> Result<Vec<CheckedOp>> {
            ops.into_iter()
                .map(|bytes| self.check_one(snapshot, bytes))
                .collect()
        };
        let checked = std::thread::scope(|scope| {
            let mut shares = shares.into_iter();
            let mine = shares.next().unwrap_or_else(Vec::new);
            let workers: Vec<_> = shares.map(|share| scope.spawn(|| check(share))).collect();
            let mut all = vec![check(mine)];
            all.extend(workers.into_iter().map(|worker| {
                worker
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            }));
            all
        });
        Ok(checked
            .into_iter()
            .collect::<Result<Vec<_>>>()?
            .into_iter()
            .flatten()
            .collect())
    }

    fn check_one(
        &self,
        snapshot: &(dyn ReadTx + Send + Sync),
        bytes: Vec<u8>,
    ) -> Result<CheckedOp> {
        let op = match Op::decode(bytes, &self.hasher) {
            Ok(op) => op,
            Err(error) => return Ok(Err((None, error))),
        };
        let indexed = snapshot
            .get(Table::Applied, &op.reference().to_key())?
            .is_some();
        match op.verify() {
            Err(error) if !indexed => Ok(Err((Some(op.reference().id), error.into()))),
            _ => Ok(Ok(op)),
        }
    }
}

impl<M: StateMachine> Recorder<'_, M> {
    /// Takes in a chunk of ops, and every held op that can follow now.
    pub(super) fn ingest(&mut self, job: &IngestJob) -> Result<IngestReport> {
        let now_ms = self.inner.clock.now_ms();
        let mut places = BTreeMap::<OpId, Vec<usize>>::new();
        let mut report = IngestReport::default();
        let mut queue = VecDeque::from(self.state.inbox.take_due(now_ms));
        for (place, op) in job.ops.iter().enumerate() {
            let (id, outcome) = match op {
                // Stands until the queue has been worked through; every op's outcome is set then.
                Ok(op) => (Some(op.reference().id), Outcome::Known),
                Err((id, error)) => (*id, Outcome::Rejected(error.clone().into())),
            };
            report.outcomes.push((id, outcome));
            if let Ok(op) = op {
                let same = places.entry(op.reference().id).or_default();
                same.push(place);
                if same.len() == 1 {
                    queue.push_back(op.clone());
                }
            }
        }
        while let Some(op) = queue.pop_front() {
            let reference = op.reference();
            let trusted = !places.contains_key(&reference.id);
            let (outcome, evicted) = self.take_in(op, &job.whose, trusted, now_ms)?;
            if matches!(outcome, Outcome::Applied { .. } | Outcome::Known) {
                queue.extend(self.state.inbox.take_waiting_for(&reference));
            }
            for id in evicted {
                match places.get(&id) {
                    Some(given) => set(&mut report, given, &Outcome::Rejected(Rejection::NoRoom)),
                    None => report.evicted.push(id),
                }
            }
            let is_held = self.state.inbox.holds(&reference.id);
            let lost = matches!(outcome, Outcome::Waiting { .. } | Outcome::Deferred { .. });
            let outcome = match lost && !is_held {
                true => Outcome::Rejected(Rejection::NoRoom),
                false => outcome,
            };
            match places.get(&reference.id) {
                Some(given) => set(&mut report, given, &outcome),
                None => report.released.push((reference.id, outcome)),
            }
        }
        Ok(report)
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
        if self.applied().index_of(&reference)?.is_some() {
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
            return Ok((
                Outcome::Deferred { until_ms },
                self.state.inbox.defer(op, until_ms),
            ));
        }
        match self.check_parents(&op)? {
            Parents::Missing(missing) => Ok((
                Outcome::Waiting { missing },
                self.state.inbox.wait(op, missing),
            )),
            Parents::Later(rejection) => done(Outcome::Rejected(rejection)),
            Parents::Applied => done(Outcome::Applied {
                index: self.record(&op)?,
            }),
        }
    }

    fn check_parents(&self, op: &Op) -> Result<Parents> {
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
            None => self.applied().hlc_of(op),
        }
    }

    fn accepts(&mut self, author: &PubKey, whose: &Authors) -> Result<bool> {
        let named = match whose {
            Authors::Any => return Ok(true),
            Authors::Named(authors) => authors.contains(author),
            Authors::Known => false,
        };
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
enum Parents {
    /// All are applied, and dated before it.
    Applied,
    /// This one is not applied.
    Missing(OpRef),
    /// One is applied and not dated before it, so it never can be.
    Later(Rejection),
}

fn set(report: &mut IngestReport, places: &[usize], outcome: &Outcome) {
    for (nth, &place) in places.iter().enumerate() {
        // An op that was given twice is applied once.
        let again = nth > 0 && matches!(outcome, Outcome::Applied { .. });
        report.outcomes[place].1 = if again {
            Outcome::Known
        } else {
            outcome.clone()
        };
    }
}
