//! Follows a log while entries arrive.

use std::convert::Infallible;

use std::sync::mpsc;
use std::time::Duration;

use lattice_backend::backend::{BackendError, OpenOptions};
use lattice_backend::engine::ingest::Authors;
use lattice_backend::op::ApplyIndex;
use lattice_logstore::{Cursor, CursorOp, FeedError, Selection};
use lattice_meta::{Genesis, OpId};

use crate::golden::lines;
use crate::support::{On, Replica, contents, genesis};

/// A timeout that never waits.
const NOW: Duration = Duration::ZERO;
/// A timeout far longer than any test takes.
const LONG: Duration = Duration::from_secs(60);

#[test]
fn entries_are_reported_in_order_of_arrival() {
    for on in On::ALL {
        let genesis = genesis(1);
        let here = Replica::of(&genesis, on, 1);
        let there = Replica::of(&genesis, On::Memory, 2);
        there.log.append("older, arrives later").unwrap();
        here.clock.advance(1000);
        here.log.append_many(["one", "two"]).unwrap();
        let mut follow = here.log.follow(Cursor::START).unwrap();
        assert_eq!(contents(follow.by_ref().take(2)), [b"one", b"two"]);
        assert_eq!(follow.next_timeout(NOW).unwrap(), None);
        here.pull(&there);
        let arrived = follow.next_timeout(LONG).unwrap().unwrap();
        assert_eq!(arrived.content, b"older, arrives later");
        // The follower returns the entry as it is in the log, although it is the first one there.
        assert_eq!(
            here.log.get(arrived.position()).unwrap(),
            Some(arrived.clone())
        );
        assert_eq!(
            here.log
                .read(Selection::all())
                .unwrap()
                .next()
                .unwrap()
                .unwrap(),
            arrived
        );
        assert_eq!(follow.next_timeout(NOW).unwrap(), None);
    }
}

#[test]
fn a_feed_from_the_end_reports_no_earlier_entries() {
    let replica = Replica::new(On::Memory);
    assert_eq!(replica.log.cursor().unwrap(), Cursor::START);
    replica.log.append_many(["old", "old"]).unwrap();
    let mut follow = replica.log.follow(replica.log.cursor().unwrap()).unwrap();
    assert_eq!(follow.next_timeout(NOW).unwrap(), None);
    replica.log.append("new").unwrap();
    assert_eq!(follow.next().unwrap().unwrap().content, b"new");
}

#[test]
fn a_snapshot_and_the_feed_after_it_have_every_entry_once() {
    let replica = Replica::new(On::Redb);
    let empty = replica.log.snapshot().unwrap();
    assert_eq!(replica.log.cursor_after(&empty).unwrap(), Cursor::START);
    replica.log.append_many(["0", "1"]).unwrap();
    let snapshot = replica.log.snapshot().unwrap();
    replica.log.append_many(["2", "3"]).unwrap();
    let cursor = replica.log.cursor_after(&snapshot).unwrap();
    assert_ne!(cursor, replica.log.cursor().unwrap());
    let mut follow = replica.log.follow(cursor).unwrap();
    assert_eq!(snapshot.tail(9).unwrap().len(), 2);
    assert_eq!(contents(follow.by_ref().take(2)), [b"2", b"3"]);
    assert_eq!(follow.next_timeout(NOW).unwrap(), None);
}

#[test]
fn a_feed_resumes_after_every_entry_even_after_a_reopen() {
    let mut replica = Replica::new(On::Redb);
    replica.log.append_many(["0", "1", "2"]).unwrap();
    replica.log.append("3").unwrap();
    replica.log.append_many(["4", "5"]).unwrap();
    let expected = replica.contents();
    let mut cursor = Cursor::START;
    for entry in &expected {
        let mut follow = replica.log.follow(cursor).unwrap();
        assert_eq!(follow.cursor(), cursor);
        assert_eq!(follow.next().unwrap().unwrap().content, *entry);
        cursor = follow.cursor();
        drop(follow);
        replica = replica.reopened(OpenOptions::read_write());
    }
    let mut follow = replica.log.follow(cursor).unwrap();
    assert_eq!(follow.next_timeout(NOW).unwrap(), None);
}

#[test]
fn invalid_ops_and_merges_are_skipped() {
    let lines = lines("history.txt");
    let genesis = Genesis::decode(&lines[0].1[0]).unwrap();
    let replica = Replica::of(&genesis, On::Memory, 77);
    let ops: Vec<_> = lines.iter().filter(|(name, _)| name == "op").collect();
    let mut follow = replica.log.follow(Cursor::START).unwrap();
    let mut given = Vec::new();
    for (_, words) in &ops {
        let mut op = [Ok::<_, Infallible>(words[0].clone())].into_iter();
        replica.log.ingest(&mut op, &Authors::Any).unwrap();
        while let Some(entry) = follow.next_timeout(NOW).unwrap() {
            given.push(entry);
        }
        // The cursor is after the op, whether the op has entries or not.
        assert_eq!(
            follow.cursor().op.unwrap().index.get() + 1,
            replica.log.op_count().unwrap()
        );
    }
    given.sort_by_key(|entry| entry.position());
    let log: Vec<_> = replica
        .log
        .read(Selection::all())
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(given, log);
    assert_eq!(given.len(), 6);
}

#[test]
fn a_feed_on_another_thread_reports_every_entry_once() {
    for on in On::ALL {
        let replica = Replica::new(on);
        let follow = replica.log.follow(Cursor::START).unwrap();
        let (heard, hear) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for entry in follow.take(300) {
                    heard.send(entry.unwrap()).unwrap();
                }
            });
            for thread in 0..3_u8 {
                let log = replica.log.clone();
                scope.spawn(move || {
                    for round in 0..50_u8 {
                        log.append_many([[thread, round, 0], [thread, round, 1]])
                            .unwrap();
                    }
                });
            }
        });
        let mut given: Vec<_> = hear.iter().map(|entry| entry.position()).collect();
        // There is one author, so the order of application is that of time.
        assert!(given.is_sorted());
        given.dedup();
        assert_eq!(given.len(), 300, "on {on:?}");
    }
}

#[test]
fn a_cursor_of_another_history_is_rewound() {
    let genesis = genesis(1);
    let old = Replica::of(&genesis, On::Memory, 1);
    old.log.append("both have this").unwrap();
    let restored = Replica::of(&genesis, On::Memory, 1);
    restored.pull(&old);
    let shared = old.log.cursor().unwrap();
    let lost = old.log.append("only one has this").unwrap().op.id;
    let ahead = old.log.cursor().unwrap();

    assert!(restored.log.follow(shared).is_ok());
    let rewound = restored.log.follow(ahead).unwrap_err();
    let expected = |found: Option<OpId>| {
        move |error: &FeedError| {
            matches!(
                error,
                FeedError::Rewound { index, expected, found: there }
                    if index.get() == 1 && *expected == lost && *there == found
            )
        }
    };
    assert!(expected(None)(&rewound), "{rewound:?}");
    restored.clock.advance(7);
    let other = restored.log.append("something else").unwrap().op.id;
    let rewound = restored.log.follow(ahead).unwrap_err();
    assert!(expected(Some(other))(&rewound), "{rewound:?}");

    let far = Cursor {
        op: Some(CursorOp {
            index: ApplyIndex::new(u64::MAX),
            id: other,
            passed: 0,
        }),
    };
    assert!(matches!(
        restored.log.follow(far),
        Err(FeedError::Rewound { .. })
    ));
}

#[test]
fn closing_ends_a_wait() {
    for on in On::ALL {
        let replica = Replica::new(on);
        let mut follow = replica.log.follow(Cursor::START).unwrap();
        let (waits, waiting) = mpsc::channel();
        std::thread::scope(|scope| {
            let follower = scope.spawn(move || {
                waits.send(()).unwrap();
                let last = follow.next().unwrap();
                (
                    matches!(last, Err(FeedError::Backend(BackendError::Closed))),
                    follow.next(),
                )
            });
            waiting.recv().unwrap();
            replica.log.close().unwrap();
            let (closed, after) = follower.join().unwrap();
            assert!(closed && after.is_none(), "on {on:?}");
        });
    }
}

#[test]
fn a_wait_ends_at_its_timeout() {
    let replica = Replica::new(On::Memory);
    let mut follow = replica.log.follow(Cursor::START).unwrap();
    let begun = std::time::Instant::now();
    assert_eq!(
        follow.next_timeout(Duration::from_millis(20)).unwrap(),
        None
    );
    assert!(begun.elapsed() >= Duration::from_millis(20));
    replica.log.append("x").unwrap();
    assert!(
        follow
            .next_timeout(Duration::from_millis(20))
            .unwrap()
            .is_some()
    );
}
