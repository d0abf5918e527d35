//! Creates stores, and opens them; every check runs before the first write.

pub(crate) mod checks;
pub(crate) mod create;
pub(crate) mod error;
pub(crate) mod request;
pub(crate) mod settle;
pub(crate) mod upgrade;

pub use create::create_store;
pub use error::OpenError;
pub use request::{IfCopied, LogicPolicy, OpenRequest};
use upgrade::Proven;
pub use upgrade::{Proof, prove_store};

use std::sync::Arc;

use lattice_meta::StoreId;

use crate::backend::{Access, OpenOptions, StateDb};
use crate::engine::commits::Commits;
use crate::engine::inner::{Inner, Parts};
use crate::engine::open::checks::{Checked, check_db};
use crate::engine::open::settle::{check_held, settle_held};
use crate::engine::write::continue_copy;
use crate::engine::write::state::WriterState;
use crate::machine::{Logic, StateMachine};

/// Opens a store; see [`Engine::open`](crate::engine::Engine::open).
pub(crate) fn open<M: StateMachine>(
    mut request: OpenRequest,
    machine: M,
) -> Result<Inner<M>, OpenError> {
    let machine = Arc::new(machine);
    let read_only = OpenOptions {
        access: Access::ReadOnly,
        ..request.options
    };
    let db = match (request.options.access, request.reader.take()) {
        (Access::ReadWrite, Some(reader)) => reader,
        _ => request.backend.open(&request.path, &read_only)?,
    };
    let checked = closing(&*db, check_db(&*db, &request, machine.logic()))?;
    if request.options.access == Access::ReadOnly {
        closing(
            &*db,
            upgrade::check_reader(&request, &checked, machine.logic()),
        )?;
        return Ok(assemble(db, request, checked, machine, None));
    }
    // Reads what only a writer needs too, before the file is opened for writing.
    closing(&*db, upgrade::load_writer(&*db, &checked))?;
    closing(&*db, check_settling(&*db, &checked, machine.logic()))?;
    let mut proven = closing(&*db, upgrade::prove(&*db, &request, &checked, &machine))?;
    close(&*db, checked.meta.store_id)?;
    let mut needs_upgrade = checked.needs_upgrade(machine.logic());
    let (db, checked, writer) = loop {
        if needs_upgrade {
            upgrade_alone(&request, &machine, proven.take())?;
        }
        let db = request.backend.open(&request.path, &request.options)?;
        let checked = closing(&*db, check_db(&*db, &request, machine.logic()))?;
        needs_upgrade = checked.needs_upgrade(machine.logic());
        if !needs_upgrade {
            let writer = closing(&*db, upgrade::load_writer(&*db, &checked))?;
            break (db, checked, writer);
        }
        // Another process has recorded other logic since.
        close(&*db, checked.meta.store_id)?;
    };
    let (store_id, copied) = (checked.meta.store_id, request.copied);
    let inner = assemble(Arc::clone(&db), request, checked, machine, Some(writer));
    let settled = settle_held(&inner).and_then(|()| match copied {
        IfCopied::Refuse => Ok(false),
        IfCopied::Continue => continue_copy(&inner),
    });
    closing(
        &*db,
        settled.map_err(|source| OpenError::Backend { store_id, source }),
    )?;
    Ok(inner)
}

/// Upgrades a store through a handle of its own, which keeps the turn.
fn upgrade_alone<M: StateMachine>(
    request: &OpenRequest,
    machine: &Arc<M>,
    proven: Option<Proven<M>>,
) -> Result<(), OpenError> {
    let options = OpenOptions {
        work: Some("upgrade"),
        ..request.options
    };
    let db = request.backend.open(&request.path, &options)?;
    let upgraded = check_db(&*db, request, machine.logic()).and_then(|checked| {
        if checked.needs_upgrade(machine.logic()) {
            upgrade::upgrade(&*db, request, &checked, machine, proven)?;
        }
        Ok(checked.meta.store_id)
    });
    let store_id = closing(&*db, upgraded)?;
    close(&*db, store_id)
}

/// Checks that the held ops can be settled; see [`check_held`].
fn check_settling(db: &dyn StateDb, checked: &Checked, logic: &Logic) -> Result<(), OpenError> {
    let store_id = checked.meta.store_id;
    let held = db.snapshot();
    let held = held.and_then(|tx| check_held(&*tx, &checked.hasher(), logic));
    held.map_err(|source| OpenError::Backend { store_id, source })
}

fn assemble<M: StateMachine>(
    db: Arc<dyn StateDb>,
    request: OpenRequest,
    checked: Checked,
    machine: Arc<M>,
    writer: Option<WriterState>,
) -> Inner<M> {
    let Checked {
        genesis,
        meta,
        ledger,
        ..
    } = checked;
    tracing::debug!(
        store = %meta.store_id,
        store_type = %meta.store_type,
        access = ?request.options.access,
        ops = ledger.applied,
        path = %request.path.display(),
        "store opened"
    );
    Inner::new(Parts {
        machine,
        db,
        path: request.path,
        commits: Commits::of(&genesis.hash()),
        genesis,
        schema: meta.schema_version,
        identity: request.identity,
        clock: request.clock,
        applied: ledger.applied,
        writer,
    })
}

fn close(db: &dyn StateDb, store_id: StoreId) -> Result<(), OpenError> {
    db.close()
        .map_err(|source| OpenError::Backend { store_id, source })
}

/// Closes the file if the outcome is an error.
fn closing<T>(db: &dyn StateDb, outcome: Result<T, OpenError>) -> Result<T, OpenError> {
    if outcome.is_err() {
        // The original error counts, not that of closing.
        let _ = db.close();
    }
    outcome
}
