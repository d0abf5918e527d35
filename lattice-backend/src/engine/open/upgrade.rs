//! Upgrades a store that older code wrote: migrates its layout, and replays the history to prove
//! that other logic agrees.

use std::sync::Arc;

use lattice_meta::{MetaKey, SchemaVersion, StoreId};

use crate::backend::{Access, BackendError, OpenOptions, ReadTx, StateDb, Table, Ticket, WriteTx};
use crate::engine::open::checks::{Checked, check_db};
use crate::engine::open::error::OpenError;
use crate::engine::open::request::{LogicPolicy, OpenRequest};
use crate::engine::verify::compare::Comparison;
use crate::engine::verify::replay::{Replay, Signatures};
use crate::engine::verify::{Difference, HashDifference, rescan};
use crate::engine::write::state::WriterState;
use crate::history::View;
use crate::history::system::{LOGIC, Ledger};
use crate::machine::{Logic, StateMachine};
use crate::op::OpHasher;
use crate::progress::Stage;
use crate::state::data_table::DataTableMut;

/// The proof that other logic agrees with a store's history, up to this state of the store.
pub(crate) struct Proven<M: StateMachine> {
    ledger: Ledger,
    replay: Replay<M>,
}

/// Checks that a store opened for reading needs no write, unless the policy accepts it unchanged.
pub(crate) fn check_reader(
    request: &OpenRequest,
    checked: &Checked,
    logic: &Logic,
) -> Result<(), OpenError> {
    if request.logic == LogicPolicy::Trust {
        return Ok(());
    }
    let meta = &checked.meta;
    let newest = logic.newest_schema();
    if meta.schema_version < newest {
        return Err(OpenError::NeedsMigration {
            store_id: meta.store_id,
            store_type: meta.store_type.clone(),
            newest,
            found: meta.schema_version,
        });
    }
    refuse_other_logic(checked, logic)
}

fn refuse_other_logic(checked: &Checked, logic: &Logic) -> Result<(), OpenError> {
    match &checked.other_logic {
        None => Ok(()),
        Some(recorded) => Err(OpenError::LogicChanged {
            store_id: checked.meta.store_id,
            recorded: recorded.clone(),
            current: logic.version().clone(),
        }),
    }
}

/// If the policy requires it, replays the history by the given logic and returns the proof.
pub(crate) fn prove<M: StateMachine>(
    db: &dyn StateDb,
    request: &OpenRequest,
    checked: &Checked,
    machine: &Arc<M>,
) -> Result<Option<Proven<M>>, OpenError> {
    let Some(recorded) = &checked.other_logic else {
        return Ok(None);
    };
    match request.logic {
        LogicPolicy::Refuse => refuse_other_logic(checked, machine.logic())?,
        LogicPolicy::Trust => return Ok(None),
        LogicPolicy::Replay | LogicPolicy::Prove => {}
    }
    let store_id = checked.meta.store_id;
    let failed = |source| OpenError::Backend { store_id, source };
    let tx = db.snapshot().map_err(failed)?;
    let (proven, difference) = replay(&*tx, request, checked, machine)?;
    if difference.is_none() {
        return Ok(Some(proven));
    }
    Err(OpenError::LogicDiffers {
        store_id,
        recorded: recorded.clone(),
        current: machine.logic().version().clone(),
        ops: proven.ledger.applied,
        difference: Box::new(difference),
    })
}

/// The result of replaying a store's history by other logic.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Proof {
    /// The store.
    pub store_id: StoreId,
    /// The recorded version of the logic.
    pub recorded: String,
    /// The number of replayed ops.
    pub ops: u64,
    /// Where the logic differs; empty if it computes the same state.
    pub difference: Difference,
}

/// Replays a store's history by any logic of its type, without changing the store.
///
/// # Errors
/// See [`OpenError`].
pub fn prove_store<M: StateMachine>(request: OpenRequest, machine: M) -> Result<Proof, OpenError> {
    let options = OpenOptions {
        access: Access::ReadOnly,
        ..request.options
    };
    let db = request.backend.open(&request.path, &options)?;
    let proof = || {
        let checked = check_db(&*db, &request, machine.logic())?;
        let store_id = checked.meta.store_id;
        let failed = |source| OpenError::Backend { store_id, source };
        let tx = db.snapshot().map_err(failed)?;
        let machine = Arc::new(machine);
        let (proven, difference) = replay(&*tx, &request, &checked, &machine)?;
        Ok(Proof {
            store_id,
            recorded: checked.recorded_logic,
            ops: proven.ledger.applied,
            difference,
        })
    };
    let proof = proof();
    let store_id = request.expected;
    match (db.close(), store_id) {
        (Err(source), Some(store_id)) if proof.is_ok() => {
            Err(OpenError::Backend { store_id, source })
        }
        _ => proof,
    }
}

/// Replays a store's history and returns where it differs from the store.
fn replay<M: StateMachine>(
    tx: &(dyn ReadTx + Send + Sync),
    request: &OpenRequest,
    checked: &Checked,
    machine: &Arc<M>,
) -> Result<(Proven<M>, Difference), OpenError> {
    let store_id = checked.meta.store_id;
    let _span = tracing::info_span!(
        "replay",
        store = %store_id,
        recorded = %checked.recorded_logic,
        logic = %machine.logic().version(),
    )
    .entered();
    let failed = |source| OpenError::Backend { store_id, source };
    let scratch = request.backend.scratch()?;
    let (path, genesis) = (request.path.clone(), checked.genesis.clone());
    let replay = Replay::begin(scratch, path, Arc::clone(machine), genesis).map_err(failed)?;
    let replayed = replay
        .run(tx, Signatures::Trust, &request.progress)
        .map_err(failed)?;
    if !replayed.faults.is_empty() {
        let shown = |(index, _, fault)| format!("op at index {index}: {fault}");
        let faults = replayed.faults.into_iter().map(shown).collect();
        return Err(OpenError::History { store_id, faults });
    }
    let compare = || {
        let second = replay.inner.db.snapshot()?;
        let compared = Comparison {
            first: tx,
            second: &*second,
            progress: &request.progress,
        };
        let (found, expected) = (Ledger::read(tx)?, Ledger::read(&*second)?);
        let genesis = checked.genesis.hash();
        let state = HashDifference {
            expected: expected.state.state_hash(&genesis),
            found: found.state.state_hash(&genesis),
        };
        let row = match checked.meta.schema_version == replay.schema() {
            true => compared.table(Table::Data)?,
            // Rows of different layouts are compared after the migration.
            false => None,
        };
        Ok(Difference {
            op: replayed.difference,
            state: (state.expected != state.found).then_some(state),
            row,
        })
    };
    let difference = compare().map_err(failed)?;
    tracing::info!(
        ops = checked.ledger.applied,
        is_same = difference.is_none(),
        "history replayed"
    );
    let ledger = checked.ledger.clone();
    Ok((Proven { ledger, replay }, difference))
}

/// Upgrades a store that is open for writing, in one transaction. The handle keeps the turn.
pub(crate) fn upgrade<M: StateMachine>(
    db: &dyn StateDb,
    request: &OpenRequest,
    checked: &Checked,
    machine: &Arc<M>,
    mut proven: Option<Proven<M>>,
) -> Result<(), OpenError> {
    let store_id = checked.meta.store_id;
    let failed = |source| OpenError::Backend { store_id, source };
    // Another process may have written since the replay.
    let is_still_so = proven
        .as_ref()
        .is_some_and(|proven| proven.ledger == checked.ledger);
    if !is_still_so {
        proven = prove(db, request, checked, machine)?;
    }
    let (from, to) = (checked.meta.schema_version, machine.logic().newest_schema());
    let past = db.snapshot().map_err(failed)?;
    let upgrade = Upgrade {
        request,
        checked,
        machine: &**machine,
        past: &*past,
        proven: proven.as_ref(),
    };
    let mut tx = db.begin_write().map_err(failed)?;
    let refused = upgrade.write(&mut *tx, from, to).map_err(failed)?;
    if let Some(difference) = refused {
        return Err(OpenError::MigrationDiffers {
            store_id,
            from,
            to,
            difference: Box::new(difference),
        });
    }
    tx.commit().and_then(Ticket::wait).map_err(failed)?;
    let (from, to) = (from.get(), to.get());
    let logic = machine.logic().version();
    tracing::info!(store = %store_id, from_schema = from, schema = to, %logic, "store upgraded");
    Ok(())
}

/// Reads the state of the writer.
pub(crate) fn load_writer(db: &dyn StateDb, checked: &Checked) -> Result<WriterState, OpenError> {
    let store_id = checked.meta.store_id;
    let hasher = checked.hasher();
    db.snapshot()
        .and_then(|tx| WriterState::load(&*tx, &hasher))
        .map_err(|source| OpenError::Backend { store_id, source })
}

struct Upgrade<'a, M: StateMachine> {
    request: &'a OpenRequest,
    checked: &'a Checked,
    machine: &'a M,
    /// Snapshot before the upgrade; an upgrade does not change history.
    past: &'a dyn ReadTx,
    proven: Option<&'a Proven<M>>,
}

impl<M: StateMachine> Upgrade<'_, M> {
    /// Writes the upgrade. Returns the difference that forbids it, if there is one.
    fn write(
        &self,
        tx: &mut dyn WriteTx,
        from: SchemaVersion,
        to: SchemaVersion,
    ) -> Result<Option<Difference>, BackendError> {
        if from < to {
            if let Some(difference) = self.migrate(tx, from, to)? {
                return Ok(Some(difference));
            }
            let key = MetaKey::SchemaVersion.to_bytes();
            tx.put(Table::Meta, &key, &to.get().to_le_bytes())?;
        }
        let logic = self.machine.logic().version();
        tx.put(Table::System, LOGIC, logic.as_str().as_bytes())?;
        Ok(None)
    }

    fn migrate(
        &self,
        tx: &mut dyn WriteTx,
        from: SchemaVersion,
        to: SchemaVersion,
    ) -> Result<Option<Difference>, BackendError> {
        let progress = &self.request.progress;
        let genesis = self.checked.genesis.hash();
        let history = View::new(self.past, OpHasher::new(&genesis));
        let steps = to.get() - from.get();
        for step in 0..steps {
            progress.report(Stage::Migration, step, Some(steps));
            let from = SchemaVersion::new(from.get() + step);
            self.machine
                .migrate(from, &mut DataTableMut(tx), &history)?;
        }
        progress.report(Stage::Migration, steps, Some(steps));
        let state = rescan(self.machine, to, &*tx, &history, progress)?;
        let state = (state != self.checked.ledger.state).then(|| HashDifference {
            expected: self.checked.ledger.state.state_hash(&genesis),
            found: state.state_hash(&genesis),
        });
        let row = match self.proven {
            // A replay computes the new rows from the history, so they can be compared.
            Some(proven) => {
                let second = proven.replay.inner.db.snapshot()?;
                Comparison {
                    first: &*tx,
                    second: &*second,
                    progress,
                }
                .table(Table::Data)?
            }
            None => None,
        };
        let difference = Difference {
            op: None,
            state,
            row,
        };
        Ok((!difference.is_none()).then_some(difference))
    }
}
