//! Checks that a store's state matches its history, and that the history is intact.

mod check;
pub(crate) mod compare;
pub(crate) mod difference;
pub(crate) mod finding;
mod held;
pub(crate) mod mirror;
mod rebuild;
pub(crate) mod replay;

pub(crate) use check::check_ops;
pub use difference::{Difference, HashDifference, OpDifference, RowDifference};
pub use finding::{Depth, Finding, OpFault, Verification};
pub use rebuild::{Rebuilt, rebuild_store};

use std::sync::Arc;

use lattice_meta::SchemaVersion;

use crate::backend::{
    BackendError, CountedRows, Direction, EVERYTHING, Integrity, ReadTx, Result, StateBackend,
    StateDb, Table,
};
use crate::cores::both;
use crate::engine::Inner;
use crate::engine::contain::contain;
use crate::engine::read::forks;
use crate::engine::verify::compare::Comparison;
use crate::engine::verify::held::{check_held, check_places};
use crate::engine::verify::mirror::{Base, Mirror};
use crate::engine::verify::replay::{Replay, Signatures};
use crate::history::copied::Copied;
use crate::history::peers::check_peer_rows;
use crate::history::system::{LOGIC, Ledger};
use crate::history::{View, read_op};
use crate::machine::{History, Logic, LogicVersion, StateMachine};
use crate::op::ApplyIndex;
use crate::progress::{Counted, ProgressSink, Stage};
use crate::state::{Accumulator, ElementHasher};

/// Verifies a store; see [`Engine::verify`](crate::engine::Engine::verify).
pub(crate) fn verify<M: StateMachine>(
    inner: &Inner<M>,
    depth: Depth,
    backend: &dyn StateBackend,
    progress: &ProgressSink,
) -> Result<Verification> {
    inner.check_usable()?;
    let tx = inner.db.snapshot()?;
    let ledger = Ledger::read(&*tx)?;
    inner.check_schema(&*tx)?;
    let (mut findings, mut of_held) = (Vec::new(), Vec::new());
    let logic = inner.machine.logic().version().clone();
    let recorded = recorded_logic(&*tx, inner.machine.logic(), depth, &mut findings)?;
    // The history determines neither whether the store is a copy nor what it keeps about peers, so
    // only the form is checked.
    found_damage(Copied::read(&*tx), &mut findings)?;
    found_damage(check_peer_rows(&*tx), &mut findings)?;
    let mut of_history = Vec::new();
    let (state, history) = match depth {
        Depth::Quick => (rescan_state(inner, &*tx, progress), Ok(())),
        // Most stores are sound. Of others, a second replay finds the damage; it uses nothing of
        // the store but its ops.
        Depth::Full if is_proven(inner, &tx, backend, progress)? => {
            (Ok(ledger.state.clone()), Ok(()))
        }
        // Another thread reads the rows during the replay, which alone reports progress.
        Depth::Full => both(
            || rescan_state(inner, &*tx, &ProgressSink::default()),
            || verify_history(inner, &*tx, backend, progress, &mut of_history),
        ),
    };
    let (state, history) = of_both(state, history)?;
    let state = found_damage(state, &mut findings)?;
    let forks = found_damage(forks::count_forks(&*tx), &mut findings)?;
    let held = check_held(inner, &*tx, &mut of_held);
    let (held, held_ops) = found_damage(held, &mut findings)?.unwrap_or((0, Vec::new()));
    findings.append(&mut of_held);
    // Rows that cannot be read have no hash: only the recorded one is known.
    let state = state.unwrap_or_else(|| ledger.state.clone());
    let mut verification = Verification {
        depth,
        ops: ledger.applied,
        elements: state.element_count(),
        state_hash: state.state_hash(&inner.genesis_hash),
        forks: forks.unwrap_or(0),
        held,
        held_ops,
        recorded_logic: recorded,
        logic,
        checksums: Integrity::None,
        findings,
    };
    let found = ledger.state.state_hash(&inner.genesis_hash);
    if found != verification.state_hash {
        let expected = verification.state_hash;
        let difference = HashDifference { expected, found };
        verification.findings.push(Finding::StateHash(difference));
    }
    verification.findings.append(&mut of_history);
    found_damage(history, &mut verification.findings)?;
    Ok(verification)
}

/// Turns damage that prevents reading a table into a finding: a verification looks for damage.
fn found_damage<T>(read: Result<T>, findings: &mut Vec<Finding>) -> Result<Option<T>> {
    match read {
        Err(error @ (BackendError::Damaged { .. } | BackendError::Row { .. })) => {
            let detail = error.to_string();
            findings.push(Finding::Damaged { detail });
            Ok(None)
        }
        read => read.map(Some),
    }
}

/// The recorded version of the logic, which must be a well-formed one. Nothing in a store proves
/// which logic computed it: a full verification reports a version that the given logic neither has
/// nor names as equal.
fn recorded_logic(
    tx: &dyn ReadTx,
    logic: &Logic,
    depth: Depth,
    findings: &mut Vec<Finding>,
) -> Result<String> {
    let missing = || BackendError::row(Table::System, "the version of the store's logic", "none");
    let recorded = tx.get(Table::System, LOGIC)?.ok_or_else(missing)?;
    let is_one = std::str::from_utf8(&recorded).is_ok_and(|text| LogicVersion::new(text).is_ok());
    let shown = recorded.escape_ascii().to_string();
    if !is_one {
        findings.push(Finding::Row(RowDifference {
            table: Table::System,
            key: LOGIC.to_vec(),
            expected: Some(logic.version().as_str().into()),
            found: Some(recorded),
        }));
    } else if depth == Depth::Full && !logic.computes_as(&shown) {
        findings.push(Finding::Logic {
            recorded: shown.clone(),
            current: logic.version().clone(),
        });
    }
    Ok(shown)
}

/// The sum of the elements of all rows.
pub(crate) fn rescan<M: StateMachine>(
    machine: &M,
    schema: SchemaVersion,
    tx: &dyn ReadTx,
    history: &dyn History,
    progress: &ProgressSink,
) -> Result<Accumulator> {
    let hasher = ElementHasher::default();
    let mut elements = hasher.gather();
    let mut counted = Counted::new(progress, Stage::Rows, tx.row_count(Table::Data)?);
    let mut rows = CountedRows {
        rows: tx.range(Table::Data, EVERYTHING, Direction::Forward)?,
        counted: &mut counted,
    };
    contain(|| {
        machine.elements_of(schema, &mut rows, history, &mut |_, key, value| {
            elements.insert(key, value);
        })
    })?;
    let mut sum = Accumulator::default();
    sum.change(&elements.sum())?;
    Ok(sum)
}

/// Combines the results of two threads. If the disk fails under one thread, the other one fails
/// with an error without a cause, which is not the one to report.
fn of_both<A, B>(one: Result<A>, other: Result<B>) -> Result<(Result<A>, Result<B>)> {
    match (one, other) {
        (Err(BackendError::Unusable { .. }), Err(cause)) => Err(cause),
        both => Ok(both),
    }
}

fn rescan_state<M: StateMachine>(
    inner: &Inner<M>,
    tx: &dyn ReadTx,
    progress: &ProgressSink,
) -> Result<Accumulator> {
    let history = View::new(tx, inner.hasher.clone());
    rescan(&*inner.machine, inner.schema, tx, &history, progress)
}

fn scratch(backend: &dyn StateBackend) -> Result<Arc<dyn StateDb>> {
    let scratch = backend.scratch();
    scratch.map_err(|error| BackendError::storage("making a scratch database", error))
}

/// Begins a replay of the store in an empty database.
fn begin_replay<M: StateMachine>(inner: &Inner<M>, db: Arc<dyn StateDb>) -> Result<Replay<M>> {
    let (machine, genesis) = (Arc::clone(&inner.machine), inner.genesis.clone());
    Replay::begin(db, inner.path.clone(), machine, genesis)
}

/// Whether a replay, which keeps only the rows that differ, finds nothing. The rows then have the
/// recorded state hash: the replay has computed it from the elements of the same rows.
fn is_proven<M: StateMachine>(
    inner: &Inner<M>,
    tx: &Base,
    backend: &dyn StateBackend,
    progress: &ProgressSink,
) -> Result<bool> {
    if !Mirror::has_room_for(&**tx)? {
        return Ok(false);
    }
    match replay_beside(inner, tx, backend, progress) {
        Err(BackendError::Damaged { .. } | BackendError::Row { .. }) => Ok(false),
        proven => proven,
    }
}

fn replay_beside<M: StateMachine>(
    inner: &Inner<M>,
    tx: &Base,
    backend: &dyn StateBackend,
    progress: &ProgressSink,
) -> Result<bool> {
    let mirror = Arc::new(Mirror::new(Arc::clone(tx), scratch(backend)?)?);
    let db: Arc<dyn StateDb> = mirror.clone();
    let replay = begin_replay(inner, db)?;
    let tx = &**tx;
    let replayed = replay.run(tx, Signatures::Check, progress)?;
    if !replayed.faults.is_empty()
        || replayed.difference.is_some()
        || inner.schema != replay.schema()
    {
        return Ok(false);
    }
    let rows = tx.row_count(Table::Data)?;
    progress.report(Stage::Rows, 0, rows);
    // While another thread compares the last rows of the state, this one counts ops.
    if !mirror.are_same(&[Table::Ops, Table::Data])? {
        return Ok(false);
    }
    if let Some(all) = rows {
        progress.report(Stage::Rows, all, rows);
    }
    let second = replay.inner.db.snapshot()?;
    let mut findings = Vec::new();
    let compared = Comparison {
        first: tx,
        second: &*second,
        progress,
    };
    compared.ledgers(&inner.genesis_hash, &mut findings)?;
    compared.meta(&mut findings)?;
    compared.system_and_index(&mut findings)?;
    check_places(inner, tx, &*second, &mut findings)?;
    Ok(findings.is_empty())
}

fn verify_history<M: StateMachine>(
    inner: &Inner<M>,
    tx: &(dyn ReadTx + Send + Sync),
    backend: &dyn StateBackend,
    progress: &ProgressSink,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let replay = begin_replay(inner, scratch(backend)?)?;
    let replayed = replay.run(tx, Signatures::Check, progress)?;
    for (index, op, fault) in replayed.faults {
        let index = ApplyIndex::new(index);
        let read = match op {
            Some(_) => read_op(tx, &inner.hasher, index)?,
            None => None,
        };
        findings.push(Finding::Op {
            index,
            op,
            author: op.map(|op| op.author),
            hlc: read.map(|op| op.hlc()),
            fault,
        });
    }
    if replayed.more_faults > 0 {
        let count = replayed.more_faults;
        findings.push(Finding::MoreOps { count });
    }
    let has_other_effect = replayed.difference.is_some();
    findings.extend(replayed.difference.map(Finding::Effect));
    if replayed.is_cut {
        // The rest of the history is unknown, and so are the expected tables.
        return Ok(());
    }
    let second = replay.inner.db.snapshot()?;
    let compared = Comparison {
        first: tx,
        second: &*second,
        progress,
    };
    compared.ledgers(&inner.genesis_hash, findings)?;
    let is_same_schema = inner.schema == replay.schema();
    // In parallel, since the comparison of ops reports no progress.
    let (data, ops) = both(
        || match is_same_schema {
            true => Comparison {
                first: tx,
                second: &*second,
                progress,
            }
            .table(Table::Data),
            false => Ok(None),
        },
        || match has_other_effect {
            true => Ok(None),
            false => Comparison {
                progress: &ProgressSink::default(),
                ..compared
            }
            .table(Table::Ops),
        },
    );
    let (data, ops) = of_both(data, ops)?;
    findings.extend(data?.map(Finding::Row));
    findings.extend(ops?.map(Finding::Row));
    compared.meta(findings)?;
    compared.system_and_index(findings)?;
    check_places(inner, tx, &*second, findings)
}
