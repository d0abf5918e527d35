//! Writing as an author: receipts, clocks, durability, group commit, and failures.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use lattice_backend::{
    Access, AppendError, Authors, BackendError, CallError, MethodError, Op, OpKind, Value,
};

use lattice_meta::Hlc;

use crate::registers::{self, Command, Refused, Registers};
use crate::support::*;

#[test]
fn a_receipt_names_the_op_and_its_place() {
    let store = replica(1);
    for nth in 0..5 {
        let receipt = store.append(Command::set("key", [nth as u8])).unwrap();
        assert_eq!(receipt.index, nth);
        assert_eq!(receipt.op.seq, nth);
        assert_eq!(receipt.op.author, owner().public());
        // The clock stands still: the counter goes on.
        assert_eq!(receipt.hlc.to_u64(), (NOW_MS << 16) + nth);
        let op = store.op_at(nth).unwrap().unwrap();
        assert_eq!((op.reference(), op.hlc()), (receipt.op, receipt.hlc));
        assert_eq!(op.kind(), OpKind::Application);
        assert_eq!(store.frontier().unwrap(), [receipt.op]);
    }
    assert_eq!(get(&store, "key"), Some(vec![4]));
    assert_whole(&store);
}

#[test]
fn a_local_op_follows_everything_that_is_applied() {
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
fn an_empty_payload_of_another_kind_has_no_effect_but_a_place() {
    let store = replica(1);
    let refused = store.append(Command::Raw(vec![0])).unwrap_err();
    assert!(matches!(refused, AppendError::Invalid(None)), "{refused:?}");
    assert_eq!(store.op_count().unwrap(), 0);
    // From another author it is recorded, without a trace in the state.
    let void = op(&secret(2), None, &[], 0, &[0]);
    assert_eq!(outcomes(&ingest(&store, &[&void])), [applied(0)]);
    assert_eq!(store.snapshot().unwrap().leaf_count().unwrap(), 0);
    append(&store, "key", "value");
    assert_whole(&store);
}

#[test]
fn a_payload_that_is_too_long_is_refused_and_the_longest_is_taken() {
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

mod clock {
    use super::*;

    #[test]
    fn going_backwards_does_not_take_the_history_back() {
        let site = Site::memory();
        let store = site.open();
        let first = append(&store, "key", "1");
        site.clock.set(NOW_MS - 20 * MINUTE_MS);
        let second = append(&store, "key", "2");
        assert_eq!(second.hlc(), first.hlc().successor().unwrap());
        site.clock.set(NOW_MS + 5);
        let third = append(&store, "key", "3");
        assert_eq!(third.hlc().ms(), NOW_MS + 5);
        assert_eq!(get(&store, "key"), Some(b"3".to_vec()));
    }

    #[test]
    fn more_than_twenty_minutes_behind_is_refused() {
        let site = Site::memory();
        let store = site.open();
        append(&store, "key", "1");
        site.clock.set(NOW_MS - 20 * MINUTE_MS - 1);
        let refused = store.append(Command::set("key", "2")).unwrap_err();
        let AppendError::ClockBehind {
            ahead_ms,
            allowed_ms,
        } = refused
        else {
            panic!("{refused:?}");
        };
        assert_eq!((ahead_ms, allowed_ms), (20 * MINUTE_MS + 1, 20 * MINUTE_MS));
        assert_eq!(store.op_count().unwrap(), 1);
        site.clock.set(NOW_MS - 20 * MINUTE_MS);
        append(&store, "key", "2");
        assert_whole(&store);
    }

    #[test]
    fn the_last_timestamp_is_the_end() {
        let site = Site::memory();
        site.clock.set(Hlc::MAX_MS);
        let store = site.open();
        let last = dated(&secret(2), None, &[], Hlc::from_u64(u64::MAX), b"\x01k");
        assert_eq!(outcomes(&ingest(&store, &[&last])), [applied(0)]);
        let refused = store.append(Command::set("key", "value")).unwrap_err();
        assert!(
            matches!(refused, AppendError::ClockExhausted),
            "{refused:?}"
        );
        assert_whole(&store);
    }

    #[test]
    fn a_clock_beyond_the_last_timestamp_is_cut() {
        let site = Site::memory();
        site.clock.set(u64::MAX);
        let store = site.open();
        let op = append(&store, "key", "value");
        assert_eq!(op.hlc().ms(), Hlc::MAX_MS);
    }

    #[test]
    fn the_last_sequence_number_is_the_end() {
        let store = replica(1);
        let draft = lattice_backend::OpDraft {
            kind: OpKind::Application,
            seq: u64::MAX,
            prev: lattice_meta::OpId::from_bytes([1; 32]),
            hlc: Hlc::from_u64(1),
            deps: Vec::new(),
            payload: b"\x01k",
        };
        let last = draft.sign(&hasher(), &owner()).unwrap();
        // Nobody can have the op before it; it waits for ever and does no harm.
        let report = ingest(&store, &[&last]);
        assert!(matches!(
            outcomes(&report)[0],
            lattice_backend::Outcome::Waiting { .. }
        ));
        append(&store, "key", "value");
    }
}

mod durability {
    use super::*;

    /// The index is written in steps of 256 ops: a reopen at any count around it finds all.
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
            store = site.open();
            assert_eq!(
                (store.state_hash().unwrap(), store.frontier().unwrap()),
                before
            );
            assert!(history(&store) == made, "{count} ops come back");
            let again = ingest(&store, &made.iter().collect::<Vec<_>>());
            assert!(
                again
                    .outcomes
                    .iter()
                    .all(|(_, outcome)| { *outcome == lattice_backend::Outcome::Known }),
                "all {count} ops are known"
            );
            assert_whole(&store);
        }
    }

    /// The tail is indexed by its bytes too.
    #[test]
    fn long_ops_are_indexed_before_there_are_many() {
        let (site, _) = Site::redb();
        let mut store = site.open();
        for nth in 0..6_u8 {
            append(&store, "long", vec![nth; 100 << 10]);
            store.close().unwrap();
            store = site.open();
            assert_eq!(get(&store, "long"), Some(vec![nth; 100 << 10]));
            assert_whole(&store);
        }
    }

    /// Ops are stored in parts of 2,000 bytes; lengths around the ends of parts come back.
    #[test]
    fn ops_of_every_length_around_a_part_survive_a_reopen() {
        let (site, _) = Site::redb();
        let store = site.open();
        let overhead = append(&store, "k", "").bytes().len();
        let effect = lattice_backend::EFFECT_BYTES;
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
        let refused = store.ingest(&mut std::iter::empty(), &Authors::Any);
        assert!(matches!(refused, Err(BackendError::ReadOnly)));
        assert_eq!(store.held_ops(), 0);
        assert_whole(&store);
        store.close().unwrap();
        assert_eq!(disk.bytes(&site.path), before);
    }

    #[test]
    fn without_an_identity_there_is_reading_and_ingest_only() {
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
    fn closing_ends_every_clone_of_a_handle() {
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
        let refused = clone.ingest(&mut std::iter::empty(), &Authors::Any);
        assert!(matches!(refused, Err(BackendError::Closed)), "{refused:?}");
        // The file is free while the handle still stands.
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
                        // A refusal or an invalid payload in the same group harms nobody.
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
    fn a_waiter_hears_of_ops_and_of_closing() {
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

mod panics {
    use super::*;

    fn check(site: &Site, break_it: impl Fn(&Store) + std::panic::UnwindSafe) {
        let store = site.open();
        let first = append(&store, "key", "before");
        catch_unwind(AssertUnwindSafe(|| break_it(&store))).expect_err("it panics");
        site.machine.panics.store(false, Ordering::SeqCst);
        assert!(!store.is_usable());
        let refused = store.append(Command::set("key", "after")).unwrap_err();
        assert!(
            matches!(refused, AppendError::Backend(BackendError::Unusable)),
            "{refused:?}"
        );
        let refused = store.ingest(&mut std::iter::empty(), &Authors::Any);
        assert!(matches!(refused, Err(BackendError::Unusable)));
        assert!(matches!(store.state_hash(), Err(BackendError::Unusable)));
        store.close().unwrap();
        let store = site.open();
        assert_eq!(history(&store), [first]);
        append(&store, "key", "after");
        assert_whole(&store);
    }

    #[test]
    fn while_preparing_leave_the_file_whole() {
        check(&Site::redb().0, |store| {
            drop(store.append(Command::Panic));
        });
    }

    #[test]
    fn while_applying_leave_the_file_whole() {
        for site in [Site::redb().0, Site::memory()] {
            check(&site, |store| {
                store.machine().panics.store(true, Ordering::SeqCst);
                drop(store.append(Command::set("key", "value")));
            });
        }
    }

    #[test]
    fn during_ingest_leave_the_file_whole_and_are_no_verdict() {
        let site = Site::redb().0;
        let foreign = chain(&secret(2), 3);
        check(&site, |store| {
            store.machine().panics.store(true, Ordering::SeqCst);
            ingest(store, &foreign.iter().collect::<Vec<_>>());
        });
        let store = site.open();
        let report = ingest(&store, &foreign.iter().collect::<Vec<_>>());
        assert_eq!(report.applied(), 3);
    }

    /// Those who wait in the same group are told, not left waiting.
    #[test]
    fn reach_every_thread_of_the_group() {
        let store = Arc::new(replica(1));
        let start = Barrier::new(8);
        std::thread::scope(|scope| {
            for thread in 0..8_u8 {
                let (store, start) = (&store, &start);
                scope.spawn(move || {
                    start.wait();
                    loop {
                        let command = match thread {
                            0 => Command::Panic,
                            _ => Command::set([thread], "value"),
                        };
                        match catch_unwind(AssertUnwindSafe(|| store.append(command))) {
                            Ok(Ok(_)) => {}
                            Ok(Err(AppendError::Backend(BackendError::Unusable))) | Err(_) => break,
                            Ok(Err(error)) => panic!("{error:?}"),
                        }
                    }
                });
            }
        });
    }
}

mod calls {
    use super::*;

    fn pair(key: &str, value: &str) -> Value {
        Value::record([
            ("key", Value::Text(key.into())),
            ("value", Value::Bytes(value.into())),
        ])
    }

    #[test]
    fn by_name_write_and_read() {
        let store = replica(1);
        let Value::Record(receipt) = store.call("set", pair("key", "value")).unwrap() else {
            panic!("a receipt is a record");
        };
        let op = store.op_at(0).unwrap().unwrap().reference();
        assert_eq!(receipt["index"], Value::Integer(0));
        assert_eq!(receipt["seq"], Value::Integer(0));
        assert_eq!(receipt["op"], Value::Text(op.id.to_string()));
        assert_eq!(receipt["author"], Value::Text(op.author.to_string()));
        let key = Value::record([("key", Value::Text("key".into()))]);
        let found = store.call("get", key).unwrap();
        assert_eq!(found, Value::Bytes(b"value".to_vec()));
    }

    #[test]
    fn that_are_wrong_say_how() {
        let store = replica(1);
        let error = |method: &str, args| match store.call(method, args).unwrap_err() {
            MethodError::Call(error) => error,
            other => panic!("{other:?}"),
        };
        let unknown = error("sett", Value::Null);
        assert_eq!(
            unknown.to_string(),
            "org.example.registers has no method `sett`; it has set, get, follow"
        );
        assert!(matches!(
            error("get", Value::Null),
            CallError::MissingParam { param: "key", .. }
        ));
        assert!(matches!(
            error("get", pair("key", "value")),
            CallError::UnknownParam { .. }
        ));
        assert!(matches!(
            error("get", Value::record([("key", Value::Integer(1))])),
            CallError::ParamType { .. }
        ));
        let stream = store.call("follow", Value::Null).unwrap_err();
        assert!(matches!(stream, MethodError::Stream { method: "follow" }));
        // An empty key makes an invalid payload: a refusal of the store, not of the call.
        let refused = store.call("set", pair("", "value")).unwrap_err();
        assert!(matches!(refused, MethodError::Append(_)), "{refused:?}");
        assert_eq!(
            Registers::default().schemas.end(),
            &store.schema_version().get()
        );
    }
}
