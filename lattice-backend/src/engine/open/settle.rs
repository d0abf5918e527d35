//! Settles held ops: code other than the code that failed on them tries to apply them again.

use crate::backend::{BackendError, ReadTx, Result};
use crate::engine::contain::decode;
use crate::engine::ingest::{Parents, check_parents};
use crate::engine::inner::{Inner, Undo};
use crate::engine::write::recorder::Recorder;
use crate::history::held::{Held, HeldOp, HeldReason, read_held, read_held_logic, write_held};
use crate::machine::{Logic, StateMachine};
use crate::op::{Op, OpHasher};
use crate::state::reads::Reads;

/// The number of ops that one transaction settles.
const CHUNK_OPS: usize = 64;

/// Tries the held ops in causal order, if other code held them. An applied op is no longer held;
/// for every other op it stores why the op could not be applied.
pub(crate) fn settle_held<M: StateMachine>(inner: &Inner<M>) -> Result<()> {
    let mut first = 0;
    if inner.writer()?.held.is_empty() {
        return Ok(());
    }
    loop {
        let numbers = Held::numbers(&*inner.db.snapshot()?, first, CHUNK_OPS)?;
        let store = inner.genesis.store_id();
        tracing::debug!(%store, ops = numbers.len(), "trying held ops again");
        let Some(next) = numbers.last().and_then(|last| last.checked_add(1)) else {
            return Ok(());
        };
        inner.transact(|recorder| {
            for number in numbers {
                settle_one(recorder, number)?;
            }
            Ok::<_, Undo<BackendError>>(())
        })?;
        first = next;
    }
}

/// Reads the held ops that [`settle_held`] would try, so that an unreadable record refuses the
/// store before anything is changed.
pub(crate) fn check_held(tx: &dyn ReadTx, hasher: &OpHasher, logic: &Logic) -> Result<()> {
    let mut first = 0;
    loop {
        let numbers = Held::numbers(tx, first, CHUNK_OPS)?;
        let Some(next) = numbers.last().and_then(|last| last.checked_add(1)) else {
            return Ok(());
        };
        for number in numbers {
            let tried = read_held_logic(tx, number)?;
            if tried.is_some_and(|tried| tried != logic.version().as_str()) {
                read_held(tx, hasher, number)?;
            }
        }
        first = next;
    }
}

fn settle_one<M: StateMachine>(recorder: &mut Recorder<'_, M>, number: u64) -> Result<()> {
    let inner = recorder.inner;
    let logic = inner.machine.logic().version().as_str();
    if read_held_logic(&*recorder.tx, number)?.is_none_or(|tried| tried == logic) {
        return Ok(());
    }
    let Some(held) = read_held(&*recorder.tx, &inner.hasher, number)? else {
        return Ok(());
    };
    let op = &held.op;
    let Some(reason) = apply(recorder, op)? else {
        return Held::remove(recorder.tx, number, &op.reference());
    };
    let tried = HeldOp {
        op: op.clone(),
        logic: logic.to_owned(),
        reason,
    };
    write_held(recorder.tx, number, &tried)?;
    recorder.note_change();
    Ok(())
}

/// Applies a held op. Returns the reason if this code cannot apply it either.
fn apply<M: StateMachine>(recorder: &mut Recorder<'_, M>, op: &Op) -> Result<Option<HeldReason>> {
    let fault = match check_parents(recorder, op)? {
        // An op is held only once its parents are present and dated before it.
        Parents::Held(parent) | Parents::Missing { first: parent, .. } => {
            return Ok(Some(HeldReason::Follows { parent }));
        }
        Parents::Later(rejection) => rejection.to_string(),
        Parents::Applied => {
            let decoded = decode(&*recorder.inner.machine, op);
            match recorder.stage(op, decoded, Reads::default()) {
                Ok(staged) => {
                    recorder.record(op, staged)?;
                    return Ok(None);
                }
                Err(BackendError::Fault(fault)) => fault.to_string(),
                Err(error) => return Err(error),
            }
        }
    };
    Ok(Some(HeldReason::Fault { message: fault }))
}

/// Carries the held ops of one store over to another store with the same history: applies those
/// that it can, and holds the rest.
pub(crate) fn carry_over<M: StateMachine>(from: &dyn ReadTx, to: &Inner<M>) -> Result<()> {
    let mut first = 0;
    loop {
        let numbers = Held::numbers(from, first, CHUNK_OPS)?;
        let Some(next) = numbers.last().and_then(|last| last.checked_add(1)) else {
            return Ok(());
        };
        to.transact(|recorder| {
            for number in numbers {
                let Some(held) = read_held(from, &recorder.inner.hasher, number)? else {
                    continue;
                };
                if let Some(reason) = apply(recorder, &held.op)? {
                    recorder.hold(held.op, reason)?;
                }
            }
            Ok::<_, Undo<BackendError>>(())
        })?;
        first = next;
    }
}
