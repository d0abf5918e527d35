//! Ingests ops of others, in any order.

mod error;
mod intake;
pub(crate) mod pending;
pub(crate) mod report;

pub use error::IngestError;
pub use intake::{DEFER_AHEAD_MS, REFUSE_AHEAD_MS};
pub(crate) use intake::{Parents, check_parents, clock_conflict};
pub use pending::{MAX_PENDING_BYTES, MAX_PENDING_OPS};
pub use report::{IngestReport, Outcome, Rejection};

use std::collections::BTreeSet;

use lattice_meta::{OpId, PubKey};

use crate::backend::{Access, BackendError, ReadTx, Result};
use crate::chunks::Chunks;
use crate::cores::on_all_cores;
use crate::engine::Inner;
use crate::engine::contain::decode;
use crate::engine::ingest::intake::{Intake, Taken};
use crate::engine::ingest::report::Tally;
use crate::history::peers::{PeerRow, write_peer_row};
use crate::history::{Forks, read_place};
use crate::machine::StateMachine;
use crate::op::{Op, OpError, Verifier};

/// The most ops in one ingest transaction. Fewer ops cost more commits; more ops make local writers
/// wait longer for the end of the transaction.
pub(crate) const CHUNK_OPS: usize = 4096;
/// The most bytes of ops in one ingest transaction; a longer op gets a transaction of its own.
pub(crate) const CHUNK_BYTES: usize = 8 << 20;
/// The number of signatures that a thread checks at a time.
pub(crate) const SIGNATURES: usize = 16;
/// The number of payloads that a thread decodes at a time.
const PAYLOADS: usize = 128;

/// The authors whose ops an ingest accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Authors {
    /// The store's owner, this node itself, and authors that already have applied ops.
    Known,
    /// These, and the known ones.
    Named(BTreeSet<PubKey>),
    /// All authors.
    Any,
}

/// An op whose form and signature are valid, or else the op's id, if it has one, and the error.
type CheckedOp = Result<Op, (Option<OpId>, OpError)>;

/// Ingests ops in chunks. While a chunk is written, the other cores check the next one. Writes a
/// row about a peer in the transaction of the last chunk, if all ops are then applied or held;
/// returns whether it did.
pub(crate) fn ingest<M: StateMachine, E>(
    inner: &Inner<M>,
    ops: impl IntoIterator<Item = Result<Vec<u8>, E>>,
    whose: &Authors,
    row: Option<(&PubKey, &[u8])>,
) -> Result<(IngestReport, bool), IngestError<E>> {
    if inner.db.access() == Access::ReadOnly {
        return Err(BackendError::ReadOnly.into());
    }
    inner.check_usable()?;
    let mut chunks = Chunks::new(ops, CHUNK_OPS, CHUNK_BYTES, Vec::len);
    let own = inner.identity.as_ref().map(|identity| identity.public());
    let mut tally = Tally::default();
    let mut next_chunk = || chunks.next().transpose();
    // Even without ops, one transaction runs: it applies the deferred ops that are due.
    let (first, mut source) = or_none(next_chunk());
    let mut checked = check(inner, first.unwrap_or_else(Vec::new), || ())?.0?;
    let noted = loop {
        let mut ops = Vec::with_capacity(checked.len());
        for checked in checked {
            match checked {
                Ok(op) => {
                    tally.give(op.reference().id);
                    if Some(op.reference().author) == own {
                        tally.own.push(op.reference());
                    }
                    ops.push(op);
                }
                Err((id, error)) => tally.give_invalid(id, error),
            }
        }
        let next = match source {
            None => {
                let (next, error) = or_none(next_chunk());
                source = error;
                next
            }
            Some(_) => None,
        };
        let is_last = next.is_none();
        let row = row.filter(|_| is_last && source.is_none());
        let write = || take_in(inner, &ops, whose, &mut tally, row);
        let (next, taken) = check(inner, next.unwrap_or_else(Vec::new), write)?;
        // First the write: reads fail after a failed write, and do not say why.
        let noted = taken?;
        if is_last {
            break noted;
        }
        checked = next?;
    };
    let report = tally.finish();
    note(inner, &report);
    match source {
        Some(error) => Err(IngestError::Source {
            error,
            report: Box::new(report),
        }),
        None => Ok((report, noted)),
    }
}

/// The next chunk, or the error of the source.
fn or_none<T, E>(next: Result<Option<T>, E>) -> (Option<T>, Option<E>) {
    match next {
        Ok(next) => (next, None),
        Err(error) => (None, Some(error)),
    }
}

/// Counts what was ingested, and tells an operator what was not: each rejection at the level of
/// debugging, since a peer can cause as many as it likes.
fn note<M: StateMachine>(inner: &Inner<M>, report: &IngestReport) {
    inner.counts.ingested(report);
    let store = inner.genesis.store_id();
    let mut rejected = 0_usize;
    for (place, rejection) in report.rejected() {
        tracing::debug!(%store, place, reason = %rejection, "op rejected");
        rejected += 1;
    }
    if rejected > 0 {
        let given = report.outcomes.len();
        tracing::warn!(%store, rejected, given, "ops rejected");
    }
    let held = report.held();
    if held > 0 {
        tracing::warn!(%store, held, "ops held: the code of the store type fails on them");
    }
    for op in &report.forked {
        let (author, seq) = (op.author, op.seq);
        tracing::warn!(%store, %author, seq, "this author has written elsewhere, too");
    }
    let (given, applied) = (report.outcomes.len(), report.applied());
    tracing::debug!(%store, given, applied, "ops ingested");
}

/// Ingests a chunk of ops in one transaction. Before it begins, all cores decode the payloads.
/// Returns whether the row about a peer was written.
fn take_in<M: StateMachine>(
    inner: &Inner<M>,
    ops: &[Op],
    whose: &Authors,
    tally: &mut Tally,
    row: Option<(&PubKey, &[u8])>,
) -> Result<bool> {
    let machine = &*inner.machine;
    let each = |(): &mut (), op| (op, decode(machine, op));
    let (decoded, ()) = on_all_cores(ops.iter().collect(), PAYLOADS, || (), each, || ());
    inner.transact(|recorder| {
        let taken = Intake::new(recorder, whose).take_in(decoded)?;
        let Taken {
            events,
            forked,
            held,
        } = taken;
        for (id, event) in events {
            tally.note(id, event);
        }
        tally.forked.extend(forked);
        tally.held.extend(held);
        let Some((peer, value)) = row.filter(|_| tally.is_complete()) else {
            return Ok(false);
        };
        write_peer_row(recorder.tx, peer, PeerRow::Mine, value)?;
        recorder.note_change();
        Ok(true)
    })
}

/// Checks forms and signatures on all cores; the calling thread first runs `write`. An applied op
/// needs no signature check: its id is known, and the id does not cover the signature.
fn check<M: StateMachine, T>(
    inner: &Inner<M>,
    chunk: Vec<Vec<u8>>,
    write: impl FnOnce() -> T,
) -> Result<(Result<Vec<CheckedOp>>, T)> {
    let snapshot = inner.db.snapshot()?;
    let forks = Forks::read(&*snapshot)?;
    let each = |verifier: &mut Verifier, bytes| {
        let op = match Op::decode(bytes, &inner.hasher) {
            Ok(op) => op,
            Err(error) => return Ok(Err((None, error))),
        };
        if is_applied(&*snapshot, forks, &op)? {
            return Ok(Ok(op));
        }
        Ok(match op.verify_by(verifier) {
            Ok(()) => Ok(op),
            Err(error) => Err((Some(op.reference().id), error.into())),
        })
    };
    let (checked, done) = on_all_cores(chunk, SIGNATURES, Verifier::default, each, write);
    Ok((checked.into_iter().collect(), done))
}

fn is_applied(snapshot: &dyn ReadTx, forks: Forks, op: &Op) -> Result<bool> {
    Ok(read_place(snapshot, &op.reference(), forks)?.is_some())
}
