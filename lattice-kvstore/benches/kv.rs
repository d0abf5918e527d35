//! Compares a key-value store with the same rows in a bare redb file, on the same disk in the same
//! run. The two are measured one after the other, and the faster one's file grows larger: use
//! `cargo xtask bench` for comparisons.
//!
//! The bare file has one table and no history, signatures or hashes. Both commit in single-writer
//! mode, in two phases, with caches of the same size. Keys are random, values have 100 bytes.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{
    BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main,
};
use lattice_backend::backend::OpenOptions;
use lattice_backend::engine::Engine;
use lattice_backend::engine::open::OpenRequest;
use lattice_backend::op::SecretKey;
use lattice_backend::redb::RedbBackend;
use lattice_kvstore::{KvMachine, KvStore, store_type};
use lattice_meta::{Genesis, Hlc, Nonce};
use lattice_registry::TypedStore;
use redb::{ReadableDatabase, ReadableTable};

const VALUE: [u8; 100] = [0x5a; 100];
/// Keys in the stores that the benchmarks read.
const KEYS: u64 = 100_000;
/// Rows of one scan.
const SCANNED: usize = 1000;
const ROWS: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("rows");

/// Sixteen pseudorandom bytes, a function of the number (the finalizer of SplitMix64, twice).
fn key(number: u64) -> [u8; 16] {
    let mix = |salt: u64| {
        let mut mixed = number
            .wrapping_add(salt)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).to_be_bytes()
    };
    let mut key = [0; 16];
    key[..8].copy_from_slice(&mix(1));
    key[8..].copy_from_slice(&mix(2));
    key
}

/// Numbers of keys, one after another.
#[derive(Default)]
struct Numbers(u64);

impl Numbers {
    fn take(&mut self, count: u64) -> std::ops::Range<u64> {
        let start = self.0;
        self.0 += count;
        start..self.0
    }
}

fn new_store(dir: &Path) -> KvStore {
    let backend = Arc::new(RedbBackend::on_files());
    let me = Arc::new(SecretKey::from_bytes(&[7; 32]));
    let nonce = Nonce::from_bytes([1; 16]);
    let genesis = Genesis::new(store_type(), me.public(), nonce, Hlc::ZERO, None);
    let path = dir.join("state.db");
    Engine::create(&*backend, &path, &genesis, &KvMachine::new()).expect("creates a store");
    let request = OpenRequest::new(backend, path).identity(me);
    KvStore::from_engine(Engine::open(request, KvMachine::new()).expect("opens it"))
}

fn put(kv: &KvStore, numbers: std::ops::Range<u64>) {
    let mut batch = kv.batch();
    batch.extend(numbers.map(|number| (key(number), VALUE)));
    batch.commit().expect("commits");
}

/// Rows in a bare file.
struct Bare(redb::Database);

impl Bare {
    fn new(dir: &Path) -> Self {
        let database = redb::Builder::new()
            .set_cache_size(OpenOptions::DEFAULT_CACHE_BYTES)
            .set_concurrency_mode(redb::ConcurrencyMode::SingleWriter)
            .create(dir.join("bare.redb"))
            .expect("creates a file");
        Self(database)
    }

    fn put(&self, numbers: std::ops::Range<u64>) {
        let tx = self.0.begin_write().expect("begins");
        {
            let mut table = tx.open_table(ROWS).expect("opens the table");
            for number in numbers {
                table.insert(&key(number)[..], &VALUE[..]).expect("inserts");
            }
        }
        tx.commit().expect("commits");
    }

    fn table(&self) -> redb::ReadOnlyTable<&'static [u8], &'static [u8]> {
        self.0
            .begin_read()
            .expect("begins")
            .open_table(ROWS)
            .expect("opens the table")
    }
}

/// The value of a key, copied as a store copies it.
fn get(table: &impl ReadableTable<&'static [u8], &'static [u8]>, number: u64) -> Vec<u8> {
    let value = table
        .get(&key(number)[..])
        .expect("reads")
        .expect("it is there");
    value.value().to_vec()
}

type Group<'a> = BenchmarkGroup<'a, criterion::measurement::WallTime>;

fn group<'a>(c: &'a mut Criterion, name: &str, elements: u64) -> Group<'a> {
    let mut group = c.benchmark_group(name);
    group.sample_size(20).warm_up_time(Duration::from_secs(1));
    group.measurement_time(Duration::from_secs(4));
    group.throughput(Throughput::Elements(elements));
    group
}

fn writes(c: &mut Criterion) {
    for (name, count) in [("put", 1), ("batch_100", 100), ("batch_10000", 10_000)] {
        let mut group = group(c, name, count);
        let dir = tempfile::tempdir().expect("makes a directory");
        let (kv, mut numbers) = (new_store(dir.path()), Numbers::default());
        group.bench_function("kv", |b| b.iter(|| put(&kv, numbers.take(count))));
        let (bare, mut numbers) = (Bare::new(dir.path()), Numbers::default());
        group.bench_function("bare_redb", |b| b.iter(|| bare.put(numbers.take(count))));
        group.finish();
    }
}

fn reads(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("makes a directory");
    let (kv, bare) = (new_store(dir.path()), Bare::new(dir.path()));
    for start in (0..KEYS).step_by(10_000) {
        put(&kv, start..start + 10_000);
        bare.put(start..start + 10_000);
    }
    // A step that visits every key before it returns to the first one.
    let mut number = 0;
    let mut next = || {
        number = (number + 61_803) % KEYS;
        number
    };

    let mut gets = group(c, "get", 1);
    gets.bench_function("kv", |b| {
        b.iter_batched(
            &mut next,
            |number| kv.get(key(number)),
            BatchSize::SmallInput,
        );
    });
    gets.bench_function("bare_redb", |b| {
        b.iter_batched(
            &mut next,
            |number| get(&bare.table(), number),
            BatchSize::SmallInput,
        );
    });
    gets.finish();

    let mut gets = group(c, "snapshot_get", 1);
    let snapshot = kv.snapshot().expect("reads");
    gets.bench_function("kv", |b| {
        b.iter_batched(
            &mut next,
            |number| snapshot.get(key(number)),
            BatchSize::SmallInput,
        );
    });
    let table = bare.table();
    gets.bench_function("bare_redb", |b| {
        b.iter_batched(
            &mut next,
            |number| get(&table, number),
            BatchSize::SmallInput,
        );
    });
    gets.finish();
    drop(table);

    scans(c, &kv, &bare);
    c.bench_function("count", |b| b.iter(|| kv.count().expect("reads")));
}

fn scans(c: &mut Criterion, kv: &KvStore, bare: &Bare) {
    let mut group = group(c, "scan_1000", u64::try_from(SCANNED).expect("fits"));
    group.bench_function("kv", |b| {
        b.iter(|| {
            let rows = kv.scan(key(black_box(0))..).expect("reads").take(SCANNED);
            rows.map(|row| row.expect("reads").1.len()).sum::<usize>()
        });
    });
    group.bench_function("bare_redb", |b| {
        b.iter(|| {
            let rows = bare
                .table()
                .range(&key(black_box(0))[..]..)
                .expect("reads")
                .take(SCANNED);
            let owned = rows.map(|row| {
                let (key, value) = row.expect("reads");
                (key.value().to_vec(), value.value().to_vec())
            });
            owned.map(|(_, value)| value.len()).sum::<usize>()
        });
    });
    group.finish();
}

criterion_group!(benches, writes, reads);
criterion_main!(benches);
