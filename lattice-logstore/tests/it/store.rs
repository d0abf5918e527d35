//! The handle of a log, on every backend.

use std::sync::Arc;

use lattice_backend::backend::{BackendError, OpenOptions};
use lattice_backend::engine::write::AppendError;
use lattice_backend::machine::Value;
use lattice_backend::op::SecretKey;
use lattice_backend::redb::RedbBackend;
use lattice_logstore::{
    LogRefusal, LogStore, MAX_BATCH, Position, Selection, log_opener, store_type,
};
use lattice_registry::{ManagerOptions, Registry, StoreHandle, StoreManager};

use crate::support::{NOW_MS, On, Replica, contents};

#[test]
fn appended_entries_are_read_in_order_with_author_and_time() {
    for on in On::ALL {
        let replica = Replica::new(on);
        let log = &replica.log;
        assert!(log.is_empty().unwrap());
        let first = log.append("first").unwrap();
        replica.clock.advance(5);
        let second = log.append_many([&b"second"[..], b"", b"third"]).unwrap();
        assert_eq!((first.index.get(), second.index.get()), (0, 1));
        assert_eq!((log.len().unwrap(), log.is_empty().unwrap()), (4, false));

        let entries: Vec<_> = log
            .read(Selection::all())
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let author = SecretKey::from_bytes(&[1; 32]).public();
        let seen: Vec<_> = entries
            .iter()
            .map(|entry| {
                (
                    entry.content.as_slice(),
                    entry.op,
                    entry.index,
                    entry.time_ms(),
                )
            })
            .collect();
        let (a, b) = (first.op.id, second.op.id);
        let expected = [
            (&b"first"[..], a, 0, NOW_MS),
            (b"second", b, 0, NOW_MS + 5),
            (b"", b, 1, NOW_MS + 5),
            (b"third", b, 2, NOW_MS + 5),
        ];
        assert_eq!(seen, expected, "on {on:?}");
        for entry in &entries {
            assert_eq!(entry.author, author);
            assert_eq!(log.get(entry.position()).unwrap().as_ref(), Some(entry));
        }
        assert_eq!(entries[1].hlc, second.hlc);
        let beyond = Position {
            index: 3,
            ..entries[3].position()
        };
        assert_eq!(log.get(beyond).unwrap(), None);
        assert_eq!(log.tail(2).unwrap(), entries[2..]);
        assert_eq!(log.tail(0).unwrap(), []);
        assert_eq!(log.tail(u64::MAX).unwrap(), entries);
    }
}

#[test]
fn refusals_change_nothing() {
    let replica = Replica::new(On::Redb);
    let log = &replica.log;
    let before = log.state_hash().unwrap();
    let nothing = log.append_many(Vec::<Vec<u8>>::new());
    assert!(
        matches!(nothing, Err(AppendError::Refused(LogRefusal::Nothing))),
        "{nothing:?}"
    );
    // An endless iterator is not collected to its end.
    let too_many = log.append_many(std::iter::repeat("x"));
    let found = MAX_BATCH + 1;
    let expected = LogRefusal::TooMany {
        limit: MAX_BATCH,
        found,
    };
    assert!(
        matches!(&too_many, Err(AppendError::Refused(refusal)) if *refusal == expected),
        "{too_many:?}"
    );
    let too_long = log.append_many(std::iter::repeat(vec![0; 1 << 20]));
    assert!(
        matches!(too_long, Err(AppendError::TooLong { .. })),
        "{too_long:?}"
    );
    let too_long = log.append(vec![0; 16 << 20]);
    assert!(
        matches!(too_long, Err(AppendError::TooLong { .. })),
        "{too_long:?}"
    );
    assert_eq!(log.state_hash().unwrap(), before);
    assert_eq!(log.op_count().unwrap(), 0);
    let most = log.append_many(vec!["x"; MAX_BATCH]).unwrap();
    assert_eq!(most.index.get(), 0);
    assert_eq!(log.len().unwrap(), u64::try_from(MAX_BATCH).unwrap());
}

#[test]
fn reads_longer_than_a_page_return_all_entries() {
    for on in On::ALL {
        let replica = Replica::new(on);
        let log = &replica.log;
        let expected: Vec<Vec<u8>> = (0..3000_u32).map(|n| n.to_be_bytes().to_vec()).collect();
        for batch in expected.chunks(700) {
            log.append_many(batch.iter().cloned()).unwrap();
            replica.clock.advance(1);
        }
        assert_eq!(contents(log.read(Selection::all()).unwrap()), expected);
        let mut backward = contents(log.read(Selection::all().newest_first()).unwrap());
        backward.reverse();
        assert_eq!(backward, expected);
        // Limits at, before and after the ends of pages (16, 48, 112, 240, 496, 1008 ...).
        for limit in [
            0, 1, 15, 16, 17, 47, 48, 49, 1007, 1008, 1009, 2999, 3000, 3001,
        ] {
            let length = usize::try_from(limit).unwrap().min(3000);
            let first = log.read(Selection::all().limit(limit)).unwrap();
            assert_eq!(contents(first), expected[..length], "limit {limit}");
            let last = log.tail(limit).unwrap();
            assert!(
                last.iter()
                    .map(|entry| &entry.content)
                    .eq(&expected[3000 - length..])
            );
        }
        let middle = Selection::all().from_ms(NOW_MS + 1).until_ms(NOW_MS + 3);
        assert_eq!(contents(log.read(middle).unwrap()), expected[700..2100]);
    }
}

#[test]
fn large_entries_are_read_one_by_one() {
    let replica = Replica::new(On::Redb);
    let expected: Vec<Vec<u8>> = (0..20_u8).map(|n| vec![n; 300 << 10]).collect();
    for content in &expected {
        replica.log.append(content.clone()).unwrap();
    }
    assert_eq!(replica.contents(), expected);
    let newest = replica
        .log
        .read(Selection::all().newest_first().limit(3))
        .unwrap();
    assert!(contents(newest).iter().eq(expected.iter().rev().take(3)));
}

#[test]
fn snapshots_and_running_reads_do_not_see_later_entries() {
    for on in On::ALL {
        let replica = Replica::new(on);
        let log = &replica.log;
        let before: Vec<Vec<u8>> = (0..100_u8).map(|n| vec![n]).collect();
        log.append_many(before.clone()).unwrap();
        let snapshot = log.snapshot().unwrap();
        let mut reading = log.read(Selection::all()).unwrap();
        let hash = log.state_hash().unwrap();
        assert_eq!(reading.next().unwrap().unwrap().content, before[0]);
        log.append("later").unwrap();
        assert_eq!(snapshot.len().unwrap(), 100);
        assert_eq!(snapshot.state_hash().unwrap(), hash);
        assert_eq!(contents(reading), before[1..]);
        assert_eq!(contents(snapshot.read(Selection::all())), before);
        assert_eq!(snapshot.tail(1).unwrap()[0].content, before[99]);
        assert_eq!(log.len().unwrap(), 101);
    }
}

#[test]
fn a_log_can_be_reopened_and_read_without_being_written() {
    for on in On::ALL {
        let replica = Replica::new(on);
        replica.log.append_many(["a", "b"]).unwrap();
        let closed = replica.log.clone();
        let hash = closed.state_hash().unwrap();
        let replica = replica.reopened(OpenOptions::read_write());
        assert!(
            matches!(closed.len(), Err(BackendError::Closed)),
            "on {on:?}"
        );
        replica.log.append("c").unwrap();
        assert_ne!(replica.log.state_hash().unwrap(), hash);
        let replica = replica.reopened(OpenOptions::read_only());
        assert_eq!(replica.contents(), [b"a", b"b", b"c"]);
        let refused = replica.log.append("d");
        let read_only = matches!(&refused, Err(AppendError::Backend(BackendError::ReadOnly)));
        assert!(read_only, "{refused:?}");
    }
}

#[test]
fn threads_append_without_losing_or_splitting_entries() {
    for on in On::ALL {
        let replica = Replica::new(on);
        std::thread::scope(|scope| {
            for thread in 0..4_u8 {
                let log = replica.log.clone();
                scope.spawn(move || {
                    for round in 0..25_u8 {
                        log.append_many((0..3_u8).map(|n| [thread, round, n]))
                            .unwrap();
                    }
                });
            }
        });
        assert_eq!(replica.log.len().unwrap(), 300);
        let contents = replica.contents();
        for op in contents.chunks(3) {
            // The entries of one op are adjacent.
            assert!(
                op.iter()
                    .zip(0..)
                    .all(|(entry, n)| entry[..2] == op[0][..2] && entry[2] == n)
            );
        }
        for thread in 0..4_u8 {
            let rounds = contents
                .iter()
                .filter(|entry| entry[0] == thread)
                .map(|entry| entry[1]);
            assert!(
                rounds.eq((0..25_u8).flat_map(|round| [round; 3])),
                "of thread {thread}"
            );
        }
    }
}

#[test]
fn a_manager_creates_and_opens_logs() {
    let dir = tempfile::tempdir().unwrap();
    let mut registry = Registry::new();
    registry.register(store_type(), log_opener()).unwrap();
    let identity = SecretKey::from_bytes(&[1; 32]);
    let manager = StoreManager::new(
        dir.path(),
        Arc::new(RedbBackend::on_files()),
        registry,
        ManagerOptions::new(identity),
    );
    let id = manager.create(&store_type()).unwrap();
    let handle = manager
        .open(id, lattice_registry::Access::ReadWrite)
        .unwrap();
    let appended = Value::record([("content", Value::Text("by name".into()))]);
    handle.call("append", appended).unwrap();
    assert_eq!(handle.call("len", Value::Null).unwrap(), 1_u64.into());
    let log = handle.downcast_ref::<LogStore>().unwrap().clone();
    log.append("by type").unwrap();
    assert_eq!(
        contents(log.read(Selection::all()).unwrap()),
        [&b"by name"[..], b"by type"]
    );
    assert_eq!(StoreHandle::store_id(&log), id);
}

/// The narrower bound counts, in whatever order bounds are given.
#[test]
fn bounds_are_combined() {
    let replica = Replica::new(On::Memory);
    replica.log.append_many(["0", "1", "2", "3"]).unwrap();
    let entries = replica.log.tail(4).unwrap();
    let at = |index: usize| entries[index].position();
    let read = |selection| contents(replica.log.read(selection).unwrap()).concat();
    let all = Selection::all;
    assert_eq!(read(all().starting_at(at(1)).after(at(1))), b"23");
    assert_eq!(read(all().after(at(1)).starting_at(at(1))), b"23");
    assert_eq!(read(all().after(at(1)).starting_at(at(3))), b"3");
    assert_eq!(read(all().starting_at(at(2)).after(at(0))), b"23");
    assert_eq!(read(all().before(at(3)).before(at(1))), b"0");
    assert_eq!(read(all().before(at(1)).before(at(3))), b"0");
    assert_eq!(read(all().limit(1).limit(3)), b"0");
    assert_eq!(read(all().limit(3).limit(1)), b"0");
    assert_eq!(read(all().newest_first().limit(2).newest_first()), b"32");
    assert_eq!(read(all().starting_at(at(3)).before(at(1))), b"");
    assert_eq!(read(Selection::default()), b"0123");
}
