//! Turns commands of this author into ops.

use std::sync::Arc;

use lattice_meta::{Hlc, OpId, PubKey};

use crate::backend::BackendError;
use crate::engine::Inner;
use crate::engine::contain::{Decoded, contain, decode_own};
use crate::engine::inner::Undo;
use crate::engine::write::copied::{is_guarded, note_began};
use crate::engine::write::group_commit::Batch;
use crate::engine::write::recorder::Recorder;
use crate::engine::write::{AppendError, Receipt};
use crate::machine::StateMachine;
use crate::op::{MAX_DEPS, MAX_PAYLOAD_BYTES, Op, OpDraft, OpKind, OpRef, SecretKey};
use crate::state::data_table::DataTable;
use crate::state::reads::Reads;

/// The most milliseconds by which a local op's timestamp may exceed the local clock.
const MAX_LEAD_MS: u64 = 20 * 60 * 1000;

/// What the caller of one command receives.
pub(crate) type Answer<M> = Result<Receipt, AppendError<<M as StateMachine>::Refusal>>;

/// Commands of threads that share a commit.
type Commands<'a, M> = Batch<'a, <M as StateMachine>::Command, Answer<M>>;

/// Turns a command into an op in the next group commit, which this thread may lead.
pub(crate) fn append<M: StateMachine>(inner: &Inner<M>, command: M::Command) -> Answer<M> {
    let help = || {
        if let Some(secret) = &inner.identity {
            inner.signing.help(secret);
        }
    };
    let answer = inner
        .group
        .submit(command, |batch| lead(inner, batch), help);
    answer.unwrap_or_else(|| {
        // The leader of the batch panicked.
        let refused = inner.check_usable().err();
        Err(refused.unwrap_or_else(BackendError::unusable).into())
    })
}

/// Carries out the commands of a batch in one transaction.
fn lead<M: StateMachine>(inner: &Inner<M>, batch: &mut Commands<'_, M>) -> Vec<Answer<M>> {
    let mut answers = Vec::new();
    // The next leader prepares its batch while this one becomes durable.
    let lead = batch.lead();
    let written = inner.transact_then(
        |recorder| carry_out(recorder, batch, &mut answers).map_err(Undo::<BackendError>::Backend),
        || lead.hand_over(),
    );
    match written {
        Ok(()) => answers,
        Err(error) => share(error, batch.jobs().len()),
    }
}

fn carry_out<M: StateMachine>(
    recorder: &mut Recorder<'_, M>,
    batch: &mut Commands<'_, M>,
    answers: &mut Vec<Answer<M>>,
) -> Result<(), BackendError> {
    // `transact` closes the round, however the transaction ends. A helping follower waits for that.
    if batch.expected() > 1 {
        recorder.inner.signing.open();
    }
    loop {
        while let Some(command) = batch.jobs().get(answers.len()) {
            match append_one(recorder, command) {
                Err(AppendError::Backend(error)) => return Err(error),
                answer => answers.push(answer),
            }
        }
        if batch.take_more() {
            continue;
        }
        // The leader signs queued ops instead of lingering.
        let secret = recorder.inner.identity.as_ref();
        let secret = secret.filter(|_| !batch.is_complete());
        if secret.is_some_and(|secret| recorder.sign_one(secret)) {
            continue;
        }
        if !batch.linger() {
            return Ok(());
        }
    }
}

/// Returns the error of a transaction once for each caller whose command was part of it.
fn share<R>(error: BackendError, callers: usize) -> Vec<Result<Receipt, AppendError<R>>> {
    if callers == 1 {
        return vec![Err(error.into())];
    }
    let error = Arc::new(error);
    let one = |_| Err(error.share().into());
    (0..callers).map(one).collect()
}

/// Carries out one command. After [`AppendError::Backend`] the transaction must be abandoned. After
/// any other error, nothing was written for the command but merges.
pub(crate) fn append_one<M: StateMachine>(
    recorder: &mut Recorder<'_, M>,
    command: &M::Command,
) -> Answer<M> {
    let secret = recorder.inner.identity.clone();
    let secret = secret.ok_or(AppendError::NoIdentity)?;
    Appender { recorder, secret }.append(command)
}

/// Makes ops of this author.
struct Appender<'a, 'b, M: StateMachine> {
    recorder: &'a mut Recorder<'b, M>,
    secret: Arc<SecretKey>,
}

impl<M: StateMachine> Appender<'_, '_, M> {
    fn append(&mut self, command: &M::Command) -> Answer<M> {
        let author = self.secret.public();
        self.check_copied(&author)?;
        let mut reads = Reads::default();
        let payload = self.prepare(command, &reads)?;
        let found = payload.len();
        if found > MAX_PAYLOAD_BYTES {
            return Err(AppendError::TooLong {
                limit: MAX_PAYLOAD_BYTES,
                found,
            });
        }
        while self.other_parents()? > MAX_DEPS {
            let merge = self.compose(OpKind::Merge, &[])?;
            self.record(merge, Reads::default())?;
            // A state machine may write rows for a merge too, so the cached rows may be stale.
            reads = Reads::default();
        }
        let op = self.compose(OpKind::Application, &payload)?;
        // The op has its own copy.
        drop(payload);
        let receipt = self.record(op, reads)?;
        note_began(self.recorder, author)?;
        Ok(receipt)
    }

    /// Refuses to write to an unconfirmed copy as an author who may have written more elsewhere.
    fn check_copied(&mut self, author: &PubKey) -> Result<(), AppendError<M::Refusal>> {
        match is_guarded(self.recorder, author)? {
            true => Err(AppendError::CopyUnconfirmed {
                store_id: self.recorder.inner.genesis.store_id(),
                author: *author,
            }),
            false => Ok(()),
        }
    }

    fn prepare(
        &self,
        command: &M::Command,
        reads: &Reads,
    ) -> Result<Vec<u8>, AppendError<M::Refusal>> {
        let table = DataTable(&*self.recorder.tx);
        let (data, past) = (reads.over(&table), self.recorder.past(None));
        let machine = &self.recorder.inner.machine;
        Ok(contain(|| machine.prepare(command, &data, &past))?)
    }

    /// How many ops of the frontier this author's next op names as deps.
    fn other_parents(&mut self) -> Result<usize, BackendError> {
        let own_tip = self.recorder.tip(&self.secret.public())?;
        let frontier = &self.recorder.state.frontier;
        let is_there = own_tip.is_some_and(|tip| frontier.contains_key(&tip));
        Ok(frontier.len() - usize::from(is_there))
    }

    /// The author's next op. It follows all ops of the frontier, or as many as one op can name.
    fn compose(&mut self, kind: OpKind, payload: &[u8]) -> Result<Op, AppendError<M::Refusal>> {
        let hlc = self.next_hlc()?;
        let author = self.secret.public();
        let tip = self.recorder.tip(&author)?;
        self.check_held(tip)?;
        let seq = match tip {
            None => 0,
            Some(tip) => tip.seq.checked_add(1).ok_or(AppendError::SeqExhausted)?,
        };
        let others = self.recorder.state.frontier.keys();
        let others = others.filter(|op| Some(**op) != tip);
        let draft = OpDraft {
            kind,
            seq,
            prev: tip.map_or(OpId::ZERO, |tip| tip.id),
            hlc,
            deps: others.take(MAX_DEPS).copied().collect(),
            payload,
        };
        let composed = draft.compose(&self.recorder.inner.hasher, author);
        composed.map_err(|error| AppendError::Invalid(Some(error)))
    }

    /// Refuses to write while an op of this author is held: the next op must follow it, since
    /// leaving it out would fork the author.
    fn check_held(&self, tip: Option<OpRef>) -> Result<(), AppendError<M::Refusal>> {
        let recorder = &self.recorder;
        if recorder.state.held.is_empty() {
            return Ok(());
        }
        let own = recorder
            .state
            .held
            .of_author(&*recorder.tx, &self.secret.public())?;
        match own.filter(|held| tip.is_none_or(|tip| held.seq > tip.seq)) {
            Some(held) => Err(AppendError::OwnOpHeld { held }),
            None => Ok(()),
        }
    }

    fn record(&mut self, op: Op, reads: Reads) -> Answer<M> {
        let machine = Arc::clone(&self.recorder.inner.machine);
        let decoded = decode_own(&*machine, &op);
        if op.kind() == OpKind::Application && matches!(decoded, Decoded::Nothing) {
            return Err(AppendError::Invalid(None));
        }
        let staged = match self.recorder.stage(&op, decoded, reads) {
            Err(BackendError::Fault(fault)) => return Err(AppendError::Fault(fault)),
            staged => staged?,
        };
        let (reference, hlc) = (op.reference(), op.hlc());
        let index = self.recorder.record_unsigned(op, staged)?;
        Ok(Receipt {
            op: reference,
            hlc,
            index,
        })
    }

    /// The timestamp of the next local op: greater than every applied one, and not before now.
    fn next_hlc(&self) -> Result<Hlc, AppendError<M::Refusal>> {
        let ledger = &self.recorder.state.ledger;
        let now_ms = self.recorder.inner.clock.now_ms().min(Hlc::MAX_MS);
        let now = Hlc::from_parts(now_ms, 0).expect("it was cut to what fits");
        let after = match ledger.applied {
            0 => Hlc::ZERO,
            _ => ledger
                .clock
                .successor()
                .ok_or(AppendError::ClockExhausted)?,
        };
        let hlc = after.max(now);
        match hlc.ms().saturating_sub(now_ms) {
            ahead_ms if ahead_ms > MAX_LEAD_MS => Err(AppendError::ClockBehind {
                newest: ledger.clock,
                ahead_ms,
                allowed_ms: MAX_LEAD_MS,
            }),
            _ => Ok(hlc),
        }
    }
}
