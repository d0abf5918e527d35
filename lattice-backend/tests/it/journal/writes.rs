//! Writes that fail before a sync: the transaction is not committed, and the handle goes on.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use lattice_backend::backend::{BackendError, OpenOptions, StateBackend, StateDb, Table, Ticket};
use lattice_backend::conformance::Rng;
use lattice_backend::journal::{JournaledBackend, Tuning};
use lattice_backend::redb::RedbBackend;
use lattice_backend::storage::{
    Disk, DiskCall, DiskFault, FailingDisk, Failure, FailurePoint, FileMode, Lasting,
    RecordingDisk, Storage, StorageOver, Unsynced,
};

use super::support::*;
use crate::conformance::eager;

/// What a write to a segment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Header,
    Published,
    /// A record, or the zeros by which a segment grows.
    Record,
}

/// Notes the first write that fails, and stops writes until they may go on.
#[derive(Debug, Clone)]
struct Noting {
    disk: Arc<FailingDisk<RecordingDisk>>,
    failed: Arc<Mutex<Option<What>>>,
    gate: Arc<Gate>,
}

/// Stops a thread at its next write of a kind.
#[derive(Debug, Default)]
struct Gate {
    /// The kind, and whether a thread has arrived.
    closed: Mutex<Option<(What, bool)>>,
    changed: Condvar,
}

impl Gate {
    fn close(&self, what: What) {
        *self.closed.lock().unwrap() = Some((what, false));
    }

    fn wait_for_arrival(&self) {
        let closed = self.closed.lock().unwrap();
        let is_alone = |closed: &mut Option<(What, bool)>| matches!(closed, Some((_, false)));
        drop(self.changed.wait_while(closed, is_alone).unwrap());
    }

    fn open(&self) {
        *self.closed.lock().unwrap() = None;
        self.changed.notify_all();
    }

    fn pass(&self, what: What) {
        let mut closed = self.closed.lock().unwrap();
        if let Some((of, has_arrived)) = &mut *closed
            && *of == what
        {
            *has_arrived = true;
            self.changed.notify_all();
            let is_closed = |closed: &mut Option<(What, bool)>| closed.is_some();
            drop(self.changed.wait_while(closed, is_closed).unwrap());
        }
    }
}

#[derive(Debug)]
struct NotingStorage(Box<dyn Storage>, Noting);

impl Noting {
    fn storage(&self, opened: io::Result<Box<dyn Storage>>) -> io::Result<Box<dyn Storage>> {
        Ok(Box::new(NotingStorage(opened?, self.clone())))
    }
}

impl lattice_backend::storage::DiskOver for Noting {
    fn under(&self) -> &dyn Disk {
        &*self.disk
    }

    fn open(&self, path: &Path, mode: FileMode) -> io::Result<Box<dyn Storage>> {
        self.storage(Disk::open(&*self.disk, path, mode))
    }

    fn create_beside(&self, store: &Path, path: &Path) -> io::Result<Box<dyn Storage>> {
        self.storage(Disk::create_beside(&*self.disk, store, path))
    }
}

impl StorageOver for NotingStorage {
    fn under(&self) -> &dyn Storage {
        &*self.0
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let what = match offset {
            0..8192 => What::Header,
            8192 => What::Published,
            _ => What::Record,
        };
        self.1.gate.pass(what);
        self.0.write_at(offset, bytes).inspect_err(|_| {
            self.1.failed.lock().unwrap().get_or_insert(what);
        })
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }
}

fn put(db: &dyn StateDb, key: &str, len: usize) -> Result<(), BackendError> {
    begin_put(db, key, len)?.wait()
}

fn begin_put(db: &dyn StateDb, key: &str, len: usize) -> Result<Ticket, BackendError> {
    let mut tx = db.begin_write()?;
    tx.put(Table::Data, key.as_bytes(), &vec![7; len])?;
    tx.commit()
}

fn keys(found: &Model) -> Vec<String> {
    let keys = found.keys().map(|(_, key)| String::from_utf8_lossy(key));
    keys.map(|key| key.into_owned()).collect()
}

/// A store whose rows are on one disk, and the journal on another one, whose writes can fail.
struct Place {
    rows: RecordingDisk,
    journal: RecordingDisk,
    point: FailurePoint,
    /// Fails syncs of the journal.
    syncs: FailurePoint,
    failed: Arc<Mutex<Option<What>>>,
    gate: Arc<Gate>,
    backend: JournaledBackend,
}

impl Place {
    fn new(tuning: Tuning) -> Self {
        let (point, syncs) = (FailurePoint::default(), FailurePoint::default());
        let rows = RecordingDisk::new();
        let journal = RecordingDisk::new().fail_syncs(syncs.clone());
        let (failed, gate) = (Arc::default(), Arc::<Gate>::default());
        let noting = Noting {
            disk: Arc::new(FailingDisk::new(journal.clone(), point.clone())),
            failed: Arc::clone(&failed),
            gate: Arc::clone(&gate),
        };
        let redb = RedbBackend::on_disk(rows.clone());
        let backend = JournaledBackend::over(redb, noting).tuned(tuning);
        super::life::create(&backend);
        Self {
            rows,
            journal,
            point,
            syncs,
            failed,
            gate,
            backend,
        }
    }

    fn writer(&self) -> Arc<dyn StateDb> {
        self.backend
            .open(store(), &OpenOptions::read_write())
            .unwrap()
    }

    /// Waits until nothing is written any more, most likely.
    fn settle(&self) {
        let count = || self.rows.step_count() + self.journal.step_count();
        let mut steps = count();
        let mut unchanged = 0;
        while unchanged < 20 {
            (0..200).for_each(|_| std::thread::yield_now());
            let now = count();
            unchanged = match now == steps {
                true => unchanged + 1,
                false => 0,
            };
            steps = now;
        }
    }

    /// What is there after a loss of power.
    fn after_power_loss(&self, unsynced: Unsynced, rng: &mut Rng) -> Vec<String> {
        let mut left =
            |disk: &RecordingDisk| disk.after_power_loss(disk.step_count(), unsynced, rng);
        let journal = left(&self.journal);
        let rows = RedbBackend::on_disk(left(&self.rows));
        keys(&read(&JournaledBackend::over(rows, journal)).unwrap())
    }

    /// After any loss of power the store has exactly these keys.
    fn check(&self, wanted: &[String], rng: &mut Rng) {
        for unsynced in [Unsynced::Lost, Unsynced::Kept]
            .into_iter()
            .chain([Unsynced::Torn; 4])
        {
            assert_eq!(self.after_power_loss(unsynced, rng), wanted, "{unsynced:?}");
        }
    }
}

/// Generations of a few records, or one for all.
fn tunings() -> [Tuning; 2] {
    let large = Tuning {
        segment_bytes: 8 << 20,
        table_bytes: 4 << 20,
        ..eager()
    };
    [eager(), large]
}

/// Some commits, of which the n-th write to a segment fails. Returns what failed.
fn fail_at(tuning: Tuning, failure: Failure) -> Option<What> {
    let mut rng = Rng::new(failure.after);
    let place = Place::new(tuning);
    let db = place.writer();
    put(&*db, "00", 1).unwrap();
    // It has known the session from the start.
    let reader = place
        .backend
        .open(store(), &OpenOptions::read_only())
        .unwrap();
    reader.snapshot().unwrap();
    place.point.fail(failure);
    let mut wanted = vec!["00".to_owned()];
    let mut refused = 0;
    let failed = || *place.failed.lock().unwrap();
    // Beside a fold a later write can be the one that matters.
    let is_only = failure.lasting == Lasting::Once || tuning.segment_bytes > 1 << 20;
    let may_be = |what| failed() == Some(what) || (!is_only && failed().is_some());
    for nth in 1..24 {
        let key = format!("{nth:02}");
        // A segment grows for some of them.
        let len = [100, 9000, 300, 40_000][nth % 4];
        match put(&*db, &key, len) {
            Ok(()) => wanted.push(key),
            Err(error @ BackendError::NotCommitted { .. }) => {
                assert!(may_be(What::Record), "{error:?}");
                refused += 1;
                place.check(&wanted, &mut rng);
            }
            // Whether it is on disk is unknown.
            Err(error) => {
                assert!(may_be(What::Published), "{error:?}");
                let refused = db.begin_write().map(drop).unwrap_err();
                assert!(
                    matches!(refused, BackendError::Unusable { .. }),
                    "{refused:?}"
                );
                place.point.heal();
                let found = place.after_power_loss(Unsynced::Torn, &mut rng);
                assert!(wanted.iter().all(|key| found.contains(key)));
                return failed();
            }
        }
        for db in [&db, &reader] {
            assert_eq!(keys(&rows(&*db.snapshot().unwrap()).unwrap()), wanted);
        }
    }
    // Only the commit whose record it is.
    assert!(refused <= 1, "{refused} commits were refused");
    place.check(&wanted, &mut rng);
    db.close().unwrap();
    place.check(&wanted, &mut rng);
    assert_eq!(keys(&rows(&*reader.snapshot().unwrap()).unwrap()), wanted);
    failed()
}

/// Whatever write fails, for once or from then on: what was acknowledged is there, what was refused
/// is not, and the handle goes on, unless a record was synced and could not be published.
#[test]
fn a_failed_write_refuses_one_commit_and_takes_nothing() {
    let mut seen = Vec::new();
    for tuning in tunings() {
        for (lasting, fault) in [
            (Lasting::Once, DiskFault::Full),
            (Lasting::Once, DiskFault::Io),
            (Lasting::FromThenOn, DiskFault::Full),
        ] {
            for after in 0.. {
                let failure = Failure {
                    call: DiskCall::Write,
                    after,
                    lasting,
                    fault,
                };
                let run = std::panic::AssertUnwindSafe(|| fail_at(tuning, failure));
                let failed = std::panic::catch_unwind(run).unwrap_or_else(|panic| {
                    eprintln!("with {failure:?} and {tuning:?}");
                    std::panic::resume_unwind(panic)
                });
                let Some(what) = failed else {
                    assert!(after > 40, "{after} writes are no work");
                    break;
                };
                seen.push(what);
            }
        }
    }
    for what in [What::Header, What::Published, What::Record] {
        assert!(seen.contains(&what), "no write of {what:?} has failed");
    }
}

fn once(call: DiskCall) -> Failure {
    Failure {
        call,
        after: 0,
        lasting: Lasting::Once,
        fault: DiskFault::Full,
    }
}

/// A generation for each record that finds the last one folded.
fn folding() -> Tuning {
    Tuning {
        segment_bytes: 1,
        ..eager()
    }
}

fn assert_not_committed<T: std::fmt::Debug>(result: Result<T, BackendError>) {
    assert!(
        matches!(&result, Err(BackendError::NotCommitted { source })
            if source.to_string().contains("writing to the journal")),
        "{result:?}"
    );
}

/// Transactions that began before the failure was known are lost with the one that failed. The next
/// one learns that the handle's last rows are not there.
#[test]
fn what_was_prepared_over_a_lost_record_is_lost_with_it() {
    let [_, tuning] = tunings();
    let place = Place::new(tuning);
    let db = place.writer();
    put(&*db, "a", 1).unwrap();
    put(&*db, "b", 1).unwrap();
    place.gate.close(What::Record);
    let first = begin_put(&*db, "lost", 10).unwrap();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| first.wait());
        place.gate.wait_for_arrival();
        let mut second = db.begin_write().unwrap();
        assert!(second.get(Table::Data, b"lost").unwrap().is_some());
        second.put(Table::Data, b"second", b"1").unwrap();
        place.point.fail(once(DiskCall::Write));
        place.gate.open();
        assert_not_committed(first.join().unwrap());
        assert_not_committed(second.commit());
    });
    // The disk has room again.
    let mut third = db.begin_write().unwrap();
    assert!(third.follows_others());
    assert_eq!(third.get(Table::Data, b"lost").unwrap(), None);
    assert_eq!(third.get(Table::Data, b"second").unwrap(), None);
    third.put(Table::Data, b"c", b"1").unwrap();
    third.commit().unwrap().wait().unwrap();
    assert!(!db.begin_write().unwrap().follows_others());
    place.check(&["a", "b", "c"].map(str::to_owned), &mut Rng::new(1));
}

/// A generation ends only when its records are on disk: the backend must not get one that is lost.
#[test]
fn a_record_that_is_lost_is_not_folded() {
    let place = Place::new(folding());
    let db = place.writer();
    put(&*db, "a", 1).unwrap();
    put(&*db, "b", 1).unwrap();
    place.settle();
    place.gate.close(What::Record);
    let first = begin_put(&*db, "lost", 10).unwrap();
    let has_begun = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| first.wait());
        place.gate.wait_for_arrival();
        let second = scope.spawn(|| {
            has_begun.store(true, Ordering::Release);
            put(&*db, "second", 10)
        });
        // A loaded machine can take its time to start a thread.
        while !has_begun.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        (0..20).for_each(|_| place.settle());
        place.point.fail(once(DiskCall::Write));
        place.gate.open();
        assert_not_committed(first.join().unwrap());
        assert_not_committed(second.join().unwrap());
    });
    let wanted = ["a", "b"].map(str::to_owned);
    assert_eq!(keys(&rows(&*db.snapshot().unwrap()).unwrap()), wanted);
    place.check(&wanted, &mut Rng::new(1));
    db.close().unwrap();
    place.check(&wanted, &mut Rng::new(1));
}

/// The header of the next generation cannot be written, while a transaction is open: its record
/// goes to the generation whose header is on disk.
#[test]
fn a_generation_without_a_header_gets_no_record() {
    let place = Place::new(folding());
    let db = place.writer();
    put(&*db, "a", 1).unwrap();
    put(&*db, "b", 1).unwrap();
    place.settle();
    place.gate.close(What::Header);
    // The first generation is folded.
    put(&*db, "c", 1).unwrap();
    place.gate.wait_for_arrival();
    let mut open = db.begin_write().unwrap();
    open.put(Table::Data, b"d", b"1").unwrap();
    place.point.fail(once(DiskCall::Write));
    place.gate.open();
    place.settle();
    assert_eq!(*place.failed.lock().unwrap(), Some(What::Header));
    open.commit().unwrap().wait().unwrap();
    let wanted = ["a", "b", "c", "d"].map(str::to_owned);
    place.check(&wanted, &mut Rng::new(1));
    put(&*db, "e", 1).unwrap();
    db.close().unwrap();
    let wanted = ["a", "b", "c", "d", "e"].map(str::to_owned);
    place.check(&wanted, &mut Rng::new(1));
}

/// A header whose sync has failed may never reach the disk, and the system takes it for written.
/// The handle that failed stays open: another one must not rely on the header.
#[test]
fn a_header_whose_sync_failed_is_taken_back() {
    let place = Place::new(folding());
    let failed = place.writer();
    put(&*failed, "a", 1).unwrap();
    put(&*failed, "b", 1).unwrap();
    place.settle();
    place.gate.close(What::Header);
    // The first generation is folded.
    put(&*failed, "c", 1).unwrap();
    place.gate.wait_for_arrival();
    place.syncs.fail(once(DiskCall::Sync));
    place.gate.open();
    place.settle();
    assert!(place.syncs.has_failed());
    let unusable = failed.begin_write().map(drop).unwrap_err();
    assert!(
        matches!(unusable, BackendError::Unusable { .. }),
        "{unusable:?}"
    );
    let other = place.writer();
    let mut wanted = ["a", "b", "c"].map(str::to_owned).to_vec();
    for nth in 0..4 {
        let key = format!("d{nth}");
        put(&*other, &key, 1).unwrap();
        wanted.push(key);
        place.check(&wanted, &mut Rng::new(nth));
        place.settle();
        place.check(&wanted, &mut Rng::new(nth));
    }
}

/// Its number is given to another record.
#[test]
fn a_ticket_of_a_lost_record_never_succeeds() {
    let [_, tuning] = tunings();
    let place = Place::new(tuning);
    let db = place.writer();
    put(&*db, "a", 1).unwrap();
    place.point.fail(once(DiskCall::Write));
    let lost = begin_put(&*db, "lost", 10).unwrap();
    // The first of these writes the lost one.
    for nth in 0..4 {
        put(&*db, &format!("b{nth}"), 10).unwrap();
    }
    assert_not_committed(lost.wait());
    db.close().unwrap();
    let found = keys(&read(&place.backend).unwrap());
    assert_eq!(found, ["a", "b0", "b1", "b2", "b3"]);
}
