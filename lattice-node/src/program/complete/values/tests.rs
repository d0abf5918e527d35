//! How much completion reads.

use std::path::Path;
use std::sync::Arc;

use lattice_backend::backend::{MemoryBackend, OpenOptions};
use lattice_backend::clock::ManualClock;
use lattice_backend::conformance::CountingBackend;
use lattice_backend::engine::Engine;
use lattice_backend::engine::open::OpenRequest;
use lattice_backend::op::SecretKey;
use lattice_kvstore::{KvMachine, KvStore};
use lattice_meta::{Genesis, Hlc, Nonce};
use lattice_registry::TypedStore;

use super::{MOST, ends, keys};

/// A store with this many keys, which are opened and offered; the keys, and how many rows were
/// read.
fn offered(count: u32, prefix: &str) -> (Vec<String>, u64) {
    let path = Path::new("/state.db");
    let owner = SecretKey::from_bytes(&[7; 32]);
    let nonce = Nonce::from_bytes([1; 16]);
    let store_type = lattice_kvstore::store_type();
    let genesis = Genesis::new(store_type, owner.public(), nonce, Hlc::from_u64(0), None);
    let backend = CountingBackend::new(Arc::new(MemoryBackend::new()));
    Engine::create(&backend, path, &genesis, &KvMachine::new()).unwrap();
    let request = || {
        let mut request = OpenRequest::new(Arc::new(backend.clone()), path);
        request.clock = Arc::new(ManualClock::new(1));
        request
    };
    let writing = request().identity(Arc::new(owner));
    let kv = KvStore::from_engine(Engine::open(writing, KvMachine::new()).unwrap());
    let puts = (0..count).map(|key| format!("key {key:08}"));
    let batch = puts.fold(kv.batch(), |batch, key| batch.put(key, "v"));
    batch.commit().unwrap();
    kv.close().unwrap();
    let before = backend.work();
    let mut reading = request();
    reading.options = OpenOptions::read_only();
    let kv = KvStore::from_engine(Engine::open(reading, KvMachine::new()).unwrap());
    let found = keys(&kv, prefix).unwrap();
    let found = found.into_iter().map(|key| String::from_utf8(key).unwrap());
    (found.collect(), backend.work().since(before).rows_read)
}

#[test]
fn offering_keys_reads_as_many_rows_of_a_large_store_as_of_a_small_one() {
    let ((small, of_small), (large, of_large)) = (offered(1_000, ""), offered(16_000, ""));
    assert_eq!((small.len(), large.len()), (MOST + 1, MOST + 1));
    assert_eq!(of_small, of_large);
    assert!(of_large < 600, "{of_large} rows");
    // What the first and the last have in common begins all of them.
    assert_eq!(large[0], "key 00000000");
    assert_eq!(large[MOST], "key 00015999");
    let (few, _) = offered(1_000, "key 0000099");
    assert_eq!(few.len(), 10);
}

#[test]
fn items_up_to_the_most_are_all_offered() {
    for count in [0, 1, MOST - 1, MOST, MOST + 1, MOST + 2] {
        let found: Vec<usize> = ends(0..count).collect();
        assert_eq!(found.len(), count.min(MOST + 1));
        assert_eq!(found.last().copied(), count.checked_sub(1));
    }
}
