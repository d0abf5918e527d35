//! Writers that are killed, or whose disk fails, beside handles that stay open.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lattice_backend::backend::{BackendError, OpenOptions, StateBackend, StateDb, Table};
use lattice_backend::conformance::Rng;
use lattice_backend::journal::JournaledBackend;
use lattice_backend::redb::RedbBackend;
use lattice_backend::storage::{
    Disk, DiskCall, DiskFault, FailingDisk, Failure, FailurePoint, FileMode, Lasting, MemoryDisk,
    RecordingDisk, Unsynced,
};

use super::life::{backend, create};
use super::support::*;
use crate::conformance::eager;

fn put(db: &dyn StateDb, key: &str, value: &[u8]) -> Result<(), BackendError> {
    let mut tx = db.begin_write()?;
    tx.put(Table::Data, key.as_bytes(), value)?;
    tx.commit()?.wait()
}

fn keys(found: &Model) -> Vec<String> {
    let keys = found.keys().map(|(_, key)| String::from_utf8_lossy(key));
    keys.map(|key| key.into_owned()).collect()
}

fn writer(backend: &JournaledBackend) -> std::sync::Arc<dyn StateDb> {
    backend.open(store(), &OpenOptions::read_write()).unwrap()
}

fn fail(call: DiskCall, after: u64, lasting: Lasting) -> Failure {
    Failure {
        call,
        after,
        lasting,
        fault: DiskFault::Io,
    }
}

/// A writer whose every write fails from some time on is like a killed one. A reader that has known
/// the session all the time sees what later writers write, also without a session.
#[test]
fn a_reader_outlives_a_writer_that_is_killed_anywhere() {
    for call in [DiskCall::Write, DiskCall::Remove] {
        for after in 0.. {
            let disk = MemoryDisk::new();
            let healthy = backend(disk.clone(), eager());
            create(&healthy);
            let db = writer(&healthy);
            put(&*db, "a", b"1").unwrap();
            put(&*db, "b", b"1").unwrap();
            let reader = healthy.open(store(), &OpenOptions::read_only()).unwrap();
            assert_eq!(
                keys(&rows(&*reader.snapshot().unwrap()).unwrap()),
                ["a", "b"]
            );
            db.close().unwrap();
            // The journal of the next session is what the reader knows.
            let point = FailurePoint::default();
            let failing = || FailingDisk::new(disk.clone(), point.clone());
            let killed = JournaledBackend::over(RedbBackend::on_disk(failing()), failing());
            let db = writer(&killed.tuned(eager()));
            put(&*db, "c", b"1").unwrap();
            reader.snapshot().unwrap();
            point.fail(fail(call, after, Lasting::FromThenOn));
            let mut wanted = vec!["a", "b", "c"];
            if put(&*db, "d", b"1").is_ok() {
                wanted.push("d");
            }
            let _ = db.close();
            drop(db);
            let ended = !point.has_failed();
            let seen = keys(&rows(&*reader.snapshot().unwrap()).unwrap());
            assert!(
                wanted.iter().all(|key| seen.iter().any(|seen| seen == key)),
                "{seen:?} after {after} of {call:?}"
            );
            for _ in 0..2 {
                // One commit of this handle is not a burst.
                let once = backend(disk.clone(), Default::default());
                let db = writer(&once);
                put(&*db, "e", b"1").unwrap();
                let seen = keys(&rows(&*reader.snapshot().unwrap()).unwrap());
                assert!(
                    seen.contains(&"e".to_owned()),
                    "{seen:?} after {after} of {call:?}"
                );
                db.close().unwrap();
            }
            let shown = rows(&*reader.snapshot().unwrap()).unwrap();
            assert!(shown == read(&healthy).unwrap());
            if ended {
                assert!(after > 1, "{call:?} is never made");
                break;
            }
        }
    }
}

/// After a loss of power nothing is published, and nothing either when a session has ended.
#[test]
fn a_reader_of_a_crashed_store_sees_what_comes_after_it() {
    let disk = RecordingDisk::new();
    let first = backend(disk.clone(), eager());
    create(&first);
    let db = writer(&first);
    put(&*db, "a", b"1").unwrap();
    put(&*db, "b", b"1").unwrap();
    // The backend's file is then closed: a reader of a crashed one excludes writers.
    let closed = RedbBackend::on_disk(disk.clone());
    drop(
        closed
            .lock_writer(store(), "wait", Duration::from_secs(9))
            .unwrap(),
    );
    let left = disk.after_power_loss(disk.step_count(), Unsynced::Lost, &mut Rng::new(1));
    std::mem::forget(db);
    let next = backend(left, eager());
    let reader = next.open(store(), &OpenOptions::read_only()).unwrap();
    assert_eq!(
        keys(&rows(&*reader.snapshot().unwrap()).unwrap()),
        ["a", "b"]
    );
    let db = writer(&next);
    put(&*db, "c", b"1").unwrap();
    db.close().unwrap();
    let found = rows(&*reader.snapshot().unwrap()).unwrap();
    assert_eq!(keys(&found), ["a", "b", "c"]);
}

/// A crash between the end of a session and the removal of its files leaves files that nothing
/// needs. They keep no lifecycle command waiting.
#[test]
fn a_file_is_locked_for_its_replacement_whenever_its_writer_was_killed() {
    let disk = RecordingDisk::new();
    let first = backend(disk.clone(), eager());
    create(&first);
    let from = disk.step_count();
    let db = writer(&first);
    put(&*db, "a", b"1").unwrap();
    put(&*db, "b", b"1").unwrap();
    let acknowledged = disk.step_count();
    db.close().unwrap();
    for step in from..=disk.step_count() {
        let left = disk.after_power_loss(step, Unsynced::Kept, &mut Rng::new(1));
        let next = backend(left.clone(), eager());
        let wait = Duration::from_secs(5);
        let locked = next.lock_writer(store(), "destroy", wait).unwrap();
        for file in 0..2 {
            assert!(
                left.bytes(&segment(file)).is_none(),
                "segment {file} at step {step}"
            );
        }
        drop(locked);
        let found = read(&next).unwrap();
        assert!(step < acknowledged || keys(&found) == ["a", "b"]);
    }
}

/// A failed sync leaves a record that other writers do not see. The handle that failed does not
/// show it either, when they have written another one in its place.
#[test]
fn a_handle_that_has_failed_shows_what_others_write() {
    let point = FailurePoint::default();
    // Only the journal's syncs fail.
    let disk = RecordingDisk::new().fail_syncs(point.clone());
    let shared = JournaledBackend::over(RedbBackend::on_disk(MemoryDisk::new()), disk);
    let shared = shared.tuned(eager());
    create(&shared);
    let failed = writer(&shared);
    put(&*failed, "a", b"1").unwrap();
    put(&*failed, "b", b"1").unwrap();
    let other = writer(&shared);
    point.fail(fail(DiskCall::Sync, 0, Lasting::Once));
    put(&*failed, "lost", b"1").unwrap_err();
    let before = rows(&*failed.snapshot().unwrap()).unwrap();
    assert_eq!(keys(&before), ["a", "b"]);
    put(&*other, "c", b"1").unwrap();
    let found = rows(&*failed.snapshot().unwrap()).unwrap();
    assert_eq!(keys(&found), ["a", "b", "c"]);
    assert!(matches!(
        failed.begin_write(),
        Err(BackendError::Unusable { .. })
    ));
}

/// A sync of the journal fails and loses what it covered. Whether the handle stays open or is
/// killed, what the next handle acknowledges is on the disk.
#[test]
fn a_failed_sync_takes_nothing_that_is_acknowledged_later() {
    for stays_open in [true, false] {
        for after in 0..24 {
            fail_once(stays_open, after);
        }
    }
}

fn fail_once(stays_open: bool, after: u64) {
    let mut rng = Rng::new(after);
    let point = FailurePoint::default();
    // Only the journal's syncs fail.
    let rows_disk = RecordingDisk::new();
    let disk = RecordingDisk::new().fail_syncs(point.clone());
    let over = |rows_disk: RecordingDisk, disk: RecordingDisk| {
        let tuning = lattice_backend::journal::Tuning {
            segment_bytes: 1,
            ..eager()
        };
        JournaledBackend::over(RedbBackend::on_disk(rows_disk), disk).tuned(tuning)
    };
    let backend = over(rows_disk.clone(), disk.clone());
    create(&backend);
    let first = writer(&backend);
    point.fail(fail(DiskCall::Sync, after, Lasting::Once));
    let mut wanted = Vec::new();
    for nth in 10..18 {
        let key = format!("{nth}");
        if put(&*first, &key, &[7; 100]).is_ok() {
            wanted.push(key);
        }
    }
    let (rows_disk, disk) = match stays_open {
        true => (rows_disk, disk),
        false => {
            // The journal first: a fold that ends between the two has its rows in the backend.
            let killed = disk.killed();
            let killed_rows = rows_disk.killed();
            std::mem::forget(first);
            (killed_rows, killed)
        }
    };
    point.heal();
    let backend = over(rows_disk.clone(), disk.clone());
    let next = writer(&backend);
    for nth in 20..23 {
        let key = format!("{nth}");
        put(&*next, &key, &[7; 100]).unwrap();
        wanted.push(key);
        for _ in 0..8 {
            let power_loss = |disk: &RecordingDisk, rng: &mut Rng| {
                disk.after_power_loss(disk.step_count(), Unsynced::Torn, rng)
            };
            // In the same order.
            let left = power_loss(&disk, &mut rng);
            let left_rows = power_loss(&rows_disk, &mut rng);
            let found = JournaledBackend::over(RedbBackend::on_disk(left_rows), left);
            let found = read(&found).unwrap_or_else(|error| {
                panic!("{error:?} after {after} syncs, stays open: {stays_open}")
            });
            let found = keys(&found);
            assert!(
                wanted.iter().all(|key| found.contains(key)),
                "{found:?}, not {wanted:?} after {after} syncs, stays open: {stays_open}"
            );
        }
    }
}

/// The journal of a file that was swapped by hand may be the only copy of its last commits. Both of
/// its files are set aside, under names that belong together.
#[test]
fn a_journal_of_another_file_is_set_aside_and_can_be_put_back() {
    for commits in 1..4 {
        let disk = MemoryDisk::new();
        let crashed = backend(disk.clone(), eager());
        create(&crashed);
        let db = writer(&crashed);
        for nth in 0..commits {
            put(&*db, &format!("{nth}"), b"1").unwrap();
        }
        let before = read(&crashed).unwrap();
        let own = disk.bytes(store()).unwrap();
        let segments = [0, 1].map(|file| disk.bytes(&segment(file)).unwrap());
        std::mem::forget(db);
        // Another file under the store's name.
        let swapped = MemoryDisk::new();
        let other = backend(swapped.clone(), eager());
        create(&other);
        for (file, bytes) in segments.iter().enumerate() {
            swapped.insert(&segment(file), bytes.clone());
        }
        // The first names are taken.
        let stale = |file: usize, nth: usize| {
            PathBuf::from(format!("{}.stale-{nth}", segment(file).display()))
        };
        swapped.insert(&stale(1, 0), b"of before".to_vec());
        let db = writer(&other);
        put(&*db, "other", b"1").unwrap();
        db.close().unwrap();
        assert_eq!(keys(&read(&other).unwrap()), ["other"]);
        let aside = [0, 1].map(|file| swapped.bytes(&stale(file, 1)));
        if commits == 1 {
            // There is no record: the first commit went to the backend.
            assert_eq!(aside, [None, None]);
            continue;
        }
        assert_eq!(aside.clone().map(Option::unwrap), segments);
        let restored = MemoryDisk::new();
        restored.insert(store(), own);
        for (file, bytes) in aside.into_iter().enumerate() {
            restored.insert(&segment(file), bytes.unwrap());
        }
        assert!(read(&backend(restored, eager())).unwrap() == before);
    }
}

/// A handle that was open before the journal was damaged compares it with what was published, also
/// when it writes.
#[test]
fn a_writer_misses_what_was_published_and_is_gone() {
    let disk = MemoryDisk::new();
    let healthy = backend(disk.clone(), eager());
    create(&healthy);
    let before = writer(&healthy);
    let point = FailurePoint::default();
    let failing = || FailingDisk::new(disk.clone(), point.clone());
    let killed = JournaledBackend::over(RedbBackend::on_disk(failing()), failing());
    let db = writer(&killed.tuned(eager()));
    for key in ["a", "b", "c"] {
        put(&*db, key, b"1").unwrap();
    }
    while db.turn() != 0 {
        std::thread::yield_now();
    }
    point.fail(fail(DiskCall::Write, 0, Lasting::FromThenOn));
    db.close().unwrap_err();
    drop(db);
    // The last record, in the first segment of the session.
    let bytes = disk.bytes(&segment(1)).unwrap();
    let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let file = disk.open(&segment(1), FileMode::ReadWrite).unwrap();
    file.write_at(u64::try_from(last).unwrap(), &[bytes[last] ^ 1])
        .unwrap();
    let error = before.begin_write().map(drop).unwrap_err();
    assert!(matches!(error, BackendError::Damaged { .. }), "{error:?}");
}

/// Of several handles of a session the one that is closed last ends it.
#[test]
fn the_last_handle_that_is_closed_removes_the_journal() {
    for seed in 0..20 {
        let mut rng = Rng::new(seed);
        let disk = MemoryDisk::new();
        let shared = backend(disk.clone(), eager());
        create(&shared);
        let handles: Vec<_> = (0..3).map(|_| writer(&shared)).collect();
        for nth in 0..6 {
            let db = &handles[rng.below(3)];
            put(&**db, &format!("{nth}"), b"1").unwrap();
        }
        std::thread::scope(|scope| {
            for db in &handles {
                scope.spawn(|| db.close().unwrap());
            }
        });
        let names = [
            Path::new(STORE).to_path_buf(),
            PathBuf::from("state.db.turn"),
        ];
        assert_eq!(disk.paths(), names, "seed {seed}");
        assert_eq!(read(&shared).unwrap().len(), 6);
    }
}

/// What quick repair and folds cost: the length of the file after many of them.
#[test]
fn folds_do_not_make_the_file_grow_without_limit() {
    let disk = MemoryDisk::new();
    let folds = number("LATTICE_JOURNAL_FOLDS").unwrap_or(300);
    let grown = |quick: bool| {
        let disk = MemoryDisk::new();
        let redb = RedbBackend::on_disk(disk.clone());
        create(&redb);
        let db = redb.open(store(), &OpenOptions::read_write()).unwrap();
        let mut rng = Rng::new(7);
        let mut lens = Vec::new();
        for nth in 0..folds {
            let mut tx = db.begin_write().unwrap();
            for _ in 0..40 {
                let key = rng.number() % 2000;
                tx.put(Table::Data, &key.to_be_bytes(), &[7; 400]).unwrap();
            }
            if quick {
                tx.allow_quick_repair();
            }
            tx.commit().unwrap().wait().unwrap();
            if nth % (folds / 4).max(1) == folds / 4 - 1 {
                lens.push(disk.bytes(store()).unwrap().len());
            }
        }
        db.close().unwrap();
        lens.push(disk.bytes(store()).unwrap().len());
        lens
    };
    let (plain, quick) = (grown(false), grown(true));
    eprintln!(
        "{folds} folds of 40 rows of 400 bytes: {plain:?} bytes, with quick repair {quick:?}"
    );
    let (plain, quick) = (plain.last().unwrap(), quick.last().unwrap());
    assert!(
        *quick <= plain * 2,
        "{quick} bytes, and {plain} without quick repair"
    );
    drop(disk);
}
