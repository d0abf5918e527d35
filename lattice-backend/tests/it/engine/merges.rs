//! Merges that change rows: the engine must not take rows read before a merge for the state after
//! it.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use lattice_backend::backend::{MemoryBackend, Result};
use lattice_backend::clock::ManualClock;
use lattice_backend::engine::Engine;
use lattice_backend::engine::ingest::Authors;
use lattice_backend::engine::open::OpenRequest;
use lattice_backend::machine::{
    DataRead, DataWrite, History, Invalid, Logic, MachineError, StateMachine,
};
use lattice_backend::op::{BranchTips, MAX_DEPS, Op, OpDraft, OpKind, OpView, SecretKey};
use lattice_meta::{Genesis, Hlc, Nonce, OpId};

use crate::support::given;

const START_MS: u64 = 1_700_000_000_000;
const COUNT: &[u8] = b"count";

/// Counts all ops in one row: applications in `apply`, merges in `settle`.
struct Counting(Logic);

impl Counting {
    fn new() -> Self {
        Self(Logic::new("org.example.counting", "counting/1").unwrap())
    }
}

fn count(data: &dyn DataRead) -> Result<u64> {
    let row = data.get(COUNT)?;
    Ok(row.map_or(0, |row| u64::from_le_bytes(row.try_into().unwrap())))
}

fn add_one(data: &mut dyn DataWrite) -> Result<()> {
    let next = count(data)? + 1;
    data.put(COUNT, &next.to_le_bytes())
}

impl StateMachine for Counting {
    type Command = ();
    type Refusal = Infallible;
    type Payload<'a> = ();

    fn logic(&self) -> &Logic {
        &self.0
    }

    fn decode(&self, _: &[u8]) -> Result<(), Invalid> {
        Ok(())
    }

    fn prepare(
        &self,
        (): &(),
        data: &dyn DataRead,
        _: &dyn History,
    ) -> Result<Vec<u8>, MachineError<Infallible>> {
        count(data)?;
        Ok(Vec::new())
    }

    fn apply(
        &self,
        _: &OpView<'_>,
        (): (),
        data: &mut dyn DataWrite,
        _: &dyn History,
    ) -> Result<()> {
        add_one(data)
    }

    fn settle(&self, kind: OpKind, _: &OpView<'_>, data: &mut dyn DataWrite) -> Result<()> {
        if kind == OpKind::Merge {
            add_one(data)
        } else {
            Ok(())
        }
    }
}

fn open(seed: u8, genesis: &Genesis) -> Engine<Counting> {
    let backend = Arc::new(MemoryBackend::new());
    Engine::create(&*backend, Path::new("store"), genesis, &Counting::new()).unwrap();
    let identity = Arc::new(SecretKey::from_bytes(&[seed; 32]));
    let mut request = OpenRequest::new(backend, "store").identity(identity);
    request.clock = Arc::new(ManualClock::new(START_MS + 1));
    Engine::open(request, Counting::new()).unwrap()
}

#[test]
fn a_command_after_automatic_merges_sees_their_state() {
    let owner = SecretKey::from_bytes(&[1; 32]).public();
    let start = Hlc::from_parts(START_MS, 0).unwrap();
    let nonce = Nonce::from_bytes([3; 16]);
    let store_type = Counting::new().0.store_type().clone();
    let genesis = Genesis::new(store_type, owner, nonce, start, None);
    let (here, there) = (open(1, &genesis), open(2, &genesis));
    let parents = u64::try_from(MAX_DEPS).unwrap() + 1;
    let first_op = |author: u64| -> Op {
        let mut secret = [9; 32];
        secret[..8].copy_from_slice(&author.to_le_bytes());
        let draft = OpDraft {
            kind: OpKind::Application,
            seq: 0,
            prev: OpId::ZERO,
            hlc: start,
            deps: Vec::new(),
            payload: &[],
        };
        draft
            .sign(here.hasher(), &SecretKey::from_bytes(&secret))
            .unwrap()
    };
    let ops = (0..parents).map(|author| first_op(author).into_bytes());
    let report = here.ingest(given(ops), &Authors::Any).unwrap();
    assert!(report.is_complete());

    // One merge, then the command's own op.
    here.append(()).unwrap();
    assert_eq!(here.op_count().unwrap(), parents + 2);
    assert_eq!(count(&here.snapshot().unwrap()).unwrap(), parents + 2);

    // A replica that ingests the same ops has read nothing ahead.
    let ops = here.ops_after(&BranchTips::default()).unwrap();
    assert!(there.ingest(ops, &Authors::Any).unwrap().is_complete());
    assert_eq!(there.state_hash().unwrap(), here.state_hash().unwrap());
}
