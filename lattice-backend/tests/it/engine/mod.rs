//! Writing as an author: receipts, clocks, durability, group commit, and failures.

mod bulk;
mod calls;
mod clock;
mod merges;
mod panics;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use lattice_backend::backend::{Access, BackendError, Direction, EVERYTHING, OpenOptions, Table};
use lattice_backend::engine::ingest::{Authors, IngestError};
use lattice_backend::engine::read::MethodError;
use lattice_backend::engine::write::AppendError;
use lattice_backend::machine::{CallError, Value};
use lattice_backend::op::{Op, OpKind};
use lattice_meta::Hlc;

use crate::registers::{self, Command, Refused, Registers};
use crate::support::*;

#[test]
fn a_receipt_names_the_op_and_its_apply_index() {
    let store = replica(1);
    for nth in 0..5 {
        let receipt = store.append(Command::set("key", format!("{nth}"))).unwrap();
        assert_eq!(receipt.index, at(nth));
        assert_eq!(receipt.op.seq, nth);
        assert_eq!(receipt.op.author, owner().public());
        // The clock stands still, so the counter advances.
        assert_eq!(receipt.hlc.to_u64(), (NOW_MS << 16) + nth);
        let op = store.op_at(at(nth)).unwrap().unwrap();
        assert_eq!((op.reference(), op.hlc()), (receipt.op, receipt.hlc));
        assert_eq!(op.kind(), OpKind::Application);
        assert_eq!(store.frontier().unwrap(), [receipt.op]);
    }
    assert_eq!(get(&store, "key"), Some(b"4".to_vec()));
    assert_whole(&store);
}

#[test]
fn a_local_op_follows_all_applied_ops() {
    let store = replica(1);
    let others: Vec<Op> = (2..6)
        .map(|seed| chain(&secret(seed), 1).remove(0))
        .collect();
    ingest(&store, &others.iter().collect::<Vec<_>>());
    let first = append(&store, "key", "1");
    let mut expected: Vec<_> = others.iter().map(Op::reference).collect();
    expected.sort_unstable();
    assert_eq!(first.deps(), expected);
    assert_eq!(first.prev(), None);
    let second = append(&store, "key", "2");
    assert_eq!(second.prev(), Some(first.reference()));
    assert!(second.deps().is_empty());
    assert_whole(&store);
}

#[test]
fn an_invalid_payload_is_refused_locally_and_recorded_when_received() {
    let store = replica(1);
    let refused = store.append(Command::Raw(vec![0])).unwrap_err();
    assert!(matches!(refused, AppendError::Invalid(None)), "{refused:?}");
    assert_eq!(store.op_count().unwrap(), 0);
    // From another author it is recorded and leaves the state unchanged.
    let invalid = op(&secret(2), None, &[], 0, &[0]);
    assert_eq!(outcomes(&ingest(&store, &[&invalid])), [applied(0)]);
    assert_eq!(store.snapshot().unwrap().element_count().unwrap(), 0);
    append(&store, "key", "value");
    assert_whole(&store);
}

#[test]
fn the_longest_payload_is_accepted_and_a_longer_one_refused() {
    let store = replica(1);
    let refused = store.append(Command::Raw(vec![1; 16 << 20])).unwrap_err();
    let AppendError::TooLong { limit, found } = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(found, 16 << 20);
    store.append(Command::Raw(vec![1; limit])).unwrap();
    let refused = store.append(Command::Raw(vec![1; limit + 1])).unwrap_err();
    assert!(
        matches!(refused, AppendError::TooLong { .. }),
        "{refused:?}"
    );
    assert_whole(&store);
}

mod durability {
    use super::*;

    /// The index is written in steps of 256 ops: a reopen at any count around a step finds all ops.
    #[test]
    fn every_count_around_an_index_step_survives_a_reopen() {
        let (site, _) = Site::redb();
        let mut made = Vec::new();
        let mut store = site.open();
        for count in [250, 254, 255, 256, 257, 258, 300, 511, 512, 513] {
            while made.len() < count {
                made.push(append(&store, &format!("{}", made.len() % 7), "value"));
            }
            let before = (store.state_hash().unwrap(), store.frontier().unwrap());
            store.close().unwrap();
            assert_eq!(indexed(&site), count - count % 256);
            store = site.open();
            assert_eq!(
                (store.state_hash().unwrap(), store.frontier().unwrap()),
                before
            );
            assert!(history(&store) == made, "{count} ops come back");
            let again = ingest(&store, &made.iter().collect::<Vec<_>>());
            assert!(
                again.outcomes.iter().all(|(_, outcome)| {
                    *outcome == lattice_backend::engine::ingest::Outcome::Known
                }),
                "all {count} ops are known"
            );
            assert_whole(&store);
        }
    }

    /// The number of indexed ops; the others are read on open.
    fn indexed(site: &Site) -> usize {
        let options = OpenOptions::read_only();
        let db = site.backend.open(&site.path, &options).unwrap();
        let snapshot = db.snapshot().unwrap();
        let mut rows = snapshot
            .range(Table::Applied, EVERYTHING, Direction::Forward)
            .unwrap();
        let mut count = 0;
        while rows.next().unwrap().is_some() {
            count += 1;
        }
        count
    }

    /// The tail is indexed once it has many bytes, too.
    #[test]
    fn long_ops_are_indexed_before_there_are_many() {
        let (site, _) = Site::redb();
        let mut store = site.open();
        for nth in 0..6_u8 {
            append(&store, "long", vec![nth; 100 << 10]);
            store.close().unwrap();
            let count = usize::from(nth) + 1;
            assert_eq!(indexed(&site), count - count % 3);
            store = site.open();
            assert_eq!(get(&store, "long"), Some(vec![nth; 100 << 10]));
            assert_whole(&store);
        }
    }

    /// Ops are stored in parts of 2,000 bytes; ops of lengths around the part boundary survive.
    #[test]
    fn ops_of_every_length_around_a_part_survive_a_reopen() {
        let (site, _) = Site::redb();
        let store = site.open();
        let overhead = append(&store, "k", "").bytes().len();
        let effect = lattice_backend::state::EFFECT_BYTES;
        let mut lengths = Vec::new();
        for record in [2000, 4000, 6000] {
            for length in record - 3..=record + 3 {
                let value = vec![b'v'; length - effect - overhead];
                let op = append(&store, "k", value);
                assert_eq!(op.bytes().len() + effect, length);
                lengths.push(op.bytes().len());
            }
        }
        store.close().unwrap();
        let store = site.open();
        let found: Vec<usize> = history(&store)[1..]
            .iter()
            .map(|op| op.bytes().len())
            .collect();
        assert_eq!(found, lengths);
        assert_whole(&store);
    }

    #[test]
    fn a_read_only_handle_reads_and_writes_nothing() {
        let (site, disk) = Site::redb();
        append(&site.open(), "key", "value");
        let before = disk.bytes(&site.path);
        let mut request = site.request().identity(owner());
        request.options.access = Access::ReadOnly;
        let store = site.try_open(request).unwrap();
        assert_eq!(store.access(), Access::ReadOnly);
        assert_eq!(get(&store, "key"), Some(b"value".to_vec()));
        let refused = store.append(Command::set("key", "other")).unwrap_err();
        assert!(matches!(
            refused,
            AppendError::Backend(BackendError::ReadOnly)
        ));
        let refused = store.ingest(given([]), &Authors::Any);
        assert!(matches!(
            refused,
            Err(IngestError::Backend(BackendError::ReadOnly))
        ));
        assert_eq!(store.pending_ops(), 0);
        assert_whole(&store);
        store.close().unwrap();
        assert_eq!(disk.bytes(&site.path), before);
    }

    #[test]
    fn a_store_without_an_identity_can_be_read_and_ingested_into() {
        let site = Site::memory();
        let store = site.try_open(site.request()).unwrap();
        assert_eq!(store.author(), None);
        let refused = store.append(Command::set("key", "value")).unwrap_err();
        assert!(matches!(refused, AppendError::NoIdentity), "{refused:?}");
        let ops = chain(&owner(), 2);
        ingest_from(&store, &ops.iter().collect::<Vec<_>>(), &Authors::Known);
        assert_eq!(store.op_count().unwrap(), 2);
        assert_whole(&store);
    }

    #[test]
    fn closing_one_handle_closes_all_its_clones() {
        let (site, _) = Site::redb();
        let store = site.open();
        append(&store, "key", "value");
        let clone = store.clone();
        store.close().unwrap();
        clone.close().unwrap();
        assert!(!clone.is_usable());
        assert!(matches!(clone.state_hash(), Err(BackendError::Closed)));
        let refused = clone.append(Command::set("key", "value")).unwrap_err();
        assert!(
            matches!(refused, AppendError::Backend(BackendError::Closed)),
            "{refused:?}"
        );
        let refused = clone.ingest(given([]), &Authors::Any);
        assert!(
            matches!(refused, Err(IngestError::Backend(BackendError::Closed))),
            "{refused:?}"
        );
        // The file is released while the handle still exists.
        assert_eq!(get(&site.open(), "key"), Some(b"value".to_vec()));
    }
}

mod group {
    use super::*;

    #[test]
    fn sixteen_threads_share_commits_and_lose_nothing() {
        let (site, _) = Site::redb();
        let store = site.open();
        let start = Barrier::new(16);
        std::thread::scope(|scope| {
            for thread in 0..16_u8 {
                let (store, start) = (&store, &start);
                scope.spawn(move || {
                    start.wait();
                    for nth in 0..10_u8 {
                        // A refusal or an invalid payload in the same batch does not affect the
                        // other requests.
                        let refused = match nth % 3 {
                            0 => store.append(Command::Refuse),
                            _ => store.append(Command::Raw(vec![0])),
                        };
                        assert!(matches!(
                            refused,
                            Err(AppendError::Refused(Refused) | AppendError::Invalid(None))
                        ));
                        let value = [thread, nth];
                        let receipt = store.append(Command::set([thread], value)).unwrap();
                        let op = store.op_at(receipt.index).unwrap().unwrap();
                        assert_eq!(op.reference(), receipt.op);
                        op.verify()
                            .expect("it was signed last, and before it was written");
                        assert_eq!(op.payload(), registers::payload(&[thread], &value));
                    }
                });
            }
        });
        assert_eq!(store.op_count().unwrap(), 160);
        assert_whole(&store);
        store.close().unwrap();
        let store = site.open();
        for thread in 0..16_u8 {
            let snapshot = store.snapshot().unwrap();
            assert_eq!(registers::read(&snapshot, &[thread]), Some(vec![thread, 9]));
        }
        assert_whole(&store);
    }

    #[test]
    fn a_waiting_thread_wakes_for_new_ops_and_for_closing() {
        let store = replica(1);
        assert_eq!(store.wait_for_ops(0, Duration::ZERO).unwrap(), 0);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| store.wait_for_ops(1, Duration::MAX));
            append(&store, "key", "1");
            append(&store, "key", "2");
            assert_eq!(waiter.join().unwrap().unwrap(), 2);
            let waiter = scope.spawn(|| store.wait_for_ops(2, Duration::MAX));
            store.close().unwrap();
            assert!(matches!(waiter.join().unwrap(), Err(BackendError::Closed)));
        });
    }
}

/// Regression: a writer that offered to sign for a leader whose transaction never began waited
/// forever. The leader now opens the signing round once the transaction has begun.
#[test]
fn all_writers_return_when_the_store_is_closed() {
    const WRITERS: usize = 4;
    let (answered, answers) = std::sync::mpsc::channel();
    for _ in 0..50 {
        let store = Arc::new(replica(1));
        let start = Arc::new(Barrier::new(WRITERS + 1));
        for writer in 0..WRITERS {
            let (store, start, answered) = (store.clone(), start.clone(), answered.clone());
            // Not scoped: a writer that does not return must not block the test.
            std::thread::spawn(move || {
                start.wait();
                let last = loop {
                    if let Err(error) = store.append(Command::set("key", format!("{writer}"))) {
                        break error;
                    }
                };
                answered.send(last).unwrap();
            });
        }
        start.wait();
        while store.op_count().unwrap() < 20 {
            std::thread::yield_now();
        }
        store.close().unwrap();
        for _ in 0..WRITERS {
            let last = answers.recv_timeout(Duration::from_secs(20));
            let last = last.expect("a writer of a closed store does not return");
            let is_closed = matches!(last, AppendError::Backend(BackendError::Closed));
            assert!(is_closed, "{last}");
        }
    }
}
