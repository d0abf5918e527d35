//! The change feed.

use std::time::Duration;

use lattice_backend::engine::read::{Cursor, CursorOp, FeedError};
use lattice_backend::op::ApplyIndex;
use lattice_kvstore::{Change, KvStore};

use crate::support::replica::{On, Replica};

const NOW: Duration = Duration::ZERO;

fn all(kv: &KvStore, prefix: &str, since: Cursor) -> (Vec<Change>, Cursor) {
    let mut changes = kv.changes_to(prefix, since).unwrap();
    let mut given = Vec::new();
    while let Some(change) = changes.next_timeout(NOW).unwrap() {
        given.push(change);
    }
    (given, changes.cursor())
}

fn written(changes: &[Change]) -> Vec<(&[u8], Option<&[u8]>)> {
    changes
        .iter()
        .map(|change| (&change.key[..], change.value.as_deref()))
        .collect()
}

#[test]
fn puts_and_deletes_are_reported_with_author_and_time() {
    for on in On::EACH {
        let replica = Replica::new(on);
        let put = replica
            .kv
            .batch()
            .put("b", "2")
            .put("a", "1")
            .commit()
            .unwrap();
        let gone = replica.kv.delete("a").unwrap();
        let (changes, cursor) = all(&replica.kv, "", Cursor::START);
        let expected: [(&[u8], Option<&[u8]>); 3] =
            [(b"a", Some(b"1")), (b"b", Some(b"2")), (b"a", None)];
        assert_eq!(written(&changes), expected);
        assert_eq!((changes[0].op, changes[0].hlc), (put.op, put.hlc));
        assert_eq!((changes[2].op, changes[2].hlc), (gone.op, gone.hlc));
        assert_eq!(cursor, replica.kv.cursor().unwrap());
        assert_eq!(all(&replica.kv, "", cursor).0, []);
    }
}

#[test]
fn a_feed_with_a_prefix_skips_other_keys_and_resumes_at_every_change() {
    let mut replica = Replica::new(On::Redb);
    for round in 0..20 {
        let mut batch = replica.kv.batch();
        for key in 0..5 {
            batch = batch.put(
                format!("{}{key}", ["a", "b", "ab"][key % 3]),
                format!("{round}"),
            );
        }
        batch.commit().unwrap();
    }
    let (expected, _) = all(&replica.kv, "a", Cursor::START);
    assert_eq!(expected.len(), 20 * 3);
    let mut cursor = Cursor::START;
    for (place, expected) in expected.iter().enumerate() {
        let mut changes = replica.kv.changes_to("a", cursor).unwrap();
        assert_eq!(changes.next().unwrap().unwrap(), *expected);
        cursor = changes.cursor();
        // The place of a change is its place within its op, also for the last change of the op.
        let passed = changes.place().unwrap() + 1;
        if place % 2 == 0 {
            let op = cursor.op.map(|at| CursorOp { passed, ..at });
            cursor = Cursor { op };
        }
        drop(changes);
        if place % 7 == 0 {
            replica.reopen();
        }
    }
    assert_eq!(all(&replica.kv, "a", cursor).0, []);
}

/// A hundred thousand changes while the reader does not read: it gets all of them, in order.
#[test]
fn a_slow_watcher_misses_nothing() {
    let replica = Replica::new(On::Redb);
    let mut changes = replica.kv.changes(Cursor::START).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for batch in 0..200_u32 {
                let rows = (0..500).map(|row| ((batch * 500 + row).to_be_bytes(), b""));
                let mut writes = replica.kv.batch();
                writes.extend(rows);
                writes.commit().unwrap();
            }
        });
        // It reads one change, and then none until all are written.
        assert_eq!(changes.next().unwrap().unwrap().key, 0_u32.to_be_bytes());
        writer.join().unwrap();
    });
    for expected in 1..100_000_u32 {
        let change = changes.next_timeout(NOW).unwrap().unwrap();
        assert_eq!(change.key, expected.to_be_bytes());
    }
    assert_eq!(changes.next_timeout(NOW).unwrap(), None);
}

#[test]
fn ops_of_other_authors_are_reported_in_order_of_arrival_and_a_restore_is_detected() {
    let (here, there) = (
        Replica::new(On::Memory),
        Replica::of(&crate::support::replica::genesis(), On::Memory, 2),
    );
    there.kv.put("theirs", "older").unwrap();
    here.clock.advance(1000);
    here.kv.put("mine", "newer").unwrap();
    here.pull(&there);
    let (changes, cursor) = all(&here.kv, "", Cursor::START);
    let keys: Vec<_> = changes.iter().map(|change| &change.key[..]).collect();
    assert_eq!(keys, [&b"mine"[..], b"theirs"]);
    // The other replica has a different order of arrival, so the cursor does not belong to its
    // history.
    there.pull(&here);
    let rewound = there.kv.changes(cursor).unwrap_err();
    assert!(
        matches!(rewound, FeedError::Rewound { index, .. } if index.get() == 1),
        "{rewound:?}"
    );
    let beyond = CursorOp {
        index: ApplyIndex::new(7),
        ..cursor.op.unwrap()
    };
    let rewound = here.kv.changes(Cursor { op: Some(beyond) }).unwrap_err();
    assert!(
        matches!(rewound, FeedError::Rewound { found: None, .. }),
        "{rewound:?}"
    );
}
