//! A reader beside a writer that folds all the time.
//!
//! `LATTICE_JOURNAL_FOLDS=n` sets the number of folds.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use lattice_backend::backend::{MemoryBackend, OpenOptions, ReadTx, StateBackend, StateDb, Table};
use lattice_backend::journal::{JournaledBackend, Tuning};
use lattice_backend::redb::RedbBackend;
use lattice_backend::storage::{Disk, FileMode, MemoryDisk, Storage, StorageOver};

use super::support::*;
use crate::conformance::eager;

/// A disk whose writes to a journal are not atomic: a reader can see the first half of one.
#[derive(Debug, Clone)]
struct Halves(MemoryDisk);

#[derive(Debug)]
struct HalvesStorage(Box<dyn Storage>);

impl Halves {
    fn halves(path: &Path, opened: Box<dyn Storage>) -> io::Result<Box<dyn Storage>> {
        match path.to_string_lossy().contains(".journal-") {
            true => Ok(Box::new(HalvesStorage(opened))),
            false => Ok(opened),
        }
    }
}

impl lattice_backend::storage::DiskOver for Halves {
    fn under(&self) -> &dyn Disk {
        &self.0
    }

    fn open(&self, path: &Path, mode: FileMode) -> io::Result<Box<dyn Storage>> {
        Self::halves(path, self.0.open(path, mode)?)
    }

    fn create_beside(&self, store: &Path, path: &Path) -> io::Result<Box<dyn Storage>> {
        Self::halves(path, self.0.create_beside(store, path)?)
    }
}

impl StorageOver for HalvesStorage {
    fn under(&self) -> &dyn Storage {
        &*self.0
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let (first, second) = bytes.split_at(bytes.len() / 2);
        self.0.write_at(offset, first)?;
        std::thread::yield_now();
        let place = offset + u64::try_from(first.len()).map_err(io::Error::other)?;
        self.0.write_at(place, second)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }
}

/// A generation of each record that finds the last one folded.
fn folding() -> Tuning {
    Tuning {
        segment_bytes: 1,
        table_bytes: 1,
        ..eager()
    }
}

/// The rows of a store after n commits: n, and the last few of them.
fn state(count: u64) -> Model {
    let rows = (count.saturating_sub(4) + 1..=count)
        .map(|nth| ((Table::Data, nth.to_be_bytes().to_vec()), vec![7; 30]));
    let number = (
        (Table::System, b"number".to_vec()),
        count.to_be_bytes().to_vec(),
    );
    rows.chain((count > 0).then_some(number)).collect()
}

fn put(db: &dyn StateDb, nth: u64) {
    let mut tx = db.begin_write().unwrap();
    tx.put(Table::System, b"number", &nth.to_be_bytes())
        .unwrap();
    tx.put(Table::Data, &nth.to_be_bytes(), &[7; 30]).unwrap();
    if nth > 4 {
        tx.remove(Table::Data, &(nth - 4).to_be_bytes()).unwrap();
    }
    if nth.is_multiple_of(50) {
        // This one is written through.
        tx.put(Table::Meta, b"name", b"").unwrap();
    }
    tx.commit().unwrap().wait().unwrap();
}

fn number_of(view: &dyn ReadTx) -> u64 {
    let row = view.get(Table::System, b"number").unwrap();
    row.map_or(0, |row| u64::from_be_bytes(row.try_into().unwrap()))
}

/// The generation that the writer appends to: one more than were folded.
fn generation(disk: &MemoryDisk) -> u64 {
    let slots = (0..2).filter_map(|file| {
        let bytes = disk.bytes(&segment(file))?;
        Some(u64::from_le_bytes(
            bytes[8192 + 16..8192 + 24].try_into().unwrap(),
        ))
    });
    slots.max().unwrap_or(0)
}

/// Generations of several records: the end that the other segment publishes is an old one.
fn folding_less() -> Tuning {
    Tuning {
        segment_bytes: 12288 + 1000,
        table_bytes: 1 << 20,
        ..eager()
    }
}

fn race(inner: impl StateBackend + 'static, disk: MemoryDisk, tuning: Tuning, folds: u64) {
    let backend = JournaledBackend::over(inner, Halves(disk.clone())).tuned(tuning);
    super::life::create(&backend);
    let acknowledged = AtomicU64::new(0);
    let is_over = AtomicBool::new(false);
    let read_on = |db: Arc<dyn StateDb>| {
        let mut last = 0;
        let mut count = 0_u64;
        while !is_over.load(Ordering::SeqCst) {
            let least = acknowledged.load(Ordering::SeqCst);
            let view = db.snapshot().unwrap();
            let number = number_of(&*view);
            assert!(number >= least, "{number}, and {least} were acknowledged");
            assert!(number >= last, "{number} after {last}");
            let mut found = rows(&*view).unwrap();
            found.remove(&(Table::Meta, b"name".to_vec()));
            assert!(found == state(number), "{number}: {found:?}");
            last = number;
            count += 1;
        }
        count
    };
    let open = |options| backend.open(store(), &options).unwrap();
    let (reads, commits, generations) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| read_on(open(OpenOptions::read_only())));
        // This one knows nothing at first, each time.
        let fresh = scope.spawn(|| {
            let mut count = 0;
            while !is_over.load(Ordering::SeqCst) {
                let least = acknowledged.load(Ordering::SeqCst);
                let db = open(OpenOptions::read_only());
                let number = number_of(&*db.snapshot().unwrap());
                assert!(number >= least, "{number}, and {least} were acknowledged");
                db.close().unwrap();
                count += 1;
            }
            count
        });
        let db = open(OpenOptions::read_write());
        let mut nth = 0;
        // Readers that have failed end the race.
        while generation(&disk) <= folds && !reader.is_finished() && !fresh.is_finished() {
            nth += 1;
            put(&*db, nth);
            acknowledged.store(nth, Ordering::SeqCst);
        }
        is_over.store(true, Ordering::SeqCst);
        let reads = (reader.join(), fresh.join());
        let generations = generation(&disk);
        db.close().unwrap();
        ((reads.0.unwrap(), reads.1.unwrap()), nth, generations)
    });
    eprintln!("{commits} commits, {generations} generations, {reads:?} snapshots");
    assert!(read(&backend).unwrap().len() >= 5);
}

#[test]
fn readers_race_with_folds() {
    let folds = number("LATTICE_JOURNAL_FOLDS").unwrap_or(2_000);
    let (rows, disk) = (MemoryBackend::new(), MemoryDisk::new());
    race(rows, disk, folding(), folds);
    let (rows, disk) = (MemoryBackend::new(), MemoryDisk::new());
    race(rows, disk, folding_less(), folds);
    let disk = MemoryDisk::new();
    let rows = RedbBackend::on_disk(disk.clone());
    race(rows, disk, folding(), folds / 10);
}
