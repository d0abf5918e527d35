//! Processes that are killed during a sync, and before they can take back what a failed one left.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use lattice_backend::backend::{OpenOptions, StateBackend, StateDb, Table};
use lattice_backend::conformance::Rng;
use lattice_backend::journal::{JournaledBackend, Tuning};
use lattice_backend::redb::RedbBackend;
use lattice_backend::storage::{
    Disk, DiskCall, DiskFault, Failure, FailurePoint, FileMode, Lasting, RecordingDisk, Storage,
    StorageOver, Unsynced,
};

use super::support::*;
use crate::conformance::eager;

/// A store's disk and the one of its journal. Only syncs of the journal fail.
#[derive(Debug, Clone)]
struct Disks {
    rows: RecordingDisk,
    journal: RecordingDisk,
}

impl Disks {
    fn backend(&self) -> JournaledBackend {
        over(self.rows.clone(), self.journal.clone())
    }

    /// What the next process finds. The journal comes first: a fold that ends between the two has
    /// its rows in the backend.
    fn killed(&self) -> Self {
        let journal = self.journal.killed();
        let rows = self.rows.killed();
        Self { rows, journal }
    }

    /// Waits until the fold after a commit has most likely ended, so that its syncs count, too.
    fn settle(&self) {
        let count = || self.rows.step_count() + self.journal.step_count();
        let mut steps = count();
        for _ in 0..20 {
            (0..200).for_each(|_| std::thread::yield_now());
            let now = count();
            if now == steps {
                break;
            }
            steps = now;
        }
    }

    /// The keys that are there after a loss of power.
    fn after_power_loss(&self, unsynced: Unsynced, rng: &mut Rng) -> Vec<String> {
        let mut left =
            |disk: &RecordingDisk| disk.after_power_loss(disk.step_count(), unsynced, rng);
        let journal = left(&self.journal);
        keys(&read(&over(left(&self.rows), journal)).unwrap())
    }
}

/// A generation of each record that finds the last one folded.
fn over(rows: impl Disk + Clone, journal: impl Disk) -> JournaledBackend {
    JournaledBackend::over(RedbBackend::on_disk(rows), journal).tuned(Tuning {
        segment_bytes: 1,
        ..eager()
    })
}

fn keys(found: &Model) -> Vec<String> {
    let keys = found.keys().map(|(_, key)| String::from_utf8_lossy(key));
    keys.map(|key| key.into_owned()).collect()
}

fn put(db: &dyn StateDb, key: &str) -> lattice_backend::backend::Result<()> {
    let mut tx = db.begin_write()?;
    tx.put(Table::Data, key.as_bytes(), &[7; 100])?;
    tx.commit()?.wait()
}

/// Remembers what a kill would leave: before the n-th sync from now, or after one that fails.
#[derive(Debug, Clone)]
struct Watched {
    disks: Disks,
    syncs_before: Arc<Mutex<Option<u64>>>,
    left: Arc<Mutex<Option<Disks>>>,
}

impl Watched {
    fn new(disks: Disks) -> Self {
        Self {
            disks,
            syncs_before: Arc::default(),
            left: Arc::default(),
        }
    }

    fn remember(&self) {
        let mut left = self.left.lock().unwrap();
        if left.is_none() {
            *left = Some(self.disks.killed());
        }
    }

    /// Whether the sync that now begins is the one to remember.
    fn is_next(&self) -> bool {
        let mut before = self.syncs_before.lock().unwrap();
        let is_next = *before == Some(0);
        *before = before.and_then(|count| count.checked_sub(1));
        is_next
    }
}

#[derive(Debug)]
struct WatchedStorage(Box<dyn Storage>, Watched);

impl lattice_backend::storage::DiskOver for Watched {
    fn under(&self) -> &dyn Disk {
        &self.disks.journal
    }

    fn open(&self, path: &Path, mode: FileMode) -> io::Result<Box<dyn Storage>> {
        let opened = self.disks.journal.open(path, mode)?;
        Ok(Box::new(WatchedStorage(opened, self.clone())))
    }

    fn create_beside(&self, store: &Path, path: &Path) -> io::Result<Box<dyn Storage>> {
        let opened = self.disks.journal.create_beside(store, path)?;
        Ok(Box::new(WatchedStorage(opened, self.clone())))
    }
}

impl StorageOver for WatchedStorage {
    fn under(&self) -> &dyn Storage {
        &*self.0
    }

    fn sync(&self) -> io::Result<()> {
        if self.1.is_next() {
            self.1.remember();
        }
        self.0.sync().inspect_err(|_| self.1.remember())
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }
}

/// What a kill leaves at the n-th sync of some commits, and the commits acknowledged before.
fn killed_at(sync: u64, fails: bool) -> Option<(Disks, Vec<String>)> {
    let point = FailurePoint::default();
    let disks = Disks {
        rows: RecordingDisk::new(),
        journal: RecordingDisk::new().fail_syncs(point.clone()),
    };
    let watched = Watched::new(disks.clone());
    let backend = over(disks.rows.clone(), watched.clone());
    super::life::create(&backend);
    let db = backend.open(store(), &OpenOptions::read_write()).unwrap();
    match fails {
        true => point.fail(Failure {
            call: DiskCall::Sync,
            after: sync,
            lasting: Lasting::Once,
            fault: DiskFault::Io,
        }),
        false => *watched.syncs_before.lock().unwrap() = Some(sync),
    }
    let mut acknowledged = Vec::new();
    for nth in 10..20 {
        let key = format!("{nth}");
        let is_before = watched.left.lock().unwrap().is_none();
        let done = put(&*db, &key);
        if done.is_ok() && is_before && watched.left.lock().unwrap().is_none() {
            acknowledged.push(key);
        }
        disks.settle();
    }
    std::mem::forget(db);
    let left = watched.left.lock().unwrap().take();
    left.map(|left| (left, acknowledged))
}

fn holds(found: &[String], wanted: &[String], case: &str) {
    let is_there = wanted.iter().all(|key| found.contains(key));
    assert!(is_there, "{case}: {found:?}, not {wanted:?}");
}

/// What recovery has shown stays, and what is written after it.
fn recover_and_write_on(disks: &Disks, acknowledged: &[String], case: &str) {
    let mut rng = Rng::new(7);
    let backend = disks.backend();
    let db = backend.open(store(), &OpenOptions::read_write()).unwrap();
    let tx = db.begin_write().unwrap();
    let mut wanted = keys(&rows(&*tx).unwrap());
    drop(tx);
    holds(&wanted, acknowledged, case);
    for nth in 20..24 {
        for unsynced in [Unsynced::Lost, Unsynced::Torn, Unsynced::Torn] {
            let found = disks.after_power_loss(unsynced, &mut rng);
            holds(&found, &wanted, &format!("{case}, before {nth}"));
        }
        let key = format!("{nth}");
        put(&*db, &key).unwrap();
        wanted.push(key);
    }
    std::mem::forget(db);
}

#[test]
fn a_kill_during_a_sync_loses_nothing_that_was_shown() {
    let mut kills = 0;
    for sync in 0..40 {
        let Some((disks, acknowledged)) = killed_at(sync, false) else {
            break;
        };
        kills += 1;
        let case = format!("killed before sync {sync}");
        // A reader shows it first, and power fails then.
        let read_from = disks.killed();
        let shown = keys(&read(&read_from.backend()).unwrap());
        holds(&shown, &acknowledged, &case);
        let found = read_from.after_power_loss(Unsynced::Lost, &mut Rng::new(7));
        holds(&found, &shown, &format!("{case}, read, and power lost"));
        recover_and_write_on(&disks, &acknowledged, &case);
    }
    assert!(kills > 6, "{kills}");
}

#[test]
fn a_kill_after_a_failed_sync_loses_nothing_that_recovery_shows() {
    let mut kills = 0;
    for sync in 0..40 {
        let Some((disks, acknowledged)) = killed_at(sync, true) else {
            break;
        };
        kills += 1;
        recover_and_write_on(&disks, &acknowledged, &format!("sync {sync} failed"));
    }
    assert!(kills > 6, "{kills}");
}

/// While at most one record is unsynced, a torn record has none behind it. Two could be torn in any
/// order, and the second one would tell of damage.
#[test]
fn records_that_nothing_waits_for_are_written_one_at_a_time() {
    let (rows, journal) = (RecordingDisk::new(), RecordingDisk::new());
    let redb = RedbBackend::on_disk(rows.clone());
    // One generation for all.
    let backend = JournaledBackend::over(redb, journal.clone()).tuned(Tuning {
        segment_bytes: 8 << 20,
        table_bytes: 4 << 20,
        ..eager()
    });
    super::life::create(&backend);
    let db = backend.open(store(), &OpenOptions::read_write()).unwrap();
    let mut wanted = vec!["09".to_owned()];
    put(&*db, "09").unwrap();
    let from = journal.step_count();
    let mut tickets = Vec::new();
    for nth in 10..18 {
        let key = format!("{nth}");
        let mut tx = db.begin_write().unwrap();
        tx.put(Table::Data, key.as_bytes(), &[7; 900]).unwrap();
        tickets.push(tx.commit().unwrap());
        wanted.push(key);
    }
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    let mut rng = Rng::new(5);
    for step in from..=journal.step_count() {
        for _ in 0..12 {
            let left = journal.after_power_loss(step, Unsynced::Torn, &mut rng);
            let left_rows = rows.after_power_loss(rows.step_count(), Unsynced::Lost, &mut rng);
            let found = keys(&read(&over(left_rows, left)).unwrap());
            assert_eq!(found, wanted[..found.len()], "step {step}");
        }
    }
    std::mem::forget(db);
}
