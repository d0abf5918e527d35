//! What a store reaches of raw redb, in turns: both files grow alike, each round writes to both,
//! first the one and then the other, and a ratio is taken round by round. (`kv.rs` measures one
//! after the other, on files of different sizes: good for times, not for ratios.)
//!
//! `cargo bench -p lattice-kvstore --bench ratios` (about half a minute)
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use lattice_backend::{Engine, OpenOptions, OpenRequest, RedbBackend, SecretKey};
use lattice_kvstore::{KvMachine, KvStore, store_type};
use lattice_meta::{Genesis, Hlc, Nonce};
use lattice_registry::TypedStore;

const ROWS: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("rows");
const VALUE: [u8; 100] = [0x5a; 100];
const CACHE_BYTES: usize = 128 << 20;
const ROUNDS: usize = 15;

fn open_store(dir: &Path) -> KvStore {
    let backend = Arc::new(RedbBackend::on_files());
    let me = Arc::new(SecretKey::from_bytes(&[7; 32]));
    let nonce = Nonce::from_bytes([1; 16]);
    let genesis = Genesis::new(store_type(), me.public(), nonce, Hlc::ZERO, None);
    let path = dir.join("state.db");
    Engine::create(&*backend, &path, &genesis, &KvMachine::new()).unwrap();
    let mut request = OpenRequest::new(backend, path).identity(me);
    request.options = OpenOptions {
        cache_bytes: CACHE_BYTES,
        ..request.options
    };
    KvStore::from_engine(Engine::open(request, KvMachine::new()).unwrap())
}

fn open_raw(dir: &Path) -> redb::Database {
    redb::Builder::new()
        .set_cache_size(CACHE_BYTES)
        .set_concurrency_mode(redb::ConcurrencyMode::SingleWriter)
        .create(dir.join("raw.db"))
        .unwrap()
}

/// Batches of new keys, 16 random bytes each (xorshift).
fn batches(random: &mut u64, commits: usize, batch: usize) -> Vec<Vec<[u8; 16]>> {
    let mut half = || {
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        u128::from(*random)
    };
    let mut key = || (half() << 64 | half()).to_be_bytes();
    (0..commits)
        .map(|_| (0..batch).map(|_| key()).collect())
        .collect()
}

/// Seconds that it takes to write the batches, a commit each.
fn write_store(kv: &KvStore, batches: &[Vec<[u8; 16]>]) -> f64 {
    let started = Instant::now();
    for keys in batches {
        let batch = keys
            .iter()
            .fold(kv.batch(), |batch, key| batch.put(key, VALUE));
        batch.commit().unwrap();
    }
    started.elapsed().as_secs_f64()
}

fn write_raw(database: &redb::Database, batches: &[Vec<[u8; 16]>]) -> f64 {
    let started = Instant::now();
    for keys in batches {
        let tx = database.begin_write().unwrap();
        let mut rows = tx.open_table(ROWS).unwrap();
        for key in keys {
            rows.insert(&key[..], &VALUE[..]).unwrap();
        }
        drop(rows);
        tx.commit().unwrap();
    }
    started.elapsed().as_secs_f64()
}

fn measure(batch: usize, before: usize, commits: usize) {
    let dir = tempfile::tempdir().unwrap();
    let (kv, raw) = (open_store(dir.path()), open_raw(dir.path()));
    let mut random = 0x9e37_79b9_7f4a_7c15;
    let first = batches(&mut random, before, batch);
    write_raw(&raw, &first);
    write_store(&kv, &first);
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        let batches = batches(&mut random, commits, batch);
        // Whoever comes second may pay for what the first left to be written.
        let (raw_s, kv_s) = if round % 2 == 0 {
            let raw_s = write_raw(&raw, &batches);
            (raw_s, write_store(&kv, &batches))
        } else {
            let kv_s = write_store(&kv, &batches);
            (write_raw(&raw, &batches), kv_s)
        };
        ratios.push(raw_s / kv_s);
    }
    ratios.sort_by(f64::total_cmp);
    let (least, median, most) = (ratios[0], ratios[ROUNDS / 2], ratios[ROUNDS - 1]);
    println!("{batch:>6} keys a commit: {median:.2} of raw ({least:.2} to {most:.2})");
}

fn main() {
    // `cargo test --benches` runs this too; there is nothing to test.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    measure(1, 2000, 500);
    measure(100, 200, 50);
    measure(10_000, 8, 3);
}
