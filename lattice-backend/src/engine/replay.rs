//! The whole history once more, beside the store: what its state must be.

use std::num::NonZero;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use lattice_meta::{Genesis, SchemaVersion};

use super::Inner;
use super::difference::{MAX_KEYS, OpDifference};
use super::finding::OpFault;
use super::ingest::Parents;
use super::open::{Parts, give_birth};
use super::record::Recorder;
use super::state::WriterState;
use crate::backend::{StateDb, Verdict};
use crate::history::read_applied;
use crate::op::Verifier;
use crate::system::{GENESIS, Ledger};
use crate::tx::{ReadTx, Result, Table};
use crate::{EffectHash, Op, OpHasher, OpRef, Stage, StateMachine, SystemClock, Watch};

/// Ops that one transaction takes, at the most.
const CHUNK_OPS: u64 = 1024;
/// Bytes after which a transaction takes no more ops.
const CHUNK_BYTES: usize = 8 << 20;

/// Whether a replay looks at signatures. Whoever applied the ops has done so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signatures {
    Check,
    Trust,
}

/// A store that is made of the history of another.
pub(super) struct Replay<M: StateMachine> {
    /// The store that is made.
    pub(super) inner: Inner<M>,
}

/// What came of a replay.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    /// Ops with something wrong, in the order of application.
    pub(super) faults: Vec<(u64, Option<OpRef>, OpFault)>,
    /// Faults that are not among them: there were too many.
    pub(super) more_faults: u64,
    /// The first op with another effect.
    pub(super) difference: Option<OpDifference>,
    /// Whether the replay could not go on after the last fault.
    pub(super) is_cut: bool,
}

/// Faults that are told one by one.
const MAX_FAULTS: usize = 64;

impl Replayed {
    fn fault(&mut self, index: u64, op: Option<OpRef>, fault: OpFault) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push((index, op, fault));
        } else {
            self.more_faults += 1;
        }
    }

    /// A fault behind which there is no way to go on.
    fn cut(&mut self, index: u64, op: Option<OpRef>, fault: OpFault) {
        self.fault(index, op, fault);
        self.is_cut = true;
    }
}

/// Ops read together: each with its recorded effect; and the fault that ended the reading.
struct Chunk {
    first: u64,
    ops: Vec<(EffectHash, Op)>,
    fault: Option<OpFault>,
}

impl<M: StateMachine> Replay<M> {
    /// Begins in an empty database, or one in which a replay of the same store was begun.
    pub(super) fn begin(
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
    pub(super) fn schema(&self) -> SchemaVersion {
        self.inner.schema
    }

    /// Applies the ops of `source` in the order in which they were applied there.
    pub(super) fn run(
        &self,
        source: &(dyn ReadTx + Send + Sync),
        signatures: Signatures,
        watch: &Watch,
    ) -> Result<Replayed> {
        let total = Ledger::read(source)?.applied;
        let mut replayed = Replayed::default();
        let mut next = self.writer().ledger.applied;
        watch.tell(Stage::Replay, next, Some(total));
        let mut ahead = Some(self.read_chunk(source, next, total)?);
        while next < total
            && !replayed.is_cut
            && let Some(chunk) = ahead.take()
        {
            next += u64::try_from(chunk.ops.len()).expect("a chunk is short");
            let bad = std::thread::scope(|scope| {
                let workers = match signatures {
                    Signatures::Trust => Vec::new(),
                    Signatures::Check => spawn_checks(scope, &chunk.ops),
                };
                self.record(&chunk, &mut replayed)?;
                // While the signatures of these are checked still, the next ones are read.
                ahead = Some(self.read_chunk(source, next, total)?);
                Ok::<_, crate::BackendError>(join(workers))
            })?;
            for place in bad {
                let index = chunk.first + u64::try_from(place).expect("a chunk is short");
                let op = chunk.ops[place].1.reference();
                replayed.fault(index, Some(op), OpFault::Signature);
            }
            if let Some(fault) = chunk.fault {
                replayed.cut(next, None, fault);
            }
            watch.tell(Stage::Replay, next, Some(total));
        }
        replayed.faults.sort_by_key(|(index, ..)| *index);
        Ok(replayed)
    }

    fn writer(&self) -> std::sync::MutexGuard<'_, WriterState> {
        let writer = self.inner.writer.as_ref().expect("a replay writes");
        writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_chunk(&self, source: &dyn ReadTx, first: u64, total: u64) -> Result<Chunk> {
        let mut chunk = Chunk {
            first,
            ops: Vec::new(),
            fault: None,
        };
        let mut bytes = 0;
        for index in first..total.min(first + CHUNK_OPS) {
            match read_applied(source, &self.inner.hasher, index) {
                Ok(Some((effect, op))) => {
                    bytes += op.bytes().len();
                    chunk.ops.push((effect, op));
                }
                Ok(None) => chunk.fault = Some(OpFault::Missing),
                // An op that cannot be read is a fault of that op; a disk that fails is not.
                Err(error @ crate::BackendError::Row { .. }) => {
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

    fn record(&self, chunk: &Chunk, replayed: &mut Replayed) -> Result<()> {
        let mut state = self.writer();
        self.inner.db.write(&mut |tx| {
            let mut recorder = Recorder::new(&self.inner, tx, &mut state);
            for (index, (effect, op)) in (chunk.first..).zip(&chunk.ops) {
                let reference = op.reference();
                if recorder.applied().index_of(&reference)?.is_some() {
                    replayed.cut(index, Some(reference), OpFault::Twice);
                    break;
                }
                match recorder.check_parents(op)? {
                    Parents::Applied => {}
                    Parents::Missing(parent) => {
                        replayed.cut(index, Some(reference), OpFault::Parent { parent });
                        break;
                    }
                    Parents::Later(rejection) => {
                        let reason = rejection.to_string();
                        replayed.fault(index, Some(reference), OpFault::Clock { reason });
                    }
                }
                let recorded = recorder.record(op)?;
                if recorded.effect != *effect && replayed.difference.is_none() {
                    let keys = recorded.changes.iter().map(|change| change.key.to_vec());
                    replayed.difference = Some(OpDifference {
                        index,
                        op: reference,
                        hlc: op.hlc(),
                        expected: *effect,
                        found: recorded.effect,
                        keys: keys.take(MAX_KEYS).collect(),
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

type Checks<'scope> = Vec<std::thread::ScopedJoinHandle<'scope, Vec<usize>>>;

/// Checks signatures on all cores; each worker gives the places of those that do not hold.
fn spawn_checks<'scope, 'env>(
    scope: &'scope std::thread::Scope<'scope, 'env>,
    ops: &'env [(EffectHash, Op)],
) -> Checks<'scope> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let share = ops.len().div_ceil(cores).max(1);
    let shares = ops.chunks(share).enumerate();
    shares
        .map(|(nth, ops)| {
            scope.spawn(move || {
                let mut verifier = Verifier::default();
                let bad = ops
                    .iter()
                    .enumerate()
                    .filter(|(_, (_, op))| op.verify_by(&mut verifier).is_err());
                bad.map(|(place, _)| nth * share + place).collect()
            })
        })
        .collect()
}

fn join(workers: Checks<'_>) -> Vec<usize> {
    workers
        .into_iter()
        .flat_map(|worker| {
            worker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
        .collect()
}
