//! What a handle keeps between two calls, and what it gives up for others.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lattice_backend::backend::{
    BackendError, Copied, FileError, OpenOptions, StateBackend, StateDb, Table, Waiting,
};
use lattice_backend::journal::JournaledBackend;
use lattice_backend::progress::ProgressSink;
use lattice_backend::redb::RedbBackend;
use lattice_backend::storage::MemoryDisk;

use super::support::*;
use crate::conformance::eager;

fn put(db: &dyn StateDb, key: &[u8]) {
    let mut tx = db.begin_write().unwrap();
    tx.put(Table::Data, key, b"value").unwrap();
    tx.commit().unwrap().wait().unwrap();
}

/// A store that no session has begun in: sessions begin with the eighth commit.
fn made() -> (RedbBackend, JournaledBackend) {
    let disk = MemoryDisk::new();
    let redb = RedbBackend::on_disk(disk.clone());
    redb.create(store(), &mut |_| Ok(())).unwrap();
    (redb.clone(), JournaledBackend::over(redb, disk))
}

#[test]
fn a_snapshot_serves_all_callers_until_there_is_a_commit_of_any_handle() {
    let (_, backend) = made();
    let [reader, writer] = [OpenOptions::read_only(), OpenOptions::read_write()]
        .map(|options| backend.open(store(), &options).unwrap());
    // The worker can give a snapshot up between two calls, but not each time.
    let is_shared = (0..1000).any(|_| {
        let pair = [reader.snapshot().unwrap(), reader.snapshot().unwrap()];
        Arc::ptr_eq(&pair[0], &pair[1])
    });
    assert!(is_shared, "each call reads the store again");
    for nth in 0..20_u8 {
        let before = reader.snapshot().unwrap();
        put(&*writer, &[nth]);
        let after = reader.snapshot().unwrap();
        assert!(!Arc::ptr_eq(&before, &after), "commit {nth} is not seen");
        assert_eq!(before.get(Table::Data, &[nth]).unwrap(), None);
        assert!(after.get(Table::Data, &[nth]).unwrap().is_some());
    }
}

#[test]
fn a_compaction_outlasts_the_snapshots_that_idle_handles_keep() {
    let (_, backend) = made();
    let [reader, writer] = [OpenOptions::read_only(), OpenOptions::read_write()]
        .map(|options| backend.open(store(), &options).unwrap());
    for nth in 0..20_u8 {
        put(&*writer, &[nth]);
        drop(reader.snapshot().unwrap());
    }
    writer.compact(&ProgressSink::none()).unwrap();
    // A compaction does not outlast one that a caller holds.
    let held = reader.snapshot().unwrap();
    let refused = writer.compact(&ProgressSink::none());
    assert!(
        matches!(refused, Err(BackendError::SnapshotsLive)),
        "{refused:?}"
    );
    drop(held);
    writer.compact(&ProgressSink::none()).unwrap();
}

#[test]
fn closing_a_handle_ends_the_wait_of_its_threads_for_the_turn() {
    let (_, backend) = made();
    let patient = OpenOptions {
        wait: Duration::from_secs(60),
        ..OpenOptions::read_write()
    };
    let [other, closed] = [OpenOptions::read_write(), patient]
        .map(|options| backend.open(store(), &options).unwrap());
    let hold = other.hold_turn(Waiting::ForTurn).unwrap();
    let refused = closed.hold_turn(Waiting::No);
    assert!(
        matches!(refused, Err(BackendError::InUse(_))),
        "{refused:?}"
    );
    std::thread::scope(|scope| {
        let began = Instant::now();
        let waiting = scope.spawn(|| closed.begin_write().map(drop));
        while began.elapsed() < Duration::from_millis(50) {
            std::thread::yield_now();
        }
        closed.close().unwrap();
        let ended = waiting.join().unwrap();
        assert!(matches!(ended, Err(BackendError::Closed)), "{ended:?}");
        assert!(began.elapsed() < Duration::from_secs(30));
    });
    drop(hold);
    put(&*other, b"key");
}

#[test]
fn a_copy_has_no_journal_and_a_backend_without_one_refuses_an_open_one() {
    let (redb, journaled) = made();
    let backend = journaled.tuned(eager());
    let db = backend.open(store(), &OpenOptions::read_write()).unwrap();
    for nth in 0..3 {
        put(&*db, &[nth]);
    }
    let copy = |backend: &dyn StateBackend, to: &str| {
        backend.backup(
            store(),
            Path::new(to),
            &mut |_| Ok(()),
            &ProgressSink::none(),
        )
    };
    let refused = copy(&redb, "of the file alone");
    assert!(
        matches!(&refused, Err(FileError::Io { source, .. })
            if source.to_string().contains("JournaledBackend")),
        "{refused:?}"
    );
    let mark = |path: &str| {
        let db = redb
            .open(Path::new(path), &OpenOptions::read_only())
            .unwrap();
        let mark = db
            .snapshot()
            .unwrap()
            .get(Table::System, b"journal")
            .unwrap();
        db.close().unwrap();
        mark
    };
    // The file's pages lack what is in the journal.
    assert_eq!(copy(&backend, "of all").unwrap(), Copied::Rows);
    assert_eq!(mark("of all"), None);
    db.close().unwrap();
    assert!(
        mark(STORE).is_some(),
        "a session that has ended leaves a mark"
    );
    assert_eq!(copy(&redb, "of the ended").unwrap(), Copied::Pages);
    assert_eq!(copy(&backend, "by a journal").unwrap(), Copied::Pages);
    for to in ["of the ended", "by a journal"] {
        assert_eq!(mark(to), None);
    }
}
