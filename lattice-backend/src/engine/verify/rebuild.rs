//! Recomputes a store from its history.

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use lattice_meta::StateHash;

use crate::backend::{BackendError, Direction, OpenOptions, ReadTx, StateBackend, StateDb, Table};
use crate::engine::inner::{Inner, Undo};
use crate::engine::open::checks::check;
use crate::engine::open::settle::carry_over;
use crate::engine::open::{OpenError, create_store};
use crate::engine::verify::replay::{Replay, Signatures};
use crate::engine::verify::{Difference, OpFault};
use crate::history::copied::Copied;
use crate::history::system::Ledger;
use crate::machine::StateMachine;
use crate::progress::ProgressSink;

/// The result of a rebuild.
#[derive(Debug)]
pub struct Rebuilt {
    /// The number of ops in the history.
    pub ops: u64,
    /// The state hash of the old file.
    pub before: StateHash,
    /// The state hash of the new file.
    pub after: StateHash,
    /// The first op whose effect has changed, if there is one.
    pub difference: Difference,
}

/// Creates a store at `target` from the history of the store at `path`, by the given logic. Checks
/// all signatures. The old store stays unchanged. `held` is the old store, open for writing so that
/// no other process writes to it; the caller closes it once the new file has replaced the old one.
///
/// # Errors
/// See [`OpenError`]; [`OpenError::History`] for a history with faults. An error may leave an
/// unusable file at `target`.
pub fn rebuild_store<M: StateMachine>(
    backend: &dyn StateBackend,
    held: &dyn StateDb,
    path: &Path,
    target: &Path,
    machine: M,
    progress: &ProgressSink,
) -> Result<Rebuilt, OpenError> {
    let machine = Arc::new(machine);
    let peek = |source| {
        let path = path.to_path_buf();
        OpenError::Peek(crate::backend::PeekError::Backend { path, source })
    };
    let tx = held.snapshot().map_err(peek)?;
    let checked = check(&*tx, path, machine.logic())?;
    let store_id = checked.meta.store_id;
    let _span = tracing::info_span!("rebuild", store = %store_id).entered();
    let failed = |source| OpenError::Backend { store_id, source };
    let (genesis, logic) = (checked.genesis, machine.logic().version().clone());
    let schema = machine.logic().newest_schema();
    create_store(backend, target, &genesis, schema, &logic)?;
    let made = backend.open(target, &OpenOptions::read_write())?;
    let genesis_hash = genesis.hash();
    let replay =
        Replay::begin(Arc::clone(&made), target.to_path_buf(), machine, genesis).map_err(failed)?;
    let mut replayed = replay
        .run(&*tx, Signatures::Check, progress)
        .map_err(failed)?;
    // A rebuild would lose ops beyond those that the store counts.
    let applied = checked.ledger.applied;
    if has_ops_from(&*tx, applied).map_err(failed)? {
        let fault = OpFault::Uncounted;
        replayed.faults.push((applied, None, fault));
    }
    if !replayed.faults.is_empty() {
        let shown = |(index, _, fault)| format!("op at index {index}: {fault}");
        let faults = replayed.faults.into_iter().map(shown).collect();
        return Err(OpenError::History { store_id, faults });
    }
    carry_over(&*tx, &replay.inner)
        .and_then(|()| carry_copied(&*tx, &replay.inner))
        .map_err(failed)?;
    let after = made
        .snapshot()
        .and_then(|tx| Ledger::read(&*tx))
        .map_err(failed)?;
    made.close().map_err(failed)?;
    tracing::info!(ops = after.applied, "state computed from the history");
    Ok(Rebuilt {
        ops: after.applied,
        before: checked.ledger.state.state_hash(&genesis_hash),
        after: after.state.state_hash(&genesis_hash),
        difference: Difference {
            op: replayed.difference,
            ..Difference::default()
        },
    })
}

/// An unconfirmed copy stays one.
fn carry_copied<M: StateMachine>(from: &dyn ReadTx, to: &Inner<M>) -> crate::backend::Result<()> {
    let Some(copied) = Copied::read(from)? else {
        return Ok(());
    };
    to.transact(|recorder| {
        copied.write(recorder.tx)?;
        recorder.note_change();
        Ok::<_, Undo<BackendError>>(())
    })
}

/// Whether the table of ops has a row at this apply index or after it.
fn has_ops_from(tx: &dyn ReadTx, index: u64) -> crate::backend::Result<bool> {
    let from = index.to_be_bytes();
    let span = (Bound::Included(&from[..]), Bound::Unbounded);
    let mut rows = tx.range(Table::Ops, span, Direction::Forward)?;
    Ok(rows.next()?.is_some())
}
