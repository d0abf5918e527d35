//! Compares a log with the same bytes in bare redb files, on the same disk in the same run.
//!
//! The bare file has one table with a row for each entry, under a key of the same length, and no
//! history, signatures or hashes. Both commit in single-writer mode.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use lattice_backend::engine::Engine;
use lattice_backend::engine::open::OpenRequest;
use lattice_backend::op::SecretKey;
use lattice_backend::redb::RedbBackend;
use lattice_logstore::{LogMachine, LogStore, Selection, store_type};
use lattice_meta::{Genesis, Hlc, Nonce};
use lattice_registry::TypedStore;
use redb::{ReadableDatabase, ReadableTable};

const CONTENT: [u8; 100] = [0x5a; 100];
const BATCH: usize = 100;
/// Entries in the logs that the benchmarks read.
const ENTRIES: u64 = 100_000;
const ROWS: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("rows");
const KEY_LEN: usize = 44;
const AUTHOR: [u8; 32] = [0xa0; 32];

fn new_log(dir: &Path) -> LogStore {
    let backend = Arc::new(RedbBackend::on_files());
    let me = Arc::new(SecretKey::from_bytes(&[7; 32]));
    let nonce = Nonce::from_bytes([1; 16]);
    let genesis = Genesis::new(store_type(), me.public(), nonce, Hlc::ZERO, None);
    let path = dir.join("state.db");
    Engine::create(&*backend, &path, &genesis, &LogMachine::new()).expect("creates a store");
    let request = OpenRequest::new(backend, path).identity(me);
    LogStore::from_engine(Engine::open(request, LogMachine::new()).expect("opens it"))
}

/// Rows in a bare file.
struct Bare {
    database: redb::Database,
    rows: u64,
}

impl Bare {
    fn new(dir: &Path) -> Self {
        let database = redb::Builder::new()
            .set_cache_size(lattice_backend::backend::OpenOptions::DEFAULT_CACHE_BYTES)
            .set_concurrency_mode(redb::ConcurrencyMode::SingleWriter)
            .create(dir.join("bare.redb"))
            .expect("creates a file");
        Self { database, rows: 0 }
    }

    fn append(&mut self, count: usize) {
        let tx = self.database.begin_write().expect("begins");
        {
            let mut table = tx.open_table(ROWS).expect("opens the table");
            let value = [&AUTHOR[..], &CONTENT].concat();
            for _ in 0..count {
                let mut key = [0; KEY_LEN];
                key[..8].copy_from_slice(&self.rows.to_be_bytes());
                self.rows += 1;
                table.insert(&key[..], value.as_slice()).expect("inserts");
            }
        }
        tx.commit().expect("commits");
    }

    /// Bytes of the newest `count` rows, or of all rows if there are fewer.
    fn read(&self, count: usize) -> usize {
        let tx = self.database.begin_read().expect("begins");
        let table = tx.open_table(ROWS).expect("opens the table");
        let rows = table.iter().expect("reads").rev().take(count);
        // Copied, as the entries of a log are.
        rows.map(|row| row.expect("reads").1.value().to_vec().len())
            .sum()
    }
}

type Group<'a> = BenchmarkGroup<'a, criterion::measurement::WallTime>;

fn settings(group: &mut Group<'_>) {
    group.sample_size(20).warm_up_time(Duration::from_secs(1));
    group.measurement_time(Duration::from_secs(4));
}

fn appends(c: &mut Criterion) {
    let mut group = c.benchmark_group("append");
    settings(&mut group);
    for (name, count) in [("1", 1), ("many_100", BATCH)] {
        group.throughput(Throughput::Elements(u64::try_from(count).expect("fits")));
        let dir = tempfile::tempdir().expect("makes a directory");
        let log = new_log(dir.path());
        group.bench_function(format!("{name}/log"), |b| {
            b.iter(|| match count {
                1 => log.append(CONTENT).expect("appends"),
                _ => log.append_many(vec![CONTENT; count]).expect("appends"),
            });
        });
        let mut bare = Bare::new(dir.path());
        group.bench_function(format!("{name}/bare_redb"), |b| {
            b.iter(|| bare.append(count))
        });
    }
    group.finish();
}

fn reads(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("makes a directory");
    let log = new_log(dir.path());
    let mut bare = Bare::new(dir.path());
    let batch = 1000;
    for _ in 0..ENTRIES / 1000 {
        log.append_many(vec![CONTENT; batch]).expect("appends");
        bare.append(batch);
    }
    let mut group = c.benchmark_group("tail_10");
    settings(&mut group);
    group.throughput(Throughput::Elements(10));
    group.bench_function("log", |b| {
        b.iter(|| log.tail(black_box(10)).expect("reads").len())
    });
    group.bench_function("bare_redb", |b| b.iter(|| bare.read(black_box(10))));
    group.finish();

    let mut group = c.benchmark_group("read_100000");
    settings(&mut group);
    group.throughput(Throughput::Elements(ENTRIES));
    group.bench_function("log", |b| {
        b.iter(|| {
            let entries = log.read(Selection::all().newest_first()).expect("reads");
            entries
                .map(|entry| entry.expect("reads").content.len())
                .sum::<usize>()
        });
    });
    group.bench_function("bare_redb", |b| b.iter(|| bare.read(usize::MAX)));
    group.finish();

    c.bench_function("len", |b| b.iter(|| log.len().expect("reads")));
}

criterion_group!(benches, appends, reads);
criterion_main!(benches);
