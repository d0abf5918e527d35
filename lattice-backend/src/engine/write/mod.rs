//! Writing: commands of this author, and the transactions that carry all work.

mod batch;
mod error;
pub(crate) mod group_commit;
pub(crate) mod read_cache;
pub(crate) mod recorder;
pub(crate) mod signing;
pub(crate) mod state;

pub use error::{AppendAllError, AppendError};

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use lattice_meta::{Hlc, OpId};

use crate::backend::{Access, BackendError, Result, Verdict, WriteTx};
use crate::engine::ingest::IngestJob;
use crate::engine::ingest::report::Event;
use crate::engine::write::group_commit::Company;
use crate::engine::write::read_cache::{Reads, Remembering};
use crate::engine::write::recorder::Recorder;
use crate::engine::write::state::WriterState;
use crate::engine::{Engine, Inner};
use crate::machine::{Effect, StateMachine};
use crate::op::{MAX_DEPS, MAX_PAYLOAD_BYTES, OpDraft, OpKind, OpRef, SecretKey};
use crate::state::data_table::DataTable;

/// What an op that was made here has become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The op.
    pub op: OpRef,
    /// Its timestamp.
    pub hlc: Hlc,
    /// Its place in the order of local application, from 0.
    pub index: u64,
}

/// How far ahead of the local clock a local op may be dated, in milliseconds.
const MAX_LEAD_MS: u64 = 20 * 60 * 1000;

/// What the single writer does in one transaction.
type JobCompany<'a, M> = Company<'a, Job<M>, Done<M>>;

/// Work for the single writer.
pub(crate) enum Job<M: StateMachine> {
    Append(M::Command),
    Ingest(IngestJob),
}

/// What came of it.
pub(crate) enum Done<M: StateMachine> {
    Append(Result<Receipt, AppendError<M::Refusal>>),
    Ingest(Result<Vec<(OpId, Event)>>),
}

impl<M: StateMachine> Job<M> {
    /// The result of work that the storage did not let happen.
    fn failed(&self, error: BackendError) -> Done<M> {
        match self {
            Self::Append(_) => Done::Append(Err(error.into())),
            Self::Ingest(_) => Done::Ingest(Err(error)),
        }
    }
}

impl<M: StateMachine> Engine<M> {
    /// Makes an op of a command, applies it and gives its receipt. It is durable when this
    /// returns. Threads that call this at the same time share commits.
    ///
    /// # Errors
    /// See [`AppendError`]. After a failure of the storage the handle gives
    /// [`BackendError::Unusable`] until the store is opened again: had the failed commit reached
    /// the disk, another op with the same sequence number would fork this author.
    pub fn append(&self, command: M::Command) -> Result<Receipt, AppendError<M::Refusal>> {
        if self.access() == Access::ReadOnly {
            return Err(BackendError::ReadOnly.into());
        }
        match self.submit(Job::Append(command)) {
            Some(Done::Append(result)) => result,
            _ => Err(BackendError::Unusable.into()),
        }
    }

    pub(crate) fn submit(&self, job: Job<M>) -> Option<Done<M>> {
        let inner = &self.inner;
        let help = || {
            if let Some(secret) = &inner.identity {
                inner.signing.help(secret);
            }
        };
        inner.group.submit(job, |company| inner.work(company), help)
    }
}

impl<M: StateMachine> Inner<M> {
    /// Does a group of jobs in one transaction.
    fn work(&self, company: &mut JobCompany<'_, M>) -> Vec<Done<M>> {
        let failed = |company: &JobCompany<'_, M>, error: fn() -> BackendError| {
            let jobs = company.jobs().iter();
            jobs.map(|job| job.failed(error())).collect()
        };
        let Some(writer) = &self.writer else {
            return failed(company, || BackendError::ReadOnly);
        };
        if self.check_usable().is_err() {
            return failed(company, || BackendError::Unusable);
        }
        // Poison tells what `unusable` tells already.
        let mut state = writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut done = Vec::new();
        let mut started = false;
        if company.expected() > 1 {
            self.signing.open();
        }
        let worked = catch_unwind(AssertUnwindSafe(|| {
            self.db.write(&mut |tx| {
                started = true;
                self.transact(tx, &mut state, company, &mut done)
            })
        }));
        self.signing.close();
        let applied = state.ledger.applied;
        drop(state);
        match worked {
            Ok(Ok(())) => {
                self.announce(applied);
                done
            }
            Ok(Err(error)) => {
                if started {
                    self.unusable.store(true, Ordering::Release);
                }
                share(error, company.jobs())
            }
            Err(panic) => {
                // A state machine that panics says nothing about the op; the file is as it was.
                self.unusable.store(true, Ordering::Release);
                resume_unwind(panic)
            }
        }
    }

    fn transact(
        &self,
        tx: &mut dyn WriteTx,
        state: &mut WriterState,
        company: &mut JobCompany<'_, M>,
        done: &mut Vec<Done<M>>,
    ) -> Result<Verdict> {
        let mut recorder = Recorder::new(self, tx, state);
        recorder.signs_last = company.expected() > 1;
        recorder.work(company, done)
    }
}

impl<M: StateMachine> Recorder<'_, M> {
    fn work(mut self, company: &mut JobCompany<'_, M>, done: &mut Vec<Done<M>>) -> Result<Verdict> {
        loop {
            while let Some(job) = company.jobs_mut().get_mut(done.len()) {
                done.push(match job {
                    Job::Append(command) => Done::Append(self.append(command)?),
                    Job::Ingest(job) => {
                        // It looks for ops in the tables.
                        self.write_signed()?;
                        Done::Ingest(Ok(self.ingest(job)?))
                    }
                });
            }
            if company.take_more() {
                continue;
            }
            // Whoever would wait for company signs meanwhile.
            let key = self.inner.identity.as_ref();
            let key = key.filter(|_| self.signs_last && !company.is_complete());
            if key.is_some_and(|key| self.inner.signing.make_one(key)) {
                continue;
            }
            if !company.gather() {
                break;
            }
        }
        self.write_signed()?;
        self.inner.signing.close();
        if !self.has_recorded() {
            return Ok(Verdict::Abort);
        }
        self.finish()?;
        Ok(Verdict::Commit)
    }
}

/// Gives the error of a transaction to everybody who had work in it.
fn share<M: StateMachine>(error: BackendError, jobs: &[Job<M>]) -> Vec<Done<M>> {
    if let [job] = jobs {
        return vec![job.failed(error)];
    }
    // What has no cause is said to each alike, so that callers need not look behind it.
    if matches!(error, BackendError::Closed) {
        let closed = |job: &Job<M>| job.failed(BackendError::Closed);
        return jobs.iter().map(closed).collect();
    }
    let error = Arc::new(error);
    jobs.iter()
        .map(|job| job.failed(BackendError::Shared(Arc::clone(&error))))
        .collect()
}

/// What the caller of one command gets.
type Answer<M> = Result<Receipt, AppendError<<M as StateMachine>::Refusal>>;

impl<M: StateMachine> Recorder<'_, M> {
    /// Carries out one command. The outer error ends the transaction; the inner one is the
    /// caller's, and nothing has been written for it.
    pub(crate) fn append(&mut self, command: &M::Command) -> Result<Answer<M>> {
        let Some(secret) = self.inner.identity.clone() else {
            return Ok(Err(AppendError::NoIdentity));
        };
        let data = DataTable(&*self.tx);
        let data = Remembering::new(&data);
        let prepared = self
            .inner
            .machine
            .prepare(command, &data, &self.past(None))?;
        let mut reads = data.into_reads();
        let payload = match prepared {
            Ok(payload) => payload,
            Err(refusal) => return Ok(Err(AppendError::Refused(refusal))),
        };
        let found = payload.len();
        if found > MAX_PAYLOAD_BYTES {
            return Ok(Err(AppendError::TooLong {
                limit: MAX_PAYLOAD_BYTES,
                found,
            }));
        }
        while self.other_heads(&secret)? > MAX_DEPS {
            match self.sign_next(OpKind::Merge, Vec::new(), &secret, &Reads::new())? {
                Ok(_) => {}
                refused => return Ok(refused),
            }
            // A state machine may write rows for a merge, too.
            reads.clear();
        }
        self.sign_next(OpKind::Application, payload, &secret, &reads)
    }

    /// Heads that the next op of this author names as deps.
    fn other_heads(&mut self, secret: &SecretKey) -> Result<usize> {
        let author = secret.public();
        let own_tip = self.tip(&author)?;
        let named = own_tip.is_some_and(|tip| self.state.frontier.contains_key(&tip));
        Ok(self.state.frontier.len() - usize::from(named))
    }

    /// Signs and records the author's next op, on top of all heads, or of as many as fit.
    fn sign_next(
        &mut self,
        kind: OpKind,
        payload: Vec<u8>,
        secret: &SecretKey,
        reads: &Reads,
    ) -> Result<Answer<M>> {
        let hlc = match self.next_hlc() {
            Ok(hlc) => hlc,
            Err(error) => return Ok(Err(error)),
        };
        let tip = self.tip(&secret.public())?;
        let seq = match tip.map(|tip| tip.seq.checked_add(1)) {
            None => 0,
            Some(Some(seq)) => seq,
            Some(None) => return Ok(Err(AppendError::SeqExhausted)),
        };
        let others = self
            .state
            .frontier
            .keys()
            .filter(|head| Some(**head) != tip);
        let draft = OpDraft {
            kind,
            seq,
            prev: tip.map_or(OpId::ZERO, |tip| tip.id),
            hlc,
            deps: others.take(MAX_DEPS).copied().collect(),
            payload: &payload,
        };
        let op = match draft.compose(&self.inner.hasher, secret.public()) {
            Ok(op) => op,
            Err(error) => return Ok(Err(AppendError::Invalid(Some(error)))),
        };
        // The op has a copy of it.
        drop(payload);
        let (effect, writes) = self.stage(&op, reads)?;
        if effect == Effect::Void {
            return Ok(Err(AppendError::Invalid(None)));
        }
        let reference = op.reference();
        let index = self.record_signed(op, writes, secret)?;
        Ok(Ok(Receipt {
            op: reference,
            hlc,
            index,
        }))
    }

    /// The timestamp of the next local op: after everything applied, and not before now.
    fn next_hlc(&self) -> Result<Hlc, AppendError<M::Refusal>> {
        let now_ms = self.inner.clock.now_ms().min(Hlc::MAX_MS);
        let now = Hlc::from_parts(now_ms, 0).expect("it was cut to what fits");
        let after = match self.state.ledger.applied {
            0 => Hlc::ZERO,
            _ => self
                .state
                .ledger
                .clock
                .successor()
                .ok_or(AppendError::ClockExhausted)?,
        };
        let hlc = after.max(now);
        match hlc.ms().saturating_sub(now_ms) {
            ahead_ms if ahead_ms > MAX_LEAD_MS => Err(AppendError::ClockBehind {
                ahead_ms,
                allowed_ms: MAX_LEAD_MS,
            }),
            _ => Ok(hlc),
        }
    }
}
