//! What a write transaction does, and what others see of it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::backend::{BackendError, Direction, EVERYTHING, OpenOptions, Table, Verdict};
use crate::conformance::backend::{Site, commit, committed, rows};

pub(super) fn are_atomic(site: &Site) {
    let db = site.writer();
    commit(&*db, |tx| tx.put(Table::Data, b"key", b"old"));
    let ends: [fn() -> crate::backend::Result<Verdict>; 2] =
        [|| Ok(Verdict::Abort), || Err(BackendError::Unusable)];
    for (expected_error, end) in [false, true].into_iter().zip(ends) {
        let written = db.write(&mut |tx| {
            tx.put(Table::Data, b"key", b"new")?;
            tx.put(Table::System, b"another table", b"")?;
            tx.remove(Table::Data, b"key")?;
            end()
        });
        match written {
            Ok(()) => assert!(!expected_error, "the body's error was dropped"),
            Err(BackendError::Unusable) => assert!(expected_error, "an abort is no error"),
            Err(error) => panic!("the body's error became {error:?}"),
        }
        assert_eq!(committed(&*db, b"key").as_deref(), Some(b"old".as_slice()));
        let snapshot = db.snapshot().expect("a snapshot");
        let system = rows(&*snapshot, Table::System, EVERYTHING, Direction::Forward);
        assert!(system.is_empty(), "a write that did not happen left rows");
    }
    commit(&*db, |tx| tx.put(Table::Data, b"key", b"new"));
    assert_eq!(committed(&*db, b"key").as_deref(), Some(b"new".as_slice()));
}

pub(super) fn survive_a_panic(site: &Site) {
    let db = site.writer();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        db.write(&mut |tx| {
            tx.put(Table::Data, b"key", b"value")?;
            // Without a message on the test's output.
            std::panic::resume_unwind(Box::new("in the body"))
        })
    }));
    let text = panicked.expect_err("a panic in the body goes on");
    assert_eq!(text.downcast_ref(), Some(&"in the body"));
    assert_eq!(
        committed(&*db, b"key"),
        None,
        "a panic ends the transaction"
    );
    commit(&*db, |tx| tx.put(Table::Data, b"key", b"after"));
    db.close().expect("closing");
    let db = site.open(&OpenOptions::read_only());
    assert_eq!(
        committed(&*db, b"key").as_deref(),
        Some(b"after".as_slice())
    );
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
        // The tables are apart.
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

/// Empty keys and values, long keys, values longer than a page.
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
    // Readable from several threads at once.
    let last = snapshots.last().expect("there are ten");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(last.get(Table::Data, b"key").expect("read"), Some(vec![9])));
        }
    });
}
