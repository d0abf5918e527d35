//! A store in memory that one author writes to.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use lattice_backend::backend::MemoryBackend;
use lattice_backend::clock::ManualClock;
use lattice_backend::conformance::Rng;
use lattice_backend::engine::Engine;
use lattice_backend::engine::ingest::{Authors, IngestReport};
use lattice_backend::engine::open::OpenRequest;
use lattice_backend::op::{ApplyIndex, Op, OpDraft, OpKind, SecretKey};
use lattice_meta::{Genesis, Hlc, OpId};
use lattice_wasm::WasmMachine;

use crate::Done;

const PATH: &str = "state.db";

pub(crate) struct Replica {
    pub(crate) engine: Engine<WasmMachine>,
    /// Its applied ops, in order.
    pub(crate) ops: Vec<Op>,
}

impl Replica {
    pub(crate) fn new(
        machine: &WasmMachine,
        genesis: &Genesis,
        author: &Arc<SecretKey>,
        clock: &Arc<ManualClock>,
    ) -> Done<Self> {
        let backend = Arc::new(MemoryBackend::new());
        Engine::create(&*backend, Path::new(PATH), genesis, machine)?;
        let request = OpenRequest::new(backend, PATH)
            .identity(author.clone())
            .clock(clock.clone());
        let engine = Engine::open(request, machine.clone())?;
        let ops = Vec::new();
        Ok(Self { engine, ops })
    }

    /// Reads the ops applied since the last call.
    pub(crate) fn read_ops(&mut self) -> Done<()> {
        let mut next = u64::try_from(self.ops.len())?;
        while let Some(op) = self.engine.op_at(ApplyIndex::new(next))? {
            self.ops.push(op);
            next += 1;
        }
        Ok(())
    }

    /// Ingests an op.
    pub(crate) fn take(&self, op: &Op) -> Done<IngestReport> {
        let ops = [Ok::<_, Infallible>(op.bytes().to_vec())];
        Ok(self.engine.ingest(ops, &Authors::Any)?)
    }

    /// Ingests the first ops that the other replica has and this one lacks, at most `most`.
    pub(crate) fn pull(&self, from: &Self, most: usize) -> Done<()> {
        let ops = from.engine.ops_after(&self.engine.branch_tips()?)?;
        self.engine.ingest(ops.take(most), &Authors::Any)?;
        Ok(())
    }

    /// An op that is valid in the history but that no replica makes: it follows any ops, and forks
    /// its author.
    pub(crate) fn forge(
        &self,
        rng: &mut Rng,
        author: &SecretKey,
        kind: OpKind,
        payload: &[u8],
    ) -> Done<Op> {
        let key = author.public();
        let own: Vec<_> = self
            .ops
            .iter()
            .filter(|op| op.reference().author == key)
            .collect();
        let prev = match rng.one_in(5) {
            true => None,
            false => rng.pick(&own).copied(),
        };
        let mut deps = Vec::new();
        let mut after = prev.map(Op::hlc);
        for _ in 0..rng.below(4) {
            let Some(op) = rng.pick(&self.ops) else { break };
            if prev.map(Op::reference) != Some(op.reference()) {
                deps.push(op.reference());
                after = after.max(Some(op.hlc()));
            }
        }
        deps.sort_unstable();
        deps.dedup();
        let after = after.map_or(1 << 40, Hlc::to_u64);
        let draft = OpDraft {
            kind,
            seq: prev.map_or(0, |prev| prev.reference().seq + 1),
            prev: prev.map_or(OpId::ZERO, |prev| prev.reference().id),
            hlc: Hlc::from_u64(after + 1 + [0, 0, 1, 1 << 16][rng.below(4)]),
            deps,
            payload,
        };
        Ok(draft.sign(self.engine.hasher(), author)?)
    }
}
