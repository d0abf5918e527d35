//! Running hashes of the effects of a replay in canonical order.

use std::sync::Arc;

use lattice_meta::Hlc;

use crate::backend::{BackendError, Result, StateBackend, StateDb};
use crate::engine::ingest::{CHUNK_BYTES, CHUNK_OPS};
use crate::engine::inner::Inner;
use crate::engine::verify::replay::Replay;
use crate::history::system::Ledger;
use crate::history::{missing, read_head, read_op};
use crate::machine::StateMachine;
use crate::op::{ApplyIndex, Op, OpHasher};
use crate::progress::{Counted, ProgressSink, Stage};

/// The number of heads of ops that are read from one snapshot.
const HEADS: u64 = 4096;

/// Replays the history; see [`Engine::trace`](crate::engine::Engine::trace).
pub(super) fn trace<M: StateMachine>(
    inner: &Inner<M>,
    at: &[u64],
    backend: &dyn StateBackend,
    progress: &ProgressSink,
) -> Result<(u64, Vec<[u8; 16]>)> {
    let ops = Ledger::read(&*inner.db.snapshot()?)?.applied;
    let Some(last) = at.iter().copied().max() else {
        return Ok((ops, Vec::new()));
    };
    let mut order = canonical(&inner.db, &inner.hasher, ops)?;
    order.truncate(usize::try_from(last).unwrap_or(usize::MAX));
    let scratch = backend
        .scratch()
        .map_err(|error| BackendError::storage("making a scratch database", error))?;
    let (machine, genesis) = (Arc::clone(&inner.machine), inner.genesis.clone());
    let replay = Replay::begin(scratch, inner.path.clone(), machine, genesis)?;
    let total = u64::try_from(order.len()).ok();
    let mut counted = Counted::new(progress, Stage::Replay, total);
    let mut running = Running::new(at);
    let mut rest = order.into_iter().peekable();
    while rest.peek().is_some() {
        let chunk = read_chunk(&inner.db, &inner.hasher, &mut rest)?;
        replay.apply_each(&chunk, &mut |effect| {
            running.push(&effect);
            counted.one();
        })?;
    }
    Ok((ops, running.finish()))
}

/// The first ops of a store in canonical order. An op is dated after its parents, so the order of
/// times has parents first.
fn canonical(db: &Arc<dyn StateDb>, hasher: &OpHasher, ops: u64) -> Result<Vec<ApplyIndex>> {
    let mut dated: Vec<(Hlc, ApplyIndex)> = Vec::new();
    let mut next = 0;
    while next < ops {
        let tx = db.snapshot()?;
        let last = ops.min(next + HEADS);
        for index in (next..last).map(ApplyIndex::new) {
            let (.., hlc) = read_head(&*tx, index)?;
            dated.push((hlc, index));
        }
        next = last;
    }
    dated.sort_unstable();
    // Ids are read only of ops with equal times.
    for same in dated.chunk_by_mut(|a, b| a.0 == b.0) {
        if same.len() == 1 {
            continue;
        }
        let tx = db.snapshot()?;
        let mut named = Vec::with_capacity(same.len());
        for (_, index) in &*same {
            let op = read_op(&*tx, hasher, *index)?.ok_or_else(|| missing(*index))?;
            named.push((op.reference().id, *index));
        }
        named.sort_unstable();
        for (place, (_, index)) in same.iter_mut().zip(named) {
            place.1 = index;
        }
    }
    Ok(dated.into_iter().map(|(_, index)| index).collect())
}

/// Reads some of the next ops from a snapshot of their own.
fn read_chunk(
    db: &Arc<dyn StateDb>,
    hasher: &OpHasher,
    rest: &mut impl Iterator<Item = ApplyIndex>,
) -> Result<Vec<Op>> {
    let tx = db.snapshot()?;
    let (mut chunk, mut bytes) = (Vec::new(), 0);
    while chunk.len() < CHUNK_OPS && bytes < CHUNK_BYTES {
        let Some(index) = rest.next() else {
            break;
        };
        let op = read_op(&*tx, hasher, index)?.ok_or_else(|| missing(index))?;
        bytes += op.bytes().len();
        chunk.push(op);
    }
    Ok(chunk)
}

/// Hashes effects, and keeps the hashes at the positions that are wanted.
struct Running<'a> {
    wanted: &'a [u64],
    hashes: Vec<[u8; 16]>,
    hasher: blake3::Hasher,
    position: u64,
}

impl<'a> Running<'a> {
    fn new(wanted: &'a [u64]) -> Self {
        Self {
            wanted,
            hashes: Vec::with_capacity(wanted.len()),
            hasher: blake3::Hasher::new(),
            position: 0,
        }
    }

    fn keep_until(&mut self, position: u64) {
        while let Some(wanted) = self.wanted.get(self.hashes.len())
            && *wanted <= position
        {
            self.hashes.push(self.hash());
        }
    }

    /// The first 16 bytes of the hash of the effects so far.
    fn hash(&self) -> [u8; 16] {
        let hash = self.hasher.finalize();
        let (first, _) = hash
            .as_bytes()
            .split_first_chunk()
            .expect("a hash has 32 bytes");
        *first
    }

    fn push(&mut self, effect: &[u8]) {
        self.keep_until(self.position);
        self.hasher.update(effect);
        self.position += 1;
    }

    fn finish(mut self) -> Vec<[u8; 16]> {
        self.keep_until(u64::MAX);
        self.hashes
    }
}
