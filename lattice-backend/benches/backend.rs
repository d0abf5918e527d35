//! Compares commits, peeks and opens through the backend with raw redb in the same mode.
//!
//! `cargo bench -p lattice-backend --bench backend`
#![allow(clippy::unwrap_used)]

use std::convert::Infallible;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use lattice_backend::backend::{OpenOptions, StateBackend, Table};
use lattice_backend::engine::Engine;
use lattice_backend::engine::open::OpenRequest;
use lattice_backend::machine::{
    DataRead, DataWrite, History, Invalid, Logic, MachineError, StateMachine,
};
use lattice_backend::op::{OpView, SecretKey};
use lattice_backend::redb::RedbBackend;
use lattice_meta::{Genesis, Hlc, Nonce};
use redb::{ConcurrencyMode, Database, ReadableDatabase, TableDefinition};

const DATA: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("data");
const META: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("meta");
const VALUE: [u8; 100] = [7; 100];

/// Each op puts a row of 100 bytes under a counted key.
struct Rows(Logic);

impl Rows {
    fn new() -> Self {
        Self(Logic::new("org.example.rows", "rows/1").unwrap())
    }
}

impl StateMachine for Rows {
    type Command = u64;
    type Refusal = Infallible;
    type Payload<'a> = &'a [u8];

    fn logic(&self) -> &Logic {
        &self.0
    }

    fn decode<'a>(&self, payload: &'a [u8]) -> Result<&'a [u8], Invalid> {
        Ok(payload)
    }

    fn prepare(
        &self,
        key: &u64,
        _: &dyn DataRead,
        _: &dyn History,
    ) -> Result<Vec<u8>, MachineError<Infallible>> {
        Ok(key.to_be_bytes().to_vec())
    }

    fn apply(
        &self,
        _: &OpView<'_>,
        key: &[u8],
        data: &mut dyn DataWrite,
        _: &dyn History,
    ) -> lattice_backend::backend::Result<()> {
        data.put(key, &VALUE)
    }
}

fn raw(path: &Path) -> Database {
    redb::Builder::new()
        .set_concurrency_mode(ConcurrencyMode::SingleWriter)
        .create(path)
        .unwrap()
}

fn store(dir: &Path) -> (Arc<RedbBackend>, PathBuf, OpenRequest) {
    let backend = Arc::new(RedbBackend::on_files());
    let path = dir.join("state.db");
    let secret = Arc::new(SecretKey::from_bytes(&[1; 32]));
    let nonce = Nonce::from_bytes([2; 16]);
    let store_type = Rows::new().0.store_type().clone();
    let genesis = Genesis::new(store_type, secret.public(), nonce, Hlc::ZERO, None);
    Engine::create(&*backend, &path, &genesis, &Rows::new()).unwrap();
    let shared: Arc<dyn StateBackend> = backend.clone();
    let request = OpenRequest::new(shared, &path).identity(secret);
    (backend, path, request)
}

fn commits(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let mut group = criterion.benchmark_group("commit of one row");
    let mut next = 0_u64;
    let mut key = || {
        next += 1;
        next.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    };

    let database = raw(&dir.path().join("raw.db"));
    group.bench_function("raw redb", |bencher| {
        bencher.iter(|| {
            let tx = database.begin_write().unwrap();
            let mut table = tx.open_table(DATA).unwrap();
            table.insert(&key().to_be_bytes()[..], &VALUE[..]).unwrap();
            drop(table);
            tx.commit().unwrap();
        });
    });

    let (backend, path, request) = store(dir.path());
    let db = backend.open(&path, &OpenOptions::read_write()).unwrap();
    group.bench_function("backend", |bencher| {
        bencher.iter(|| {
            let key = key().to_be_bytes();
            let mut tx = db.begin_write().unwrap();
            tx.put(Table::Data, &key, &VALUE).unwrap();
            tx.commit().unwrap().wait().unwrap();
        });
    });
    db.close().unwrap();

    let engine = Engine::open(request, Rows::new()).unwrap();
    group.bench_function("signed op", |bencher| {
        bencher.iter(|| engine.append(key()).unwrap());
    });
    group.finish();
}

fn batches(criterion: &mut Criterion) {
    const ROWS: u64 = 1_000;
    let dir = tempfile::tempdir().unwrap();
    let mut group = criterion.benchmark_group("commit of 1,000 rows");
    group.sample_size(50);
    let mut next = 0_u64;
    let mut key = || {
        next += 1;
        next.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    };

    let database = raw(&dir.path().join("raw.db"));
    group.bench_function("raw redb", |bencher| {
        bencher.iter(|| {
            let tx = database.begin_write().unwrap();
            let mut table = tx.open_table(DATA).unwrap();
            for _ in 0..ROWS {
                table.insert(&key().to_be_bytes()[..], &VALUE[..]).unwrap();
            }
            drop(table);
            tx.commit().unwrap();
        });
    });

    let (backend, path, _) = store(dir.path());
    let db = backend.open(&path, &OpenOptions::read_write()).unwrap();
    group.bench_function("backend", |bencher| {
        bencher.iter(|| {
            let mut tx = db.begin_write().unwrap();
            for _ in 0..ROWS {
                tx.put(Table::Data, &key().to_be_bytes(), &VALUE).unwrap();
            }
            tx.commit().unwrap().wait().unwrap();
        });
    });
    db.close().unwrap();
    group.finish();
}

fn peeks_and_opens(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let (backend, path, request) = store(dir.path());
    let engine = Engine::open(request.clone(), Rows::new()).unwrap();
    for key in 0..2_000 {
        engine.append(key).unwrap();
    }

    let mut group = criterion.benchmark_group("peek, 2,000 ops");
    group.bench_function("live", |bencher| {
        bencher.iter(|| black_box(backend.peek_info(&path).unwrap()));
    });
    engine.close().unwrap();
    group.bench_function("clean", |bencher| {
        bencher.iter(|| black_box(backend.peek_info(&path).unwrap()));
    });
    group.bench_function("raw redb, open and three gets", |bencher| {
        bencher.iter(|| {
            let database = redb::Builder::new()
                .set_concurrency_mode(ConcurrencyMode::SingleWriter)
                .open_read_only(&path)
                .unwrap();
            let table = database.begin_read().unwrap().open_table(META).unwrap();
            for key in [&b"store_id"[..], b"store_type", b"schema_version"] {
                black_box(table.get_owned(key).unwrap().unwrap());
            }
        });
    });
    group.finish();

    let mut group = criterion.benchmark_group("open and close, 2,000 ops");
    group.sample_size(30);
    group.bench_function("for writing", |bencher| {
        bencher.iter(|| {
            Engine::open(request.clone(), Rows::new())
                .unwrap()
                .close()
                .unwrap()
        });
    });
    let mut read_only = request;
    read_only.options = OpenOptions::read_only();
    group.bench_function("for reading", |bencher| {
        bencher.iter(|| {
            Engine::open(read_only.clone(), Rows::new())
                .unwrap()
                .close()
                .unwrap()
        });
    });
    group.bench_function("raw redb, for writing", |bencher| {
        bencher.iter(|| raw(&path).close().unwrap());
    });
    group.finish();
}

criterion_group!(benches, commits, batches, peeks_and_opens);
criterion_main!(benches);
