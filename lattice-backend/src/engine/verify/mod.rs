//! Whether a store's state is what its history says, and its history whole.

mod check;
pub(crate) mod compare;
pub(crate) mod difference;
pub(crate) mod finding;
mod rebuild;
pub(crate) mod replay;
pub(crate) mod signatures;

pub use difference::{Difference, HashDifference, OpDifference, RowDifference};
pub use finding::{Depth, EffectFinding, Finding, OpFault, Verification};
pub use rebuild::{Rebuilt, rebuild_store};

use std::sync::Arc;
use std::thread::ScopedJoinHandle;

use lattice_meta::SchemaVersion;

use crate::backend::{
    BackendError, Direction, EVERYTHING, Integrity, ReadTx, Result, StateBackend, Table,
};
use crate::engine::read::exchange;
use crate::engine::verify::compare::Comparison;
use crate::engine::verify::replay::{Replay, Replayed, Signatures};
use crate::engine::{Engine, Inner};
use crate::history::system::{LOGIC, Ledger};
use crate::history::{View, read_op};
use crate::machine::{History, LogicVersion, StateMachine};
use crate::progress::{Stage, Watch};
use crate::state::{Accumulator, ElementChanges, ElementHasher};

/// Rows after which a watcher is told again.
pub(crate) const TELL_ROWS: u64 = 4096;

impl<M: StateMachine> Engine<M> {
    /// Verifies the store as it is now, by a view that writes going on do not show in. Nothing of
    /// the store is changed.
    ///
    /// A full verification makes a second store out of the history, in a
    /// [scratch](StateBackend::scratch) database of `backend`, and compares the two. It looks at
    /// no checksums of the engine: [`StateBackend::check_integrity`] does.
    ///
    /// # Errors
    /// What the engine underneath reports, where it keeps the verification from going on. What is
    /// wrong with the store itself is a [`Finding`].
    pub fn verify(
        &self,
        depth: Depth,
        backend: &dyn StateBackend,
        watch: &Watch,
    ) -> Result<Verification> {
        self.inner.check_usable()?;
        let tx = self.inner.db.snapshot()?;
        let ledger = Ledger::read(&*tx)?;
        self.inner.check_schema(&*tx)?;
        let mut findings = Vec::new();
        let logic = self.inner.machine.logic_version();
        let recorded = recorded_logic(&*tx, &logic, &mut findings)?;
        let mut of_history = Vec::new();
        let (state, history) = match depth {
            Depth::Quick => (self.inner.rescan(&*tx, watch), Ok(())),
            // The rows are read beside the replay; whoever watches is told of that.
            Depth::Full => std::thread::scope(|scope| {
                let rescan = scope.spawn(|| self.inner.rescan(&*tx, &Watch::default()));
                let history = self
                    .inner
                    .verify_history(&*tx, backend, watch, &mut of_history);
                (join(rescan), history)
            }),
        };
        let (state, history) = of_both(state, history)?;
        let state = found_damage(state, &mut findings)?;
        let forks = found_damage(exchange::count_forks(&*tx), &mut findings)?;
        // Rows that cannot be read have no hash: the recorded one is all that is known.
        let state = state.unwrap_or_else(|| ledger.state.clone());
        let mut verification = Verification {
            depth,
            ops: ledger.applied,
            elements: state.element_count(),
            state_hash: state.state_hash(&self.inner.genesis_hash),
            forks: forks.unwrap_or(0),
            recorded_logic: recorded,
            logic,
            checksums: Integrity::None,
            findings,
        };
        let found = ledger.state.state_hash(&self.inner.genesis_hash);
        if found != verification.state_hash {
            let expected = verification.state_hash;
            let difference = HashDifference { expected, found };
            verification.findings.push(Finding::StateHash(difference));
        }
        verification.findings.append(&mut of_history);
        found_damage(history, &mut verification.findings)?;
        Ok(verification)
    }
}

/// Damage that the tables cannot be read over is what is looked for: it is a finding.
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

/// The logic that is recorded, which can be another than the one at hand, but must be one.
fn recorded_logic(
    tx: &dyn ReadTx,
    logic: &LogicVersion,
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
            expected: Some(logic.as_str().into()),
            found: Some(recorded),
        }));
    }
    Ok(shown)
}

/// The sum of the elements of all rows.
pub(crate) fn rescan<M: StateMachine>(
    machine: &M,
    schema: SchemaVersion,
    tx: &dyn ReadTx,
    history: &dyn History,
    watch: &Watch,
) -> Result<Accumulator> {
    let hasher = ElementHasher::default();
    let mut all = ElementChanges::default();
    let mut elements = all.gather(&hasher);
    let mut rows = tx.range(Table::Data, EVERYTHING, Direction::Forward)?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        machine.elements(schema, row, history, &mut |key, value| {
            elements.insert(key, value)
        })?;
        count += 1;
        if count % TELL_ROWS == 0 {
            watch.tell(Stage::Rows, count, None);
        }
    }
    drop(elements);
    let mut sum = Accumulator::default();
    sum.change(&all)?;
    Ok(sum)
}

/// What two threads have found. A disk that failed under one of them gives the other an error without a
/// cause, which is not the one to report.
fn of_both<A, B>(one: Result<A>, other: Result<B>) -> Result<(Result<A>, Result<B>)> {
    match (one, other) {
        (Err(BackendError::Unusable), Err(cause)) => Err(cause),
        both => Ok(both),
    }
}

/// What another thread has found; its panic goes on here.
fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

impl<M: StateMachine> Inner<M> {
    fn rescan(&self, tx: &dyn ReadTx, watch: &Watch) -> Result<Accumulator> {
        let history = View::new(tx, self.hasher.clone());
        rescan(&*self.machine, self.schema, tx, &history, watch)
    }

    /// Makes a second store out of the history.
    pub(crate) fn replay(
        &self,
        tx: &(dyn ReadTx + Send + Sync),
        backend: &dyn StateBackend,
        signatures: Signatures,
        watch: &Watch,
    ) -> Result<(Replay<M>, Replayed)> {
        let scratch = backend
            .scratch()
            .map_err(|error| BackendError::storage("making a scratch database", error))?;
        let (machine, genesis) = (Arc::clone(&self.machine), self.genesis.clone());
        let replay = Replay::begin(scratch, self.path.clone(), machine, genesis)?;
        let replayed = replay.run(tx, signatures, watch)?;
        Ok((replay, replayed))
    }

    fn verify_history(
        &self,
        tx: &(dyn ReadTx + Send + Sync),
        backend: &dyn StateBackend,
        watch: &Watch,
        findings: &mut Vec<Finding>,
    ) -> Result<()> {
        let (replay, replayed) = self.replay(tx, backend, Signatures::Check, watch)?;
        for (index, op, fault) in replayed.faults {
            let read = match op {
                Some(_) => read_op(tx, &self.hasher, index)?,
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
        findings.extend(
            replayed
                .difference
                .map(|op| Finding::Effect(EffectFinding(op))),
        );
        if replayed.is_cut {
            // The rest of the history is not known, and so is what the tables must hold.
            return Ok(());
        }
        let second = replay.inner.db.snapshot()?;
        let compared = Comparison {
            first: tx,
            second: &*second,
            watch,
        };
        compared.ledgers(&self.genesis_hash, findings)?;
        let is_same_schema = self.schema == replay.schema();
        let (data, ops) = std::thread::scope(|scope| {
            // Beside the ops, whose comparison tells the watcher nothing.
            let data = scope.spawn(|| match is_same_schema {
                true => Comparison {
                    first: tx,
                    second: &*second,
                    watch,
                }
                .table(Table::Data),
                false => Ok(None),
            });
            let ops = match has_other_effect {
                true => Ok(None),
                false => compared.ops(),
            };
            (join(data), ops)
        });
        let (data, ops) = of_both(data, ops)?;
        findings.extend(data?.map(Finding::Row));
        findings.extend(ops?.map(Finding::Row));
        compared.meta(findings)?;
        compared.system_and_index(findings)
    }
}
