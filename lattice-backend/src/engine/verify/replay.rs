//! The whole history once more, beside the store: what its state must be.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use lattice_meta::{Genesis, SchemaVersion};

use crate::backend::{BackendError, ReadTx, Result, StateDb, Table, Verdict};
use crate::clock::SystemClock;
use crate::engine::Inner;
use crate::engine::ingest::Parents;
use crate::engine::open::{Parts, give_birth};
use crate::engine::verify::signatures::{Bad, Checking, Ops};
use crate::engine::verify::{OpDifference, OpFault};
use crate::engine::write::recorder::Recorder;
use crate::engine::write::state::WriterState;
use crate::history::read_applied;
use crate::history::system::{GENESIS, Ledger};
use crate::machine::StateMachine;
use crate::op::{OpHasher, OpRef};
use crate::progress::{Stage, Watch};

/// Ops that one transaction takes, at the most.
const CHUNK_OPS: u64 = 1024;
/// Bytes after which a transaction takes no more ops.
const CHUNK_BYTES: usize = 8 << 20;

/// Whether a replay looks at signatures. Whoever applied the ops has done so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signatures {
    Check,
    Trust,
}

/// A store that is made of the history of another.
pub(crate) struct Replay<M: StateMachine> {
    /// The store that is made.
    pub(crate) inner: Inner<M>,
}

/// What came of a replay.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    /// Ops with something wrong, in the order of application.
    pub(crate) faults: Vec<(u64, Option<OpRef>, OpFault)>,
    /// Faults that are not among them: there were too many.
    pub(crate) more_faults: u64,
    /// The first op with another effect.
    pub(crate) difference: Option<OpDifference>,
    /// Whether the replay could not go on after the last fault.
    pub(crate) is_cut: bool,
}

/// Faults that are told one by one.
pub(crate) const MAX_FAULTS: usize = 64;

impl Replayed {
    fn fault(&mut self, index: u64, op: Option<OpRef>, fault: OpFault) {
        self.faults.push((index, op, fault));
        self.cut_short();
    }

    /// Takes in ops whose signatures do not hold; the first of all faults are kept.
    fn take_in(&mut self, bad: Bad) {
        let signatures = |(index, op)| (index, Some(op), OpFault::Signature);
        self.faults.extend(bad.first.into_iter().map(signatures));
        self.faults.sort_by_key(|(index, ..)| *index);
        self.more_faults += bad.more;
        self.cut_short();
    }

    fn cut_short(&mut self) {
        let more = self.faults.len().saturating_sub(MAX_FAULTS);
        self.faults.truncate(MAX_FAULTS);
        self.more_faults += u64::try_from(more).expect("what is in memory can be counted");
    }

    /// A fault behind which there is no way to go on.
    fn cut(&mut self, index: u64, op: Option<OpRef>, fault: OpFault) {
        self.fault(index, op, fault);
        self.is_cut = true;
    }
}

impl<M: StateMachine> Replay<M> {
    /// Begins in an empty database, or one in which a replay of the same store was begun.
    pub(crate) fn begin(
        db: Arc<dyn StateDb>,
        path: PathBuf,
        machine: Arc<M>,
        genesis: Genesis,
    ) -> Result<Self> {
        let schema = *machine.schemas().end();
        let hasher = OpHasher::new(&genesis.hash());
        if db.snapshot()?.get(Table::System, GENESIS)?.is_none() {
            let logic = machine.logic_version();
            db.write(&mut |tx| give_birth(tx, &genesis, schema, &logic))?;
        }
        let state = WriterState::load(&*db.snapshot()?, &hasher)?;
        let inner = Inner::new(Parts {
            machine,
            db,
            path,
            genesis,
            schema,
            identity: None,
            clock: Arc::new(SystemClock),
            applied: state.ledger.applied,
            writer: Some(state),
        });
        Ok(Self { inner })
    }

    /// The layout of what is made.
    pub(crate) fn schema(&self) -> SchemaVersion {
        self.inner.schema
    }

    /// Applies the ops of `source` in the order in which they were applied there.
    pub(crate) fn run(
        &self,
        source: &(dyn ReadTx + Send + Sync),
        signatures: Signatures,
        watch: &Watch,
    ) -> Result<Replayed> {
        if signatures == Signatures::Trust {
            return self.run_all(source, watch, |_| ());
        }
        let (replayed, bad) =
            Checking::beside(|checking| self.run_all(source, watch, |ops| checking.give(ops)));
        let mut replayed = replayed?;
        replayed.take_in(bad);
        Ok(replayed)
    }

    /// The same; shows the ops to `check` before they are applied.
    fn run_all(
        &self,
        source: &dyn ReadTx,
        watch: &Watch,
        check: impl Fn(&Arc<Ops>),
    ) -> Result<Replayed> {
        let total = Ledger::read(source)?.applied;
        let mut replayed = Replayed::default();
        let mut next = self.writer().ledger.applied;
        watch.tell(Stage::Replay, next, Some(total));
        while next < total && !replayed.is_cut {
            let (ops, fault) = self.read_chunk(source, next, total)?;
            let ops = Arc::new(ops);
            check(&ops);
            self.record(&ops, &mut replayed)?;
            next += u64::try_from(ops.ops.len()).expect("a chunk is short");
            if let Some(fault) = fault {
                replayed.cut(next, None, fault);
            }
            watch.tell(Stage::Replay, next, Some(total));
        }
        self.index_all()?;
        Ok(replayed)
    }

    /// Writes the ops that are not in the index by author yet.
    fn index_all(&self) -> Result<()> {
        let mut state = self.writer();
        if state.ledger.indexed == state.ledger.applied {
            return Ok(());
        }
        self.inner.db.write(&mut |tx| {
            state.tail.index(tx)?;
            state.ledger.indexed = state.ledger.applied;
            state.ledger.write(tx)?;
            Ok(Verdict::Commit)
        })
    }

    fn writer(&self) -> std::sync::MutexGuard<'_, WriterState> {
        let writer = self.inner.writer.as_ref().expect("a replay writes");
        writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads ops; the second of the results is the fault that ended the reading.
    fn read_chunk(
        &self,
        source: &dyn ReadTx,
        first: u64,
        total: u64,
    ) -> Result<(Ops, Option<OpFault>)> {
        let mut chunk = Ops {
            first,
            ops: Vec::new(),
        };
        let mut fault = None;
        let mut bytes = 0;
        for index in first..total.min(first + CHUNK_OPS) {
            match read_applied(source, &self.inner.hasher, index) {
                Ok(Some(applied)) => {
                    bytes += applied.op.bytes().len();
                    chunk.ops.push(applied);
                }
                Ok(None) => fault = Some(OpFault::Missing),
                // An op that cannot be read is a fault of that op; a disk that fails is not.
                Err(error @ BackendError::Row { .. }) => {
                    fault = Some(OpFault::Unreadable {
                        found: error.to_string(),
                    });
                }
                Err(error) => return Err(error),
            }
            if fault.is_some() || bytes >= CHUNK_BYTES {
                break;
            }
        }
        Ok((chunk, fault))
    }

    fn record(&self, chunk: &Ops, replayed: &mut Replayed) -> Result<()> {
        let mut state = self.writer();
        self.inner.db.write(&mut |tx| {
            let mut recorder = Recorder::new(&self.inner, tx, &mut state);
            recorder.changed_keys = Some(Vec::new());
            for (index, applied) in (chunk.first..).zip(&chunk.ops) {
                let op = &applied.op;
                let reference = op.reference();
                if recorder.place_of(&reference)?.is_some() {
                    replayed.cut(index, Some(reference), OpFault::Twice);
                    break;
                }
                match recorder.check_parents(op)? {
                    Parents::Applied => {}
                    Parents::Missing { first: parent, .. } => {
                        replayed.cut(index, Some(reference), OpFault::Parent { parent });
                        break;
                    }
                    Parents::Later(rejection) => {
                        let reason = rejection.to_string();
                        replayed.fault(index, Some(reference), OpFault::Clock { reason });
                    }
                }
                let recorded = recorder.record(op)?;
                if recorded.effect != applied.effect && replayed.difference.is_none() {
                    replayed.difference = Some(OpDifference {
                        index,
                        op: reference,
                        hlc: op.hlc(),
                        expected: applied.effect,
                        found: recorded.effect,
                        keys: recorder.changed_keys.iter().flatten().cloned().collect(),
                    });
                }
            }
            if !recorder.has_recorded() {
                return Ok(Verdict::Abort);
            }
            recorder.finish()?;
            Ok(Verdict::Commit)
        })
    }
}

#[cfg(test)]
mod tests {
    use lattice_meta::{OpId, PubKey};

    use super::*;

    #[test]
    fn the_first_faults_of_all_kinds_are_kept() {
        let op = OpRef {
            author: PubKey::from_bytes([1; 32]),
            seq: 0,
            id: OpId::ZERO,
        };
        let mut replayed = Replayed::default();
        for index in 100..166 {
            replayed.fault(index, None, OpFault::Missing);
        }
        assert_eq!(
            (replayed.faults.len(), replayed.more_faults),
            (MAX_FAULTS, 2)
        );
        let mut bad = Bad::default();
        bad.first.extend([(5, op), (120, op), (900, op)]);
        bad.more = 7;
        replayed.take_in(bad);
        let indexes = replayed.faults.iter().map(|(index, ..)| *index);
        let expected = [5].into_iter().chain(100..=120).chain(120..162);
        assert!(indexes.eq(expected));
        assert_eq!(replayed.more_faults, 2 + 7 + 3);
    }
}
