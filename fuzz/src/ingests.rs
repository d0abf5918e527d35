//! Sequences of ingests into an engine.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use arbitrary::{Result, Unstructured};
use lattice_backend::backend::{MemoryBackend, StateBackend};
use lattice_backend::clock::ManualClock;
use lattice_backend::engine::Engine;
use lattice_backend::engine::ingest::Authors;
use lattice_backend::engine::open::OpenRequest;
use lattice_backend::engine::verify::Depth;
use lattice_backend::op::{Op, OpDraft, OpKind, OpRef, SecretKey};
use lattice_backend::progress::ProgressSink;
use lattice_kvstore::{KvMachine, store_type};
use lattice_meta::{Genesis, Hlc, OpId};

use crate::records::fixed_genesis;

const AUTHORS: u8 = 4;
const KEYS: [&[u8]; 3] = [b"a", b"b", b"\xff"];
const NOW_MS: u64 = 1_800_000_000_000;
const MAX_OPS: usize = 24;

/// A replica in memory.
struct Replica {
    backend: Arc<MemoryBackend>,
    engine: Engine<KvMachine>,
}

impl Replica {
    fn new(genesis: &Genesis) -> Self {
        let backend = Arc::new(MemoryBackend::new());
        Engine::create(&*backend, "kv".as_ref(), genesis, &KvMachine::new()).expect("it is new");
        let shared: Arc<dyn StateBackend> = backend.clone();
        let request = OpenRequest::new(shared, "kv")
            .identity(Arc::new(secret(0)))
            .clock(Arc::new(ManualClock::new(NOW_MS)));
        let engine = Engine::open(request, KvMachine::new()).expect("it is there");
        Self { backend, engine }
    }

    fn ingest(&self, ops: impl IntoIterator<Item = Vec<u8>>) {
        let ingested = self
            .engine
            .ingest(ops.into_iter().map(Ok::<_, Infallible>), &Authors::Any);
        ingested.expect("memory does not fail");
    }
}

fn secret(author: u8) -> SecretKey {
    SecretKey::from_bytes(&[author + 1; 32])
}

/// Makes ops: valid ones, forks and hostile ones. Delivers them to one replica in any order, in
/// several calls, some repeated, truncated or changed, and to another replica in the order of their
/// creation. Both replicas must reach the same state, and each must match its own history.
pub(crate) fn ingest(bytes: &[u8]) {
    let mut input = Unstructured::new(bytes);
    let genesis = fixed_genesis(store_type());
    let (one, two) = (Replica::new(&genesis), Replica::new(&genesis));
    let mut ops = Vec::new();
    while ops.len() < MAX_OPS && !input.is_empty() {
        match make(&one.engine, &ops, &mut input) {
            Ok(Some(op)) => ops.push(op),
            Ok(None) => {}
            Err(_) => break,
        }
        if deliver(&one, &ops, &mut input).is_err() {
            break;
        }
    }
    let all = || ops.iter().map(|op| op.bytes().to_vec());
    one.ingest(all());
    two.ingest(all());
    assert_eq!(
        one.engine.op_count().expect("memory"),
        two.engine.op_count().expect("memory"),
        "the replicas took in different ops"
    );
    for replica in [&one, &two] {
        let verified = replica
            .engine
            .verify(Depth::Full, &*replica.backend, &ProgressSink::none());
        assert_eq!(verified.expect("memory").findings, []);
    }
    assert_eq!(
        one.engine.state_hash().expect("memory"),
        two.engine.state_hash().expect("memory"),
        "the same ops made different states"
    );
}

/// Makes an op of any author that follows any of the ops made so far.
fn make(
    engine: &Engine<KvMachine>,
    ops: &[Op],
    input: &mut Unstructured<'_>,
) -> Result<Option<Op>> {
    let author = secret(input.int_in_range(0..=AUTHORS - 1)?);
    let own: Vec<&Op> = ops
        .iter()
        .filter(|op| op.reference().author == author.public())
        .collect();
    // Usually after the author's last op, otherwise a fork.
    let prev = match own.last() {
        Some(_) if input.ratio(1, 6)? => own.get(input.choose_index(own.len())?).copied(),
        last => last.copied(),
    };
    let mut deps = BTreeSet::new();
    if !ops.is_empty() {
        for _ in 0..input.int_in_range(0..=3)? {
            deps.insert(ops[input.choose_index(ops.len())?].reference());
        }
    }
    if let Some(prev) = prev {
        deps.remove(&prev.reference());
    }
    let after = deps
        .iter()
        .filter_map(|dep| ops.iter().find(|op| op.reference() == *dep))
        .chain(prev)
        .map(|op| op.hlc().to_u64())
        .max();
    let base = after.unwrap_or(Hlc::from_parts(NOW_MS, 0).expect("it fits").to_u64());
    // Sometimes not later than an op that it follows, which makes the op invalid for good.
    let hlc = Hlc::from_u64(base + u64::from(input.int_in_range(0..=9_u8)?));
    let payload = match input.ratio(1, 5)? {
        true => input.arbitrary::<&[u8]>()?.to_vec(),
        false => payload(ops, input)?,
    };
    let kind = match input.ratio(1, 12)? {
        true => OpKind::Merge,
        false => OpKind::Application,
    };
    let draft = OpDraft {
        kind,
        seq: prev.map_or(0, |prev| prev.reference().seq + 1),
        prev: prev.map_or(OpId::ZERO, |prev| prev.reference().id),
        hlc,
        deps: deps.into_iter().collect(),
        payload: if kind == OpKind::Merge { &[] } else { &payload },
    };
    Ok(draft.sign(engine.hasher(), &author).ok())
}

/// A key-value payload: puts and deletes that supersede any ops, also ops that do not exist.
fn payload(ops: &[Op], input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut writes = Vec::new();
    for key in KEYS {
        if !input.ratio(1, 2)? {
            continue;
        }
        let mut supersedes = BTreeSet::new();
        for _ in 0..input.int_in_range(0..=2)? {
            if ops.is_empty() || input.ratio(1, 10)? {
                supersedes.insert(OpRef {
                    author: secret(0).public(),
                    seq: input.int_in_range(0..=2)?,
                    id: OpId::from_bytes([input.arbitrary()?; 32]),
                });
            } else {
                supersedes.insert(ops[input.choose_index(ops.len())?].reference());
            }
        }
        let value = match input.ratio(1, 4)? {
            true => None,
            false => Some(vec![
                input.arbitrary()?;
                usize::from(input.int_in_range(0..=3_u8)?)
            ]),
        };
        writes.push((key, supersedes, value));
    }
    Ok(encode(&writes))
}

type Write<'a> = (&'a [u8], BTreeSet<OpRef>, Option<Vec<u8>>);

/// FORMAT.md specifies the bytes.
fn encode(writes: &[Write<'_>]) -> Vec<u8> {
    let refs: BTreeSet<OpRef> = writes
        .iter()
        .flat_map(|(_, refs, _)| refs.iter().copied())
        .collect();
    let refs: Vec<OpRef> = refs.into_iter().collect();
    let length = |len: usize| u64::try_from(len).expect("it is short").to_le_bytes();
    let mut bytes = vec![1];
    bytes.extend(length(refs.len()));
    for op in &refs {
        bytes.extend(op.author.as_bytes());
        bytes.extend(op.seq.to_le_bytes());
        bytes.extend(op.id.as_bytes());
    }
    bytes.extend(length(writes.len()));
    for (key, supersedes, value) in writes {
        bytes.extend(length(key.len()));
        bytes.extend(*key);
        bytes.extend(length(supersedes.len()));
        for op in supersedes {
            let place = refs
                .iter()
                .position(|other| other == op)
                .expect("it is among them");
            bytes.extend(u32::try_from(place).expect("they are few").to_le_bytes());
        }
        match value {
            Some(value) => {
                bytes.push(1);
                bytes.extend(length(value.len()));
                bytes.extend(value);
            }
            None => bytes.push(0),
        }
    }
    bytes
}

/// Delivers some of the ops to a replica.
fn deliver(replica: &Replica, ops: &[Op], input: &mut Unstructured<'_>) -> Result<()> {
    if ops.is_empty() || !input.ratio(1, 3)? {
        return Ok(());
    }
    let mut given = Vec::new();
    for _ in 0..input.int_in_range(1..=4)? {
        let mut bytes = ops[input.choose_index(ops.len())?].bytes().to_vec();
        match input.int_in_range(0..=9)? {
            0 => bytes.truncate(input.choose_index(bytes.len())?),
            1 => {
                let place = input.choose_index(bytes.len())?;
                bytes[place] ^= 1 << input.int_in_range(0..=7)?;
            }
            _ => {}
        }
        given.push(bytes);
    }
    replica.ingest(given);
    Ok(())
}
