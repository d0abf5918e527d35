//! Many stores share one limit, and a session's files grow before commits need that.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use lattice_backend::backend::{OpenOptions, StateBackend, StateDb, Table};
use lattice_backend::journal::{JournaledBackend, Tuning};
use lattice_backend::redb::RedbBackend;
use lattice_backend::storage::{Disk, FileMode, MemoryDisk, Storage, StorageOver};

use super::support::*;
use crate::conformance::eager;

const VALUE: usize = 8 << 10;
const MAX_WAIT: Duration = Duration::from_secs(60);

fn put(db: &dyn StateDb, nth: u64, len: usize) {
    let mut tx = db.begin_write().unwrap();
    tx.put(Table::Data, &nth.to_be_bytes(), &vec![7; len])
        .unwrap();
    tx.commit().unwrap().wait().unwrap();
}

/// Stores with large generations, which share a limit that no other test has.
fn stores(count: usize, process_bytes: usize) -> Vec<(JournaledBackend, Arc<dyn StateDb>)> {
    let tuning = Tuning {
        segment_bytes: 8 << 20,
        table_bytes: 4 << 20,
        process_bytes,
        ..eager()
    };
    let store = |_| {
        let disk = MemoryDisk::new();
        let redb = RedbBackend::on_disk(disk.clone());
        let backend = JournaledBackend::over(redb, disk).tuned(tuning);
        super::life::create(&backend);
        let db = backend.open(store(), &OpenOptions::read_write()).unwrap();
        // This one begins the session.
        put(&*db, 0, 1);
        (backend, db)
    };
    (0..count).map(store).collect()
}

/// The bytes in the journal of a store.
fn held(db: &dyn StateDb) -> u64 {
    db.journal().unwrap().map_or(0, |journal| journal.bytes)
}

#[test]
fn many_stores_stay_within_one_limit() {
    let limit = (1 << 20) + 11;
    let stores = stores(24, limit);
    let mut most = 0;
    for nth in 1..20 {
        for (_, db) in &stores {
            put(&**db, nth, VALUE);
        }
        most = most.max(stores.iter().map(|(_, db)| held(&**db)).sum());
    }
    // Three times as much was written, and no generation was full by itself.
    let limit = u64::try_from(limit).unwrap();
    assert!(most > limit / 2 && most < limit * 2, "{most} of {limit}");
    for (backend, db) in stores {
        db.close().unwrap();
        assert_eq!(read(&backend).unwrap().len(), 20);
    }
}

/// Also if it is idle, and another store is the one that needs the memory.
#[test]
fn the_largest_generation_is_folded_first() {
    let stores = stores(4, (1 << 20) + 13);
    let large = &stores[3].1;
    for nth in 1..60 {
        put(&**large, nth, VALUE);
    }
    for nth in 1..60 {
        for (_, db) in &stores[..3] {
            put(&**db, nth, VALUE / 2);
        }
        if held(&**large) == 0 {
            break;
        }
    }
    // It writes no more, so the worker folds it.
    let began = Instant::now();
    while held(&**large) > 0 {
        assert!(began.elapsed() < MAX_WAIT, "it is not folded");
        std::thread::yield_now();
    }
    assert!(stores[..3].iter().all(|(_, db)| held(&**db) > 0));
    for (_, db) in stores {
        db.close().unwrap();
    }
}

/// The zeros by which a file grew: the file, and the thread that wrote them.
type Growths = Arc<Mutex<Vec<(PathBuf, ThreadId)>>>;

#[derive(Debug, Clone)]
struct Growing(MemoryDisk, Growths);

#[derive(Debug)]
struct GrowingStorage(Box<dyn Storage>, PathBuf, Growths);

impl Growing {
    fn storage(
        &self,
        path: &Path,
        opened: io::Result<Box<dyn Storage>>,
    ) -> io::Result<Box<dyn Storage>> {
        let growths = Arc::clone(&self.1);
        Ok(Box::new(GrowingStorage(
            opened?,
            path.to_path_buf(),
            growths,
        )))
    }
}

impl lattice_backend::storage::DiskOver for Growing {
    fn under(&self) -> &dyn Disk {
        &self.0
    }

    fn open(&self, path: &Path, mode: FileMode) -> io::Result<Box<dyn Storage>> {
        self.storage(path, self.0.open(path, mode))
    }

    fn create_beside(&self, store: &Path, path: &Path) -> io::Result<Box<dyn Storage>> {
        self.storage(path, self.0.create_beside(store, path))
    }
}

impl StorageOver for GrowingStorage {
    fn under(&self) -> &dyn Storage {
        &*self.0
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let end = offset + u64::try_from(bytes.len()).map_err(io::Error::other)?;
        if end > self.0.len_bytes()? {
            let growth = (self.1.clone(), std::thread::current().id());
            self.2.lock().unwrap().push(growth);
        }
        self.0.write_at(offset, bytes)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }
}

/// Commits grow the file of the first generation alone, a few times. All later ones find their file
/// as long as they need it.
#[test]
fn commits_of_later_generations_grow_no_file() {
    let growths = Growths::default();
    let disk = MemoryDisk::new();
    let redb = RedbBackend::on_disk(disk.clone());
    let backend = JournaledBackend::over(redb, Growing(disk.clone(), Arc::clone(&growths)));
    let backend = backend.tuned(Tuning {
        segment_bytes: 512 << 10,
        table_bytes: 16 << 20,
        ..eager()
    });
    super::life::create(&backend);
    let db = backend.open(store(), &OpenOptions::read_write()).unwrap();
    put(&*db, 0, 1);
    growths.lock().unwrap().clear();
    let mut folds = 0;
    let mut before = 0;
    for nth in 1..100 {
        put(&*db, nth % 9, 40 << 10);
        // The worker has time for what it does.
        let (mut now, mut unchanged) = (0, 0);
        while unchanged < 20 {
            (0..50).for_each(|_| std::thread::yield_now());
            let then = std::mem::replace(&mut now, held(&*db));
            unchanged = match then == now {
                true => unchanged + 1,
                false => 0,
            };
        }
        folds += u64::from(now < before);
        before = now;
    }
    let seen = growths.lock().unwrap().clone();
    let own: Vec<_> = seen
        .iter()
        .filter(|(_, thread)| *thread == std::thread::current().id())
        .collect();
    assert!(folds >= 4, "{folds} folds");
    assert!(!own.is_empty() && own.len() < seen.len(), "{seen:?}");
    // The first generation is in this file, and it grows to a little more than 512 KiB by pieces of
    // 64 KiB.
    assert!(own.iter().all(|(path, _)| *path == segment(1)), "{own:?}");
    assert!(own.len() <= 16, "{} pieces", own.len());
    db.close().unwrap();
}
