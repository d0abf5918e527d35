//! Histories that maximise the work that other authors can cause for one op. The module applies
//! them in each order of delivery, and computes the same state as the native code.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use lattice_backend::backend::MemoryBackend;
use lattice_backend::clock::ManualClock;
use lattice_backend::conformance::Forge;
use lattice_backend::engine::Engine;
use lattice_backend::engine::ingest::{Authors, Outcome};
use lattice_backend::engine::open::OpenRequest;
use lattice_backend::engine::verify::Depth;
use lattice_backend::machine::StateMachine;
use lattice_backend::op::{Op, OpRef};
use lattice_backend::progress::ProgressSink;
use lattice_kvstore::KvMachine;
use lattice_wasm::{Code, WasmMachine, guests};

use crate::kv;

/// Ops of many authors, and the ops that name them.
struct Flood {
    name: &'static str,
    forge: Forge,
    many: Vec<Op>,
    naming: Vec<Op>,
}

fn key(nth: usize) -> Vec<u8> {
    format!("key {nth:08}").into_bytes()
}

/// Keys of this length, at least 12.
fn keys(count: usize, length: usize) -> Vec<Vec<u8>> {
    let long = |nth| [key(nth), vec![b'x'; length - 12]].concat();
    (0..count).map(long).collect()
}

/// A first op of an author with no other ops.
fn alone(forge: &mut Forge, author: usize, payload: &[u8]) -> Op {
    forge.op(u64::try_from(author).unwrap(), None, &[], payload)
}

/// Puts a value at each key without superseding others.
fn puts(keys: &[Vec<u8>], value: &[u8]) -> Vec<u8> {
    let put = |key| kv::write(key, &[], Some(value.to_vec()));
    kv::payload(&[], keys.iter().map(|key| put(key)).collect())
}

/// Supersedes the values of each of these ops at each key.
fn superseding(keys: &[Vec<u8>], ops: &[OpRef], value: Option<&[u8]>) -> Vec<u8> {
    let mut refs = ops.to_vec();
    refs.sort_unstable();
    let places: Vec<u32> = (0..u32::try_from(refs.len()).unwrap()).collect();
    let write = |key| kv::write(key, &places, value.map(<[u8]>::to_vec));
    kv::payload(&refs, keys.iter().map(|key| write(key)).collect())
}

fn references(ops: &[Op]) -> Vec<OpRef> {
    ops.iter().map(Op::reference).collect()
}

/// Authors who put values at the same keys, and one op that supersedes all of them. If that op is
/// delivered first, it leaves a mark for each value.
fn siblings(authors: usize, keys: &[Vec<u8>], value: &[u8]) -> Flood {
    let mut forge = Forge::for_store(lattice_kvstore::store_type());
    let payload = puts(keys, value);
    let many: Vec<Op> = (0..authors)
        .map(|author| alone(&mut forge, author, &payload))
        .collect();
    let payload = superseding(keys, &references(&many), None);
    let naming = vec![alone(&mut forge, 1_000_000, &payload)];
    Flood {
        name: "an op that supersedes all siblings",
        forge,
        many,
        naming,
    }
}

/// Authors who each supersede, at keys of their own, the values that one op puts at all these keys.
fn marks(authors: usize, keys: usize) -> Flood {
    let mut forge = Forge::for_store(lattice_kvstore::store_type());
    let keys: Vec<_> = (0..authors * keys).map(key).collect();
    let named = alone(&mut forge, 1_000_000, &puts(&keys, b"v"));
    let per_author = keys.chunks(keys.len() / authors);
    let many = per_author.enumerate().map(|(author, keys)| {
        let payload = superseding(keys, &[named.reference()], Some(b"w"));
        alone(&mut forge, author, &payload)
    });
    let many = many.collect();
    Flood {
        name: "an op that all marks name",
        forge,
        many,
        naming: vec![named],
    }
}

/// Two siblings at each key, and ops at other keys, all of which one op names at each of these
/// keys. It changes nothing, and looks up each name at each key.
fn wrong_names(names: usize, keys: &[Vec<u8>]) -> Flood {
    let mut forge = Forge::for_store(lattice_kvstore::store_type());
    let mut many: Vec<Op> = (0..names)
        .map(|author| alone(&mut forge, author, &puts(&[key(10_000_000)], b"")))
        .collect();
    let payload = superseding(keys, &references(&many), None);
    for author in 2_000_000..2_000_002 {
        many.push(alone(&mut forge, author, &puts(keys, b"")));
    }
    let naming = vec![alone(&mut forge, 1_000_000, &payload)];
    Flood {
        name: "an op that names ops of other keys",
        forge,
        many,
        naming,
    }
}

/// The state hash after these ops.
fn state<M: StateMachine + Clone>(machine: &M, forge: &Forge, ops: &[&Op]) -> String
where
    M::Command: Send + Sync,
{
    let (backend, path) = (Arc::new(MemoryBackend::new()), Path::new("state.db"));
    Engine::create(&*backend, path, forge.genesis(), machine).unwrap();
    let mut request = OpenRequest::new(backend.clone(), path);
    request.clock = Arc::new(ManualClock::new(3_400_000_000_000));
    let store = Engine::open(request, machine.clone()).unwrap();
    let given = ops
        .iter()
        .map(|op| Ok::<_, Infallible>(op.bytes().to_vec()));
    let report = store.ingest(given, &Authors::Any).unwrap();
    for (_, outcome) in &report.outcomes {
        assert!(matches!(outcome, Outcome::Applied { .. }), "{outcome:?}");
    }
    assert_eq!(store.held_ops().unwrap().count(), 0);
    assert_eq!(
        usize::try_from(store.op_count().unwrap()).unwrap(),
        ops.len()
    );
    if ops.len() < 100 {
        let verified = store.verify(Depth::Full, &*backend, &ProgressSink::none());
        assert_eq!(verified.unwrap().findings, []);
    }
    store.state_hash().unwrap().to_string()
}

/// Applies a flood in several orders of delivery, with the native code and with the module.
fn apply_in_each_order(flood: &Flood) {
    let Flood {
        name,
        forge,
        many,
        naming,
    } = flood;
    let module = WasmMachine::new(Code::new(guests::KVSTORE).unwrap(), &[]).unwrap();
    let (half, other_half) = many.split_at(many.len() / 2);
    let orders: [Vec<&Op>; 3] = [
        many.iter().chain(naming).collect(),
        naming.iter().chain(many.iter().rev()).collect(),
        other_half.iter().chain(naming).chain(half).collect(),
    ];
    let mut hashes = Vec::new();
    for order in &orders {
        let begin = Instant::now();
        hashes.push(state(&KvMachine::new(), forge, order));
        let native = begin.elapsed();
        hashes.push(state(&module, forge, order));
        println!(
            "{name}: {native:.1?} natively, {:.1?} as a module",
            begin.elapsed() - native
        );
    }
    hashes.dedup();
    assert_eq!(hashes.len(), 1, "{name}: {hashes:?}");
}

#[test]
fn an_op_that_supersedes_all_siblings() {
    apply_in_each_order(&siblings(64, &keys(16, 12), b"v"));
    apply_in_each_order(&siblings(64, &keys(4, 12), &[7; 1_100]));
}

#[test]
fn an_op_that_all_marks_name() {
    apply_in_each_order(&marks(16, 64));
    apply_in_each_order(&marks(128, 64));
}

/// The maximum of names in one op, 2^18, with the longest keys that these allow. Fewer in debug
/// builds.
#[test]
fn as_many_names_as_an_op_may_have() {
    let shorter = if cfg!(debug_assertions) { 16 } else { 1 };
    for (ops, count, length) in [(320, 819, 12), (2_048, 64, 128), (1_024, 64, 256)] {
        let keys = keys(count, length);
        apply_in_each_order(&siblings(ops / shorter, &keys, b""));
        apply_in_each_order(&wrong_names(ops / shorter, &keys));
    }
}
