//! The memory that small ops over large values take: the allocator counts it, in a process of its
//! own.
//!
//! For the long form:
//! `LATTICE_MEMORY_KEYS=600 cargo test --release -p lattice-kvstore --test memory -- --nocapture`.
#![allow(clippy::unwrap_used)]

use std::alloc::System;
use std::path::Path;
use std::sync::Arc;

use cap::Cap;
use lattice_backend::backend::{MemoryBackend, OpenOptions, StateBackend};
use lattice_backend::conformance::{CountingBackend, Work};
use lattice_backend::engine::Engine;
use lattice_backend::engine::ingest::Authors;
use lattice_backend::engine::open::OpenRequest;
use lattice_backend::engine::verify::{Depth, rebuild_store};
use lattice_backend::op::{BranchTips, SecretKey};
use lattice_backend::progress::ProgressSink;
use lattice_backend::redb::RedbBackend;
use lattice_kvstore::{KvMachine, KvStore, store_type};
use lattice_meta::{Genesis, Hlc, Nonce};
use lattice_registry::{StoreHandle, TypedStore};

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

/// The backend's cache.
const CACHE: usize = 16 << 20;
/// Memory that an op may take beyond the cache and four times its size.
const ROOM: usize = 64 << 20;
const VALUE_LEN: usize = 1 << 20;
const LONG_LEN: usize = 15 << 20;

fn genesis() -> Genesis {
    let owner = SecretKey::from_bytes(&[1; 32]).public();
    let nonce = Nonce::from_bytes([1; 16]);
    Genesis::new(store_type(), owner, nonce, Hlc::ZERO, None)
}

fn open(backend: &CountingBackend, path: &Path, author: u8) -> KvStore {
    Engine::create(backend, path, &genesis(), &KvMachine::new()).unwrap();
    let identity = Arc::new(SecretKey::from_bytes(&[author; 32]));
    let mut request = OpenRequest::new(Arc::new(backend.clone()), path).identity(identity);
    request.options.cache_bytes = CACHE;
    KvStore::from_engine(Engine::open(request, KvMachine::new()).unwrap())
}

fn pull(from: &KvStore, to: &KvStore, known: &BranchTips) -> usize {
    let mut bytes = 0;
    let ops = from.ops_after(known).unwrap();
    let ops = ops.inspect(|op| bytes += op.as_ref().map_or(0, Vec::len));
    let report = to.engine().ingest(ops, &Authors::Any).unwrap();
    assert!(report.is_complete(), "{:?}", report.outcomes);
    bytes
}

/// Checks that the peak so far fits the limit of the largest op.
fn check_peak(phase: &str, op_bytes: usize) {
    let peak = MEMORY.max_allocated();
    println!("{phase}: a peak of {} KiB so far", peak >> 10);
    let most = CACHE + ROOM + 4 * op_bytes;
    assert!(peak <= most, "{phase}: {peak} bytes, at most {most}");
}

fn bytes(work: Work) -> u64 {
    work.bytes_read + work.bytes_written
}

/// One test, since the peak is that of the process: 1 MiB values at many keys; small concurrent
/// puts at all of them and deletes of just those, alternating; a delete of all; verification and
/// rebuilding.
#[test]
fn small_ops_over_large_values_take_little_memory_and_work() {
    let keys = std::env::var("LATTICE_MEMORY_KEYS").map_or(120, |keys| keys.parse().unwrap());
    let key = |nth: usize| format!("key {nth:06}");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let files = CountingBackend::new(Arc::new(RedbBackend::on_files()));
    let here = open(&files, &path, 1);
    for nth in 0..keys {
        here.put(key(nth), vec![0x5a; VALUE_LEN]).unwrap();
    }
    check_peak("puts of 1 MiB", VALUE_LEN);

    // Another author, who has seen none of these ops.
    let memory = CountingBackend::new(Arc::new(MemoryBackend::new()));
    let there = open(&memory, Path::new("there"), 2);
    for round in 0..3 {
        for is_put in [true, false] {
            let known = there.branch_tips().unwrap();
            let mut batch = there.batch();
            for nth in 0..keys {
                batch = match is_put {
                    true => batch.put(key(nth), "small"),
                    false => batch.delete(key(nth)),
                };
            }
            batch.commit().unwrap();
            let (before, hashed) = (files.work(), here.engine().hashed().1);
            let sent = pull(&there, &here, &known);
            let hashed = here.engine().hashed().1 - hashed;
            let work = bytes(files.work().since(before)) + hashed;
            let sent = u64::try_from(sent).unwrap();
            println!("round {round}: an op of {sent} bytes cost {work}");
            assert!(work <= 100 * sent, "{work} bytes for an op of {sent}");
        }
        check_peak("small puts and deletes in turns", VALUE_LEN);
    }
    assert_eq!(here.count().unwrap(), u64::try_from(keys).unwrap());

    let mut batch = here.batch();
    for nth in 0..keys {
        batch = batch.delete(key(nth));
    }
    batch.commit().unwrap();
    assert_eq!(here.count().unwrap(), 0);
    check_peak("one op that deletes all", VALUE_LEN);

    // Puts and replaces the longest values and batches that an op has room for.
    for round in 0..2_u8 {
        here.put("long", vec![round; LONG_LEN]).unwrap();
        let mut batch = here.batch();
        for nth in 0..65_536 {
            batch = batch.put(key(nth), [round; 100]);
        }
        batch.commit().unwrap();
    }
    check_peak("ops of 15 MiB", LONG_LEN);

    let other = CountingBackend::new(Arc::new(RedbBackend::on_files()));
    let copy = open(&other, &dir.path().join("copy.db"), 3);
    pull(&here, &copy, &BranchTips::default());
    assert_eq!(copy.state_hash().unwrap(), here.state_hash().unwrap());
    copy.close().unwrap();
    check_peak("the same taken in by another store", LONG_LEN);

    let verified = here
        .verify(
            Depth::Full,
            &RedbBackend::on_files(),
            &ProgressSink::default(),
        )
        .unwrap();
    assert!(verified.is_ok(), "{:?}", verified.findings);
    check_peak("a full verification", LONG_LEN);
    here.close().unwrap();

    let backend = RedbBackend::on_files();
    let held = backend.open(&path, &OpenOptions::read_write()).unwrap();
    let target = dir.path().join("rebuilt");
    let watch = ProgressSink::default();
    let machine = KvMachine::new();
    rebuild_store(&backend, &*held, &path, &target, machine, &watch).unwrap();
    check_peak("a rebuild", LONG_LEN);
}
