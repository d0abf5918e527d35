//! Creating, opening, sharing and closing stores.

use crate::progress::ProgressSink;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::backend::{
    Access, BackendError, Direction, EVERYTHING, FileError, OpenOptions, Peek, PeekError, Sharing,
    StateDb, Table, Ticket, Transaction, WriteTx,
};
use crate::conformance::backend::{Site, commit, committed};
use crate::history::system::LOGIC;

const EXCLUSIVE: OpenOptions = OpenOptions {
    sharing: Sharing::Exclusive,
    ..OpenOptions::read_write()
};

pub(super) fn is_made_once_and_only_if_the_birth_succeeds(site: &Site) {
    let is_gone = || {
        matches!(
            site.backend.peek_info(&site.path),
            Err(PeekError::File(FileError::NotFound { .. }))
        )
    };
    let failed = site.backend.create(&site.path, &mut |tx| {
        tx.put(Table::Data, b"key", b"value")?;
        Err(BackendError::unusable())
    });
    assert!(failed.is_err(), "a store was made by a birth that failed");
    assert!(is_gone(), "a birth that failed left a file behind");
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        site.backend.create(&site.path, &mut |tx| {
            tx.put(Table::Data, b"key", b"value")?;
            // `resume_unwind` prints no message to the test's output.
            std::panic::resume_unwind(Box::new("in the birth"))
        })
    }));
    let text = panicked.expect_err("a panic in a birth goes on");
    assert_eq!(text.downcast_ref(), Some(&"in the birth"));
    assert!(is_gone(), "a birth that panicked left a file behind");
    site.create();
    let again = site.backend.create(&site.path, &mut |_| {
        panic!("a birth must not run where a store stands")
    });
    assert!(
        matches!(again, Err(FileError::Exists { .. })),
        "a store was made over another: {again:?}"
    );
    assert_eq!(
        site.backend.peek_info(&site.path).expect("it is intact"),
        Site::meta()
    );
}

/// Peek shows the recorded logic if it is a valid version, and does not fail if it is not.
pub(super) fn is_peeked_at_with_its_logic(site: &Site) {
    let peeked = |logic: Option<&str>| {
        let expected = Peek {
            meta: Site::meta(),
            logic: logic.map(str::to_owned),
        };
        let found = site.backend.peek(&site.path);
        assert_eq!(found.expect("a store can be peeked at"), expected);
    };
    site.create();
    peeked(None);
    let longest = "x".repeat(64);
    for (row, logic) in [
        (b"rows/1".as_slice(), Some("rows/1")),
        (longest.as_bytes(), Some(longest.as_str())),
        (&[b'x'; 65], None),
        (b"", None),
        (b"two words", None),
        (b"na\xc3\xafve", None),
        (b"\xff", None),
    ] {
        let writer = site.open(&OpenOptions::read_write());
        commit(&*writer, |tx| tx.put(Table::System, LOGIC, row));
        peeked(logic);
        writer.close().expect("closing");
        peeked(logic);
    }
}

pub(super) fn is_not_found(site: &Site) {
    for options in [
        OpenOptions::read_only(),
        OpenOptions::read_write(),
        EXCLUSIVE,
    ] {
        let opened = site.backend.open(&site.path, &options);
        assert!(
            matches!(opened, Err(FileError::NotFound { .. })),
            "{options:?} of nothing gave {opened:?}"
        );
    }
    let peeked = site.backend.peek_info(&site.path);
    assert!(
        matches!(peeked, Err(PeekError::File(FileError::NotFound { .. }))),
        "peeking at nothing gave {peeked:?}"
    );
}

pub(super) fn is_peeked_at_closed_open_and_again(site: &Site) {
    let peek = || {
        site.backend
            .peek_info(&site.path)
            .expect("a store can be peeked at")
    };
    site.create();
    assert_eq!(peek(), Site::meta());
    let reader = site.open(&OpenOptions::read_only());
    assert_eq!(peek(), Site::meta());
    reader.close().expect("closing");
    let writer = site.open(&OpenOptions::read_write());
    assert_eq!(peek(), Site::meta());
    commit(&*writer, |tx| tx.put(Table::Meta, b"other", b"row"));
    let found = peek();
    assert_eq!(
        found.unknown_keys,
        [b"other"],
        "peek shows what is committed"
    );
    writer.close().expect("closing");
    assert_eq!(peek(), found);
    let writer = site.open(&EXCLUSIVE);
    match site.backend.peek_info(&site.path) {
        Ok(during) => assert_eq!(during, found),
        Err(PeekError::File(FileError::InUse { .. })) => {}
        Err(error) => panic!("peeking at a store in exclusive use gave {error:?}"),
    }
    writer.close().expect("closing");
    assert_eq!(peek(), found);
}

/// A backend gives two handles turns at writing, or refuses the second one.
pub(super) fn has_one_writer_at_a_time(site: &Site) {
    site.create();
    for (first, second) in [
        (OpenOptions::read_write(), OpenOptions::read_write()),
        (OpenOptions::read_write(), EXCLUSIVE),
        (EXCLUSIVE, OpenOptions::read_write()),
        (EXCLUSIVE, EXCLUSIVE),
    ] {
        let writer = site.open(&first);
        assert_eq!(writer.access(), Access::ReadWrite);
        let impatient = OpenOptions {
            wait: Duration::ZERO,
            ..second
        };
        match site.backend.open(&site.path, &impatient) {
            Ok(other) if first == second && second.sharing == Sharing::SingleWriter => {
                take_turns(&*writer, &*other);
            }
            Err(FileError::InUse { .. }) => {}
            opened => panic!("a second writer got {opened:?}"),
        }
        commit(&*writer, |tx| tx.put(Table::Data, b"still", b"writable"));
        writer.close().expect("closing");
    }
    let writer = site.open(&OpenOptions::read_write());
    let readers = [0, 1].map(|_| site.open(&OpenOptions::read_only()));
    commit(&*writer, |tx| tx.put(Table::Data, b"key", b"live"));
    for reader in &readers {
        assert_eq!(reader.access(), Access::ReadOnly);
        assert_eq!(
            committed(&**reader, b"key").as_deref(),
            Some(b"live".as_slice()),
            "a reader follows the commits of a live writer"
        );
    }
    // If a writer is dropped without a close, the next writer can open the store.
    drop(writer);
    site.open(&OpenOptions::read_write());
}

/// The second handle does not wait. It gets a turn when the first one is idle, and each handle
/// learns of the other's commits.
fn take_turns(one: &dyn StateDb, other: &dyn StateDb) {
    let tx = one.begin_write().expect("a transaction");
    let refused = other.begin_write().map(drop);
    assert!(
        matches!(refused, Err(BackendError::InUse(_))),
        "a second transaction at the same time gave {refused:?}"
    );
    drop(tx);
    let snapshot = one.snapshot().expect("a snapshot");
    for round in 0..3_u8 {
        for (writer, follower, key) in [(one, other, b"one".as_slice()), (other, one, b"other")] {
            let mut tx = turn(writer);
            assert!(tx.follows_others() || round == 0, "in round {round}");
            tx.put(Table::Data, key, &[round])
                .expect("a row is written");
            let committed = tx.commit().and_then(Ticket::wait);
            committed.expect("a commit");
            let found = super::committed(follower, key);
            assert_eq!(found.as_deref(), Some(&[round][..]), "in round {round}");
        }
    }
    let before = snapshot.get(Table::Data, b"one").expect("a row is read");
    assert_eq!(before, None, "a snapshot outlives turns");
    drop(snapshot);
    other.close().expect("closing");
    let tx = turn(one);
    assert!(tx.follows_others(), "the other handle wrote last");
    drop(tx);
    let tx = turn(one);
    assert!(!tx.follows_others(), "no other handle has written");
}

/// Begins a transaction once the other handle has given up its turn.
fn turn(db: &dyn StateDb) -> Box<dyn Transaction + '_> {
    let began = Instant::now();
    loop {
        match db.begin_write() {
            Err(BackendError::InUse(_)) if began.elapsed() < Duration::from_secs(10) => {
                std::thread::yield_now();
            }
            begun => return begun.expect("an idle handle has given up its turn"),
        }
    }
}

pub(super) fn refuses_writes_when_read_only(site: &Site) {
    site.create();
    let reader = site.open(&OpenOptions::read_only());
    let begun = reader.begin_write().map(drop);
    assert!(
        matches!(begun, Err(BackendError::ReadOnly)),
        "a reader that begins to write gave {begun:?}"
    );
    assert_eq!(committed(&*reader, b"key"), None);
}

pub(super) fn is_released_by_close(site: &Site) {
    site.create();
    for options in [OpenOptions::read_only(), OpenOptions::read_write()] {
        let db = site.open(&options);
        db.close().expect("closing");
        db.close().expect("closing again does nothing");
        let snapshot = db.snapshot().map(drop);
        assert!(
            matches!(snapshot, Err(BackendError::Closed)),
            "a closed store gave {snapshot:?}"
        );
        let begun = db.begin_write().map(drop);
        assert!(
            matches!(begun, Err(BackendError::Closed)),
            "beginning to write to a closed store gave {begun:?}"
        );
        // The remaining handle does not exclude others.
        let next = site.open(&OpenOptions::read_write());
        next.close().expect("closing");
    }
}

pub(super) fn is_released_under_a_living_snapshot(site: &Site) {
    let db = site.writer();
    commit(&*db, |tx| tx.put(Table::Data, b"key", b"before"));
    let snapshot = db.snapshot().expect("a snapshot");
    db.close().expect("closing");
    let next = site.open(&OpenOptions::read_write());
    commit(&*next, |tx| tx.put(Table::Data, b"key", b"after"));
    // Reading the old view may fail, but it never shows later commits.
    match snapshot.get(Table::Data, b"key") {
        Ok(found) => assert_eq!(found.as_deref(), Some(b"before".as_slice())),
        Err(error) => assert!(matches!(error, BackendError::Closed), "{error:?}"),
    }
}

pub(super) fn is_compacted_between_reads(site: &Site) {
    let db = site.writer();
    let large = vec![7; 5000];
    for key in 0..50_u8 {
        commit(&*db, |tx| tx.put(Table::Data, &[key], &large));
    }
    let snapshot = db.snapshot().expect("a snapshot");
    for key in 1..50_u8 {
        commit(&*db, |tx| tx.remove(Table::Data, &[key]).map(drop));
    }
    let compacted = db.compact(&ProgressSink::none());
    assert!(
        matches!(compacted, Ok(()) | Err(BackendError::SnapshotsLive)),
        "compacting under a snapshot gave {compacted:?}"
    );
    assert_eq!(
        snapshot.get(Table::Data, &[49]).expect("a row is read"),
        Some(large.clone()),
        "a snapshot lost a row to a compaction"
    );
    drop(snapshot);
    db.compact(&ProgressSink::none())
        .expect("compacting without readers");
    assert_eq!(committed(&*db, &[0]), Some(large.clone()));
    assert_eq!(committed(&*db, &[49]), None);
    commit(&*db, |tx| tx.put(Table::Data, b"after", b"it"));
    db.close().expect("closing");
    assert!(matches!(
        db.compact(&ProgressSink::none()),
        Err(BackendError::Closed)
    ));
    let reader = site.open(&OpenOptions::read_only());
    assert!(matches!(
        reader.compact(&ProgressSink::none()),
        Err(BackendError::ReadOnly)
    ));
    assert_eq!(committed(&*reader, &[0]), Some(large));
    assert_eq!(committed(&*reader, b"after"), Some(b"it".to_vec()));
}

pub(super) fn keeps_what_was_committed(site: &Site) {
    site.create();
    for round in 0..20_u8 {
        let options = match round % 4 {
            3 => EXCLUSIVE,
            _ => OpenOptions::read_write(),
        };
        let db = site.open(&options);
        for earlier in 0..round {
            assert_eq!(
                committed(&*db, &[earlier]),
                Some(vec![earlier; usize::from(earlier) * 100]),
                "a committed row is there after {round} reopens"
            );
        }
        commit(&*db, |tx| {
            for table in Table::ALL {
                if table != Table::Meta {
                    tx.put(table, &[round], &vec![round; usize::from(round) * 100])?;
                }
            }
            Ok(())
        });
        // Whether dropped or closed: all commits are durable.
        if round % 2 == 0 {
            db.close().expect("closing");
        }
    }
    let db = site.open(&OpenOptions::read_only());
    let snapshot = db.snapshot().expect("a snapshot");
    for table in [Table::System, Table::Ops, Table::Applied, Table::Data] {
        let found = super::rows(&*snapshot, table, EVERYTHING, Direction::Forward);
        assert_eq!(found.len(), 20, "rows of {table}");
    }
}

/// A backup has the rows of the store and what its maker changes, in one transaction.
pub(super) fn is_copied_with_the_changes_of_the_copy(site: &Site) {
    let db = site.writer();
    commit(&*db, |tx| tx.put(Table::Data, b"key", b"value"));
    db.close().expect("closing");
    let copy = site.path.with_file_name("copy-of-the-store");
    let failing = &mut |tx: &mut dyn WriteTx| {
        tx.put(Table::System, b"mark", b"half")?;
        Err(BackendError::storage(
            "marking the copy",
            "the test stops it",
        ))
    };
    let refused = site
        .backend
        .backup(&site.path, &copy, failing, &ProgressSink::none());
    assert!(refused.is_err(), "a copy whose changes failed was made");
    let found = site.backend.peek(&copy);
    assert!(
        matches!(found, Err(PeekError::File(FileError::NotFound { .. }))),
        "a copy whose changes failed was left behind: {found:?}"
    );
    let marking = &mut |tx: &mut dyn WriteTx| tx.put(Table::System, b"mark", b"copy");
    let copied = site
        .backend
        .backup(&site.path, &copy, marking, &ProgressSink::none());
    copied.expect("a store is copied");
    let mark = |path: &std::path::Path| {
        let db = site.backend.open(path, &OpenOptions::read_only());
        let db = db.expect("it opens");
        let value = committed(&*db, b"key");
        assert_eq!(value.as_deref(), Some(&b"value"[..]), "a row of the store");
        let tx = db.snapshot().expect("a snapshot");
        let mark = tx.get(Table::System, b"mark").expect("a row is read");
        drop(tx);
        db.close().expect("closing");
        mark
    };
    assert_eq!(mark(&copy).as_deref(), Some(&b"copy"[..]));
    assert_eq!(mark(&site.path), None, "a backup changed the store");
}

/// Two scratch databases and the store are separate.
pub(super) fn scratch_databases_are_empty_and_apart(site: &Site) {
    site.create();
    let scratch = || site.backend.scratch().expect("there is room for one");
    let (one, other) = (scratch(), scratch());
    for db in [&one, &other] {
        let tx = db.snapshot().expect("it is open");
        for table in Table::ALL {
            let mut rows = tx
                .range(table, EVERYTHING, Direction::Forward)
                .expect("a table can be read");
            let row = rows.next().expect("a table can be read");
            assert!(row.is_none(), "a scratch database has rows in `{table}`");
        }
    }
    commit(&*one, |tx| tx.put(Table::Data, b"key", b"value"));
    assert_eq!(committed(&*one, b"key"), Some(b"value".to_vec()));
    assert_eq!(committed(&*other, b"key"), None);
    one.close().expect("it closes");
    assert!(matches!(one.snapshot(), Err(BackendError::Closed)));
    site.assert_intact();
}
