//! Replays the whole history in a second store, to compute what the state must be.

use std::path::PathBuf;
use std::sync::Arc;

use lattice_meta::{Genesis, SchemaVersion};

use crate::backend::{BackendError, ReadTx, Result, StateDb, Table};
use crate::clock::SystemClock;
use crate::cores::on_all_cores;
use crate::engine::contain::decode;
use crate::engine::ingest::{CHUNK_BYTES, CHUNK_OPS, Parents, SIGNATURES, check_parents};
use crate::engine::inner::{Inner, Parts, Undo};
use crate::engine::open::create::give_birth;
use crate::engine::verify::difference::OpDifference;
use crate::engine::verify::finding::OpFault;
use crate::engine::write::recorder::Recorder;
use crate::engine::write::state::WriterState;
use crate::history::system::{GENESIS, Ledger};
use crate::history::{Applied, read_applied};
use crate::machine::StateMachine;
use crate::op::{ApplyIndex, Op, OpHasher, OpRef, Verifier};
use crate::progress::{ProgressSink, Stage};
use crate::state::EffectHash;
use crate::state::reads::Reads;

/// Whether a replay checks signatures. They were already checked when the ops were applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signatures {
    Check,
    Trust,
}

/// A store that is created from the history of another store.
pub(crate) struct Replay<M: StateMachine> {
    /// The created store.
    pub(crate) inner: Inner<M>,
}

/// The result of a replay.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    /// The first faults, in the order of application.
    pub(crate) faults: Vec<(u64, Option<OpRef>, OpFault)>,
    /// The number of further faults, beyond `MAX_FAULTS`.
    pub(crate) more_faults: u64,
    /// The first op whose effect differs.
    pub(crate) difference: Option<OpDifference>,
    /// Whether the replay stopped at the last fault.
    pub(crate) is_cut: bool,
}

/// The most faults that are reported one by one.
pub(crate) const MAX_FAULTS: usize = 64;

impl Replayed {
    fn fault(&mut self, index: u64, op: Option<OpRef>, fault: OpFault) {
        self.faults.push((index, op, fault));
        self.cut_short();
    }

    /// Adds the ops of a chunk with invalid signatures; keeps the first of all faults.
    fn take_in(&mut self, bad: impl Iterator<Item = (u64, OpRef)>) {
        let before = self.faults.len();
        self.faults
            .extend(bad.map(|(index, op)| (index, Some(op), OpFault::Signature)));
        if self.faults.len() > before {
            self.faults.sort_by_key(|(index, ..)| *index);
            self.cut_short();
        }
    }

    fn cut_short(&mut self) {
        let more = self.faults.len().saturating_sub(MAX_FAULTS);
        self.faults.truncate(MAX_FAULTS);
        self.more_faults += u64::try_from(more).expect("what is in memory can be counted");
    }

    /// Records a fault after which the replay cannot continue.
    fn cut(&mut self, index: u64, op: Option<OpRef>, fault: OpFault) {
        self.fault(index, op, fault);
        self.is_cut = true;
    }
}

/// The most chunks that are applied in one transaction. Each commit writes most pages of a large
/// state, whose rows the ops change in any order.
const CHUNKS: usize = 16;

/// Ops in the order of application, and the fault that ended reading them.
struct Chunk {
    first: u64,
    ops: Vec<Applied>,
    fault: Option<OpFault>,
}

impl Chunk {
    fn next(&self) -> u64 {
        self.first + u64::try_from(self.ops.len()).expect("a chunk is short")
    }
}

impl<M: StateMachine> Replay<M> {
    /// Begins in an empty database, or in one in which a replay of the same store was begun.
    pub(crate) fn begin(
        db: Arc<dyn StateDb>,
        path: PathBuf,
        machine: Arc<M>,
        genesis: Genesis,
    ) -> Result<Self> {
        let schema = machine.logic().newest_schema();
        let hasher = OpHasher::new(&genesis.hash());
        if db.snapshot()?.get(Table::System, GENESIS)?.is_none() {
            let logic = machine.logic().version();
            let mut tx = db.begin_write()?;
            give_birth(&mut *tx, &genesis, schema, logic)?;
            tx.commit()?.wait()?;
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
            commits: Arc::default(),
        });
        Ok(Self { inner })
    }

    /// The layout of the created store.
    pub(crate) fn schema(&self) -> SchemaVersion {
        self.inner.schema
    }

    /// Applies the ops of `source` in the order in which they were applied there. While this thread
    /// applies a chunk and reads the next one, the other cores check the chunk's signatures.
    pub(crate) fn run(
        &self,
        source: &(dyn ReadTx + Send + Sync),
        signatures: Signatures,
        progress: &ProgressSink,
    ) -> Result<Replayed> {
        let total = Ledger::read(source)?.applied;
        let mut replayed = Replayed::default();
        let first = self.inner.writer()?.ledger.applied;
        progress.report(Stage::Replay, first, Some(total));
        let mut chunk = self.read_chunk(source, first, total)?;
        let report = |done| progress.report(Stage::Replay, done, Some(total));
        while chunk.first < total && !replayed.is_cut {
            self.inner.transact(|recorder| {
                recorder.changed_keys = Some(Vec::new());
                for _ in 0..CHUNKS {
                    let next = chunk.next();
                    let mut apply_and_read = || {
                        self.record(recorder, &chunk, &mut replayed, &report)?;
                        self.read_chunk(source, next, total)
                    };
                    let read = match signatures {
                        Signatures::Trust => apply_and_read(),
                        Signatures::Check => {
                            let ops = (chunk.first..).zip(&chunk.ops).collect();
                            let (checked, read) = on_all_cores(
                                ops,
                                SIGNATURES,
                                Verifier::default,
                                check_signature,
                                apply_and_read,
                            );
                            replayed.take_in(checked.into_iter().flatten());
                            read
                        }
                    };
                    if let Some(fault) = chunk.fault.take() {
                        replayed.cut(next, None, fault);
                    }
                    chunk = read?;
                    if chunk.first >= total || replayed.is_cut {
                        break;
                    }
                }
                Ok::<_, Undo<BackendError>>(())
            })?;
        }
        self.index_all()?;
        Ok(replayed)
    }

    /// Applies ops, each after its parents, in one transaction, and passes the effect of each to
    /// `see`.
    ///
    /// # Errors
    /// [`BackendError::Fault`] if the code cannot apply an op.
    pub(crate) fn apply_each(&self, ops: &[Op], see: &mut dyn FnMut(EffectHash)) -> Result<()> {
        self.inner.transact(|recorder| {
            for op in ops {
                let decoded = decode(&*self.inner.machine, op);
                let staged = recorder.stage(op, decoded, Reads::default())?;
                see(recorder.record(op, staged)?.effect);
            }
            Ok::<_, Undo<BackendError>>(())
        })
    }

    /// Indexes by author the ops that are not indexed yet.
    fn index_all(&self) -> Result<()> {
        self.inner.transact(|recorder| {
            recorder.index_all()?;
            Ok::<_, Undo<BackendError>>(())
        })
    }

    fn read_chunk(&self, source: &dyn ReadTx, first: u64, total: u64) -> Result<Chunk> {
        let mut chunk = Chunk {
            first,
            ops: Vec::new(),
            fault: None,
        };
        let mut bytes = 0;
        for index in (first..total).take(CHUNK_OPS) {
            match read_applied(source, &self.inner.hasher, ApplyIndex::new(index)) {
                Ok(Some(applied)) => {
                    bytes += applied.op.bytes().len();
                    chunk.ops.push(applied);
                }
                Ok(None) => chunk.fault = Some(OpFault::Missing),
                // An op that cannot be read is a fault of that op; a failing disk is an error.
                Err(error @ BackendError::Row { .. }) => {
                    chunk.fault = Some(OpFault::Unreadable {
                        found: error.to_string(),
                    });
                }
                Err(error) => return Err(error),
            }
            if chunk.fault.is_some() || bytes >= CHUNK_BYTES {
                break;
            }
        }
        Ok(chunk)
    }

    fn record(
        &self,
        recorder: &mut Recorder<'_, M>,
        chunk: &Chunk,
        replayed: &mut Replayed,
        report: &dyn Fn(u64),
    ) -> Result<()> {
        for (index, applied) in (chunk.first..).zip(&chunk.ops) {
            self.record_one(recorder, index, applied, replayed)?;
            if replayed.is_cut {
                break;
            }
            report(index + 1);
        }
        Ok(())
    }

    fn record_one(
        &self,
        recorder: &mut Recorder<'_, M>,
        index: u64,
        applied: &Applied,
        replayed: &mut Replayed,
    ) -> Result<()> {
        let op = &applied.op;
        let reference = op.reference();
        if recorder.place_of(&reference)?.is_some() {
            replayed.cut(index, Some(reference), OpFault::Twice);
            return Ok(());
        }
        match check_parents(recorder, op)? {
            Parents::Applied => {}
            Parents::Missing { first: parent, .. } | Parents::Held(parent) => {
                replayed.cut(index, Some(reference), OpFault::Parent { parent });
                return Ok(());
            }
            Parents::Later(rejection) => {
                let reason = rejection.to_string();
                replayed.fault(index, Some(reference), OpFault::Clock { reason });
            }
        }
        let decoded = decode(&*self.inner.machine, op);
        let staged = match recorder.stage(op, decoded, Reads::default()) {
            Err(BackendError::Fault(fault)) => {
                replayed.cut(index, Some(reference), OpFault::Code { fault });
                return Ok(());
            }
            staged => staged?,
        };
        let recorded = recorder.record(op, staged)?;
        if recorded.effect != applied.effect && replayed.difference.is_none() {
            replayed.difference = Some(OpDifference {
                index: ApplyIndex::new(index),
                op: reference,
                hlc: op.hlc(),
                expected: applied.effect,
                found: recorded.effect,
                keys: recorder.changed_keys.iter().flatten().cloned().collect(),
            });
        }
        Ok(())
    }
}

/// Returns the op if its signature is invalid.
fn check_signature(
    verifier: &mut Verifier,
    (index, applied): (u64, &Applied),
) -> Option<(u64, OpRef)> {
    let failed = applied.op.verify_by(verifier).is_err();
    failed.then(|| (index, applied.op.reference()))
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
        replayed.take_in([(5, op), (120, op), (900, op)].into_iter());
        let indexes = replayed.faults.iter().map(|(index, ..)| *index);
        let expected = [5].into_iter().chain(100..=120).chain(120..162);
        assert!(indexes.eq(expected));
        assert_eq!(replayed.more_faults, 2 + 3);
    }
}
