//! Handles beside the long work of another process.

use std::io;
use std::ops::Bound;
use std::path::Path;
use std::time::Duration;

use lattice_backend::backend::{BackendError, OpenOptions, StateBackend};
use lattice_backend::engine::read::Cursor;
use lattice_backend::op::Op;
use lattice_backend::redb::{FileDisk, RedbBackend};
use lattice_backend::storage::{Disk, FileMode, LockKind, LockRange, Storage, StorageOver};

use crate::registers::Command;
use crate::support::*;

/// Long enough to see that nothing arrives.
const MOMENT: Duration = Duration::from_millis(50);

/// Files whose locks are not waited for.
#[derive(Debug, Default)]
struct Impatient {
    /// Why there is no lock file of writers.
    no_turns: Option<io::ErrorKind>,
}

#[derive(Debug)]
struct ImpatientStorage(Box<dyn Storage>);

impl lattice_backend::storage::DiskOver for Impatient {
    fn under(&self) -> &dyn Disk {
        &FileDisk
    }

    fn open(&self, path: &Path, mode: FileMode) -> io::Result<Box<dyn Storage>> {
        Ok(Box::new(ImpatientStorage(FileDisk.open(path, mode)?)))
    }

    fn open_lock(&self, store: &Path) -> io::Result<Box<dyn Storage>> {
        match self.no_turns {
            Some(kind) => Err(kind.into()),
            None => FileDisk.open_lock(store),
        }
    }
}

impl StorageOver for ImpatientStorage {
    fn under(&self) -> &dyn Storage {
        &*self.0
    }

    fn lock(&self, range: LockRange, kind: LockKind) -> io::Result<()> {
        match self.0.try_lock(range, kind)? {
            true => Ok(()),
            false => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }
}

/// A compaction keeps readers waiting for as long as it moves pages.
#[test]
fn waits_and_feeds_outlast_a_compaction_that_lasts_longer_than_readers_wait() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(
        RedbBackend::on_disk(Impatient::default()),
        dir.path().join("state.db"),
    );
    let writer = site.open();
    let op = append(&writer, "key", "value");
    writer.close().unwrap();
    let writer = site.open();
    let mut reading = site.request();
    reading.options = OpenOptions::read_only();
    let reader = site.try_open(reading).unwrap();
    let handles = [&writer, &reader];
    let mut feeds = handles.map(|handle| {
        let events = |op: &Op| vec![(0, op.reference())];
        handle.changes(Cursor::START, events).unwrap()
    });
    let others = RedbBackend::on_files();
    let work = OpenOptions::long_work("compact", Duration::ZERO);
    let compaction = others.open(&site.path, &work).unwrap();
    let moving = FileDisk.open(&site.path, FileMode::ReadWrite).unwrap();
    let header = (Bound::Included(0), Bound::Included(0));
    moving.lock(header, LockKind::Exclusive).unwrap();
    for (handle, feed) in handles.into_iter().zip(&mut feeds) {
        let refused = handle.snapshot().map(drop);
        let Err(BackendError::InUse(busy)) = refused else {
            panic!("{refused:?}");
        };
        let holder = busy.holder.unwrap();
        assert_eq!(holder.work, "compact");
        assert_eq!(holder.process, std::process::id());
        // The number of ops that the handle knows of.
        assert_eq!(handle.wait_for_ops(1, MOMENT).unwrap(), 1);
        assert_eq!(feed.next_timeout(MOMENT).unwrap(), None);
    }
    drop(moving);
    compaction.close().unwrap();
    for feed in &mut feeds {
        assert_eq!(feed.next_timeout(MOMENT).unwrap(), Some(op.reference()));
        assert_eq!(feed.next_timeout(Duration::ZERO).unwrap(), None);
    }
    let next = append(&writer, "key", "other");
    for mut feed in feeds {
        assert_eq!(feed.next().unwrap().unwrap(), next.reference());
    }
}

/// The turn only orders writers; a store can be removed from a full disk.
#[test]
fn without_rights_or_space_for_a_lock_file_a_store_is_locked_and_written() {
    for (kind, is_refused) in [
        (io::ErrorKind::PermissionDenied, false),
        (io::ErrorKind::ReadOnlyFilesystem, false),
        (io::ErrorKind::StorageFull, false),
        (io::ErrorKind::QuotaExceeded, false),
        (io::ErrorKind::Other, true),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let no_turns = Some(kind);
        let backend = RedbBackend::on_disk(Impatient { no_turns });
        let site = Site::new(backend, dir.path().join("state.db"));
        let locked = site.backend.lock_writer(&site.path, "test", Duration::ZERO);
        assert_eq!(locked.is_err(), is_refused, "{kind:?}: {locked:?}");
        if locked.is_ok() {
            let request = site.request().identity(owner());
            let store = site.try_open(request.wait(Duration::ZERO)).unwrap();
            let refused = store.append(Command::set("key", "value"));
            assert!(refused.is_err(), "{kind:?}: a lock excludes nothing");
            drop(locked);
            append(&store, "key", "value");
            assert_whole(&store);
        }
    }
}

/// A long transaction has a name for those who wait in vain.
#[test]
fn a_transaction_that_lasts_long_gets_a_name() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(RedbBackend::on_files(), dir.path().join("state.db"));
    let db = site
        .backend
        .open(&site.path, &OpenOptions::read_write())
        .unwrap();
    let tx = db.begin_write().unwrap();
    let waiting = OpenOptions {
        wait: Duration::from_secs(3),
        ..OpenOptions::read_write()
    };
    let second = site.backend.open(&site.path, &waiting).unwrap();
    let refused = second.begin_write().map(drop);
    let Err(BackendError::InUse(busy)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(busy.holder.unwrap().work, "write");
    drop(tx);
    drop(second.begin_write().unwrap());
}
