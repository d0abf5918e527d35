//! The effects of a write transaction, and their visibility.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;

use crate::backend::{
    BackendError, Direction, EVERYTHING, OpenOptions, Result, Row, RowCursor, Table,
};
use crate::conformance::backend::{Site, begin, commit, committed, rows};

pub(super) fn are_atomic(site: &Site) {
    let db = site.writer();
    commit(&*db, |tx| tx.put(Table::Data, b"key", b"old"));
    for _ in 0..2 {
        let mut dropped = begin(&*db);
        dropped.put(Table::Data, b"key", b"new").expect("written");
        dropped
            .put(Table::System, b"another table", b"")
            .expect("written");
        let before = dropped.remove(Table::Data, b"key").expect("removed");
        assert_eq!(before.as_deref(), Some(b"new".as_slice()));
        let old = Some(b"old".as_slice());
        let outside = committed(&*db, b"key");
        assert_eq!(outside.as_deref(), old, "a write shows before its commit");
        drop(dropped);
        let found = committed(&*db, b"key");
        assert_eq!(
            found.as_deref(),
            old,
            "dropping a transaction does not undo it"
        );
        let snapshot = db.snapshot().expect("a snapshot");
        let system = rows(&*snapshot, Table::System, EVERYTHING, Direction::Forward);
        assert!(system.is_empty(), "dropping a transaction left rows");
        let next = begin(&*db);
        let found = next.get(Table::Data, b"key").expect("read");
        assert_eq!(
            found.as_deref(),
            old,
            "the next transaction sees one that was dropped"
        );
    }
    commit(&*db, |tx| tx.put(Table::Data, b"key", b"new"));
    assert_eq!(committed(&*db, b"key").as_deref(), Some(b"new".as_slice()));
}

pub(super) fn survive_a_panic(site: &Site) {
    let db = site.writer();
    let panicked: std::thread::Result<()> = catch_unwind(AssertUnwindSafe(|| {
        let mut tx = begin(&*db);
        tx.put(Table::Data, b"key", b"value").expect("written");
        tx.put(Table::System, b"key", &[7; 9000]).expect("written");
        // `resume_unwind` prints no message to the test's output.
        std::panic::resume_unwind(Box::new("with a transaction"))
    }));
    let text = panicked.expect_err("a panic goes on");
    assert_eq!(text.downcast_ref(), Some(&"with a transaction"));
    assert_eq!(
        committed(&*db, b"key"),
        None,
        "a panic ends the transaction"
    );
    commit(&*db, |tx| tx.put(Table::Data, b"key", b"after"));
    db.close().expect("closing");
    site.assert_intact();
    let db = site.open(&OpenOptions::read_only());
    assert_eq!(
        committed(&*db, b"key").as_deref(),
        Some(b"after".as_slice())
    );
}

/// A transaction that is requested while another one is open begins after that one has ended.
pub(super) fn take_turns(site: &Site) {
    let db = site.writer();
    let mut first = begin(&*db);
    first.put(Table::Data, b"first", b"1").expect("written");
    let (tell, told) = mpsc::channel();
    std::thread::scope(|scope| {
        let second = scope.spawn(|| {
            tell.send("waits").expect("it is heard");
            let mut second = begin(&*db);
            tell.send("begun").expect("it is heard");
            let seen = second.get(Table::Data, b"first").expect("read");
            second.put(Table::Data, b"second", b"2").expect("written");
            let ticket = second.commit().expect("committed");
            ticket.wait().expect("durable");
            seen
        });
        assert_eq!(told.recv(), Ok("waits"));
        for _ in 0..1000 {
            std::thread::yield_now();
        }
        // A snapshot does not wait for a transaction.
        assert_eq!(committed(&*db, b"second"), None);
        assert!(
            told.try_recv().is_err(),
            "a transaction began while another one was open"
        );
        let ticket = first.commit().expect("committed");
        assert_eq!(
            second.join().expect("it ends"),
            Some(b"1".to_vec()),
            "a transaction does not see the one before it"
        );
        ticket.wait().expect("durable");
    });
    // Several threads at once: each transaction sees the counts of all earlier ones.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5 {
                    commit(&*db, |tx| {
                        let before = tx.get(Table::Data, b"count")?.map_or(0, |row| row[0]);
                        tx.put(Table::Data, b"count", &[before + 1])
                    });
                }
            });
        }
    });
    assert_eq!(committed(&*db, b"count"), Some(vec![20]));
}

/// 32 MiB in one transaction, with a cache of 1 MiB. The transaction sees all its writes, other
/// transactions see none, and it is rolled back or committed as a whole.
pub(super) fn can_outgrow_memory(site: &Site) {
    const ROWS: u32 = 1024;
    let value = vec![0xa5; 32 << 10];
    site.create();
    let options = OpenOptions {
        cache_bytes: 1 << 20,
        ..OpenOptions::read_write()
    };
    let db = site.open(&options);
    commit(&*db, |tx| tx.put(Table::Data, &7_u32.to_be_bytes(), b"old"));
    let large = || {
        let mut tx = begin(&*db);
        for row in 0..ROWS {
            tx.put(Table::Data, &row.to_be_bytes(), &value)
                .expect("written");
        }
        let mut cursor = tx
            .range(Table::Data, EVERYTHING, Direction::Forward)
            .expect("a range is read");
        for row in 0..ROWS {
            let found = cursor.next().expect("a row is read").expect("it is there");
            assert!(
                found.key == row.to_be_bytes() && found.value == value,
                "row {row} of a large transaction is not what was written"
            );
        }
        assert!(cursor.next().expect("the end is read").is_none());
        drop(cursor);
        let snapshot = db.snapshot().expect("a snapshot");
        let outside = rows(&*snapshot, Table::Data, EVERYTHING, Direction::Forward);
        let expected = [(7_u32.to_be_bytes().to_vec(), b"old".to_vec())];
        assert!(
            outside == expected,
            "a large transaction shows before its commit"
        );
        tx
    };
    drop(large());
    let snapshot = db.snapshot().expect("a snapshot");
    let left = rows(&*snapshot, Table::Data, EVERYTHING, Direction::Forward).len();
    assert_eq!(left, 1, "dropping a large transaction left rows");
    drop(snapshot);
    assert_eq!(
        committed(&*db, &7_u32.to_be_bytes()).as_deref(),
        Some(b"old".as_slice())
    );
    let ticket = large().commit().expect("committed");
    ticket.wait().expect("durable");
    db.close().expect("closing");
    site.assert_intact();
    let db = site.open(&OpenOptions::read_only());
    let snapshot = db.snapshot().expect("a snapshot");
    for row in [0, 7, ROWS - 1] {
        let found = snapshot.get(Table::Data, &row.to_be_bytes()).expect("read");
        assert!(
            found.as_deref() == Some(&value),
            "row {row} of a large transaction is lost"
        );
    }
}

pub(super) fn see_their_own_writes(site: &Site) {
    let db = site.writer();
    commit(&*db, |tx| {
        tx.put(Table::Data, b"a", b"1")?;
        tx.put(Table::Data, b"c", b"3")
    });
    commit(&*db, |tx| {
        tx.put(Table::Data, b"b", b"2")?;
        tx.put(Table::Data, b"c", b"33")?;
        tx.remove(Table::Data, b"a")?;
        assert_eq!(tx.get(Table::Data, b"a")?, None);
        assert_eq!(tx.get(Table::Data, b"b")?.as_deref(), Some(b"2".as_slice()));
        let expected = vec![
            (b"b".to_vec(), b"2".to_vec()),
            (b"c".to_vec(), b"33".to_vec()),
        ];
        assert_eq!(
            rows(tx, Table::Data, EVERYTHING, Direction::Forward),
            expected
        );
        // Tables are independent.
        assert_eq!(tx.get(Table::System, b"b")?, None);
        Ok(())
    });
}

pub(super) fn give_previous_values(site: &Site) {
    let db = site.writer();
    commit(&*db, |tx| {
        assert_eq!(tx.replace(Table::Data, b"key", b"one")?, None);
        let before = tx.replace(Table::Data, b"key", b"")?;
        assert_eq!(before.as_deref(), Some(b"one".as_slice()));
        Ok(())
    });
    commit(&*db, |tx| {
        let empty = Some(b"".as_slice());
        assert_eq!(tx.get(Table::Data, b"key")?.as_deref(), empty);
        assert_eq!(tx.remove(Table::Data, b"key")?.as_deref(), empty);
        assert_eq!(tx.remove(Table::Data, b"key")?, None);
        assert_eq!(tx.get(Table::Data, b"key")?, None);
        Ok(())
    });
    assert_eq!(committed(&*db, b"key"), None);
}

/// Empty keys and values, long keys, and values longer than a page.
pub(super) fn take_all_rows(site: &Site) {
    let db = site.writer();
    let long_key = vec![0xff; 4096];
    let longer_key = [long_key.as_slice(), &[0]].concat();
    let written: [(&[u8], Vec<u8>); 6] = [
        (b"", b"under the empty key".to_vec()),
        (b"\0", Vec::new()),
        (b"\0\0", vec![0; 4096]),
        (b"value", vec![7; 3 << 20]),
        (&long_key, b"long".to_vec()),
        (&longer_key, b"longer".to_vec()),
    ];
    commit(&*db, |tx| {
        for (key, value) in &written {
            tx.put(Table::Data, key, value)?;
        }
        Ok(())
    });
    db.close().expect("closing");
    let db = site.open(&OpenOptions::read_only());
    let snapshot = db.snapshot().expect("a snapshot");
    let found = rows(&*snapshot, Table::Data, EVERYTHING, Direction::Forward);
    let expected: Vec<_> = written
        .iter()
        .map(|(key, value)| (key.to_vec(), value.clone()))
        .collect();
    assert!(
        found == expected,
        "rows of odd sizes come back as they were"
    );
}

/// Appended rows come after those that are there. An error of their source ends the transaction.
pub(super) fn append_rows(site: &Site) {
    let db = site.writer();
    let all: Vec<_> = (0..6000_u32)
        .map(|nth| (nth.to_be_bytes().to_vec(), nth.to_string().into_bytes()))
        .collect();
    let last = (vec![1], vec![7; 1 << 20]);
    commit(&*db, |tx| {
        tx.put(Table::Data, &all[0].0, &all[0].1)?;
        tx.append(Table::Data, &mut Listed::new(&all[1..5000]))?;
        tx.put(Table::Data, &all[5000].0, &all[5000].1)?;
        tx.append(Table::Data, &mut Listed::new(&all[5001..]))?;
        tx.append(Table::Data, &mut Listed::new(&[]))?;
        assert_eq!(tx.get(Table::Data, &all[42].0)?.as_ref(), Some(&all[42].1));
        tx.append(Table::Data, &mut Listed::new(std::slice::from_ref(&last)))
    });
    let mut tx = begin(&*db);
    let more = [(vec![2], vec![])];
    let failed = tx.append(
        Table::Data,
        &mut Listed {
            fails: true,
            ..Listed::new(&more)
        },
    );
    assert!(matches!(failed, Err(BackendError::Closed)), "{failed:?}");
    drop(tx);
    db.close().expect("closing");
    let db = site.open(&OpenOptions::read_only());
    let snapshot = db.snapshot().expect("a snapshot");
    let found = rows(&*snapshot, Table::Data, EVERYTHING, Direction::Forward);
    let expected: Vec<_> = all.into_iter().chain([last]).collect();
    assert!(found == expected, "appended rows come back as they were");
}

/// Rows of a list, after which reading fails or ends.
struct Listed<'a> {
    rows: &'a [(Vec<u8>, Vec<u8>)],
    fails: bool,
}

impl<'a> Listed<'a> {
    fn new(rows: &'a [(Vec<u8>, Vec<u8>)]) -> Self {
        Self { rows, fails: false }
    }
}

impl RowCursor for Listed<'_> {
    fn next(&mut self) -> Result<Option<Row<'_>>> {
        match self.rows.split_first() {
            Some(((key, value), rest)) => {
                self.rows = rest;
                Ok(Some(Row { key, value }))
            }
            None if self.fails => Err(BackendError::Closed),
            None => Ok(None),
        }
    }
}

pub(super) fn are_isolated_from_snapshots(site: &Site) {
    let db = site.writer();
    commit(&*db, |tx| tx.put(Table::Data, b"key", &[0]));
    let snapshots: Vec<_> = (1..=10_u8)
        .map(|round| {
            let before = db.snapshot().expect("a snapshot");
            commit(&*db, |tx| {
                tx.put(Table::Data, b"key", &[round])?;
                let visible = before.get(Table::Data, b"key")?;
                assert_eq!(
                    visible,
                    Some(vec![round - 1]),
                    "a write shows before its commit"
                );
                Ok(())
            });
            before
        })
        .collect();
    for (round, snapshot) in (0..).zip(&snapshots) {
        let found = rows(&**snapshot, Table::Data, EVERYTHING, Direction::Forward);
        let round: u8 = round;
        assert_eq!(found, [(b"key".to_vec(), vec![round])], "a snapshot stays");
    }
    // Several threads can read a snapshot at once.
    let last = snapshots.last().expect("there are ten");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(last.get(Table::Data, b"key").expect("read"), Some(vec![9])));
        }
    });
}
