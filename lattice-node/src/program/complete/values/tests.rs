//! How much completion reads.

use std::path::Path;
use std::sync::Arc;

use lattice_backend::backend::{MemoryBackend, OpenOptions, StateBackend};
use lattice_backend::clock::ManualClock;
use lattice_backend::conformance::{CountingBackend, Work};
use lattice_backend::engine::Engine;
use lattice_backend::engine::open::OpenRequest;
use lattice_backend::journal::{JournaledBackend, Tuning};
use lattice_backend::op::SecretKey;
use lattice_backend::redb::{FileDisk, RedbBackend};
use lattice_kvstore::{KvMachine, KvStore};
use lattice_meta::{Genesis, Hlc, Nonce};
use lattice_registry::TypedStore;

use super::{MOST, ends, keys};

/// Offers keys of a store with this many, which a writer that has it open has written; the keys,
/// and what was read for them.
fn offered(
    backend: Arc<dyn StateBackend>,
    path: &Path,
    count: u32,
    prefix: &str,
) -> (Vec<String>, Work) {
    let owner = SecretKey::from_bytes(&[7; 32]);
    let nonce = Nonce::from_bytes([1; 16]);
    let store_type = lattice_kvstore::store_type();
    let genesis = Genesis::new(store_type, owner.public(), nonce, Hlc::from_u64(0), None);
    let backend = CountingBackend::new(backend);
    Engine::create(&backend, path, &genesis, &KvMachine::new()).unwrap();
    let request = || {
        let mut request = OpenRequest::new(Arc::new(backend.clone()), path);
        request.clock = Arc::new(ManualClock::new(1));
        request
    };
    let writing = request().identity(Arc::new(owner));
    let writer = KvStore::from_engine(Engine::open(writing, KvMachine::new()).unwrap());
    for first in (0..count).step_by(500) {
        let keys = (first..count).take(500).map(|key| format!("key {key:08}"));
        let batch = keys.fold(writer.batch(), |batch, key| batch.put(key, "v"));
        batch.commit().unwrap();
    }
    let before = backend.work();
    let mut reading = request();
    reading.options = OpenOptions::read_only();
    let kv = KvStore::from_engine(Engine::open(reading, KvMachine::new()).unwrap());
    let found = keys(&kv, prefix).unwrap();
    let read = backend.work().since(before);
    let has_journal = path.with_file_name("state.db.journal-0").exists();
    assert_eq!(has_journal, path.exists(), "files have a journal now");
    writer.close().unwrap();
    let found = found.into_iter().map(|key| String::from_utf8(key).unwrap());
    (found.collect(), read)
}

/// The same in memory.
fn offered_in_memory(count: u32, prefix: &str) -> (Vec<String>, Work) {
    let backend = Arc::new(MemoryBackend::new());
    offered(backend, Path::new("/state.db"), count, prefix)
}

/// The same in a file with a journal, which has the last of the keys.
fn offered_in_a_journal(count: u32, prefix: &str) -> (Vec<String>, Work) {
    let dir = tempfile::tempdir().unwrap();
    let tuning = Tuning {
        burst_commits: 1,
        ..Tuning::default()
    };
    let backend = JournaledBackend::over(RedbBackend::on_files(), FileDisk).tuned(tuning);
    let path = dir.path().join("state.db");
    offered(Arc::new(backend), &path, count, prefix)
}

/// Asserts that a large store is read no more than a small one.
fn assert_bounded(offered: impl Fn(u32, &str) -> (Vec<String>, Work)) {
    let ((small, of_small), (large, of_large)) = (offered(1_000, ""), offered(16_000, ""));
    assert_eq!((small.len(), large.len()), (MOST + 1, MOST + 1));
    assert_eq!(of_small, of_large);
    assert!(of_large.rows_read < 600, "{of_large:?}");
    assert!(of_large.bytes_read < 32 << 10, "{of_large:?}");
    // What the first and the last have in common begins all of them.
    assert_eq!(large[0], "key 00000000");
    assert_eq!(large[MOST], "key 00015999");
    let (few, _) = offered(1_000, "key 0000099");
    assert_eq!(few.len(), 10);
}

#[test]
fn offering_keys_reads_as_much_of_a_large_store_as_of_a_small_one() {
    assert_bounded(offered_in_memory);
}

#[test]
fn offering_keys_reads_as_much_of_a_large_store_that_is_written_now() {
    assert_bounded(offered_in_a_journal);
}

#[test]
fn items_up_to_the_most_are_all_offered() {
    for count in [0, 1, MOST - 1, MOST, MOST + 1, MOST + 2] {
        let found: Vec<usize> = ends(0..count).collect();
        assert_eq!(found.len(), count.min(MOST + 1));
        assert_eq!(found.last().copied(), count.checked_sub(1));
    }
}
