//! The handle of an open store.

use std::thread;

use lattice_backend::engine::write::AppendError;
use lattice_kvstore::{Expectation, Found, KvAppendError, KvRefusal};

use crate::support::replica::{On, Replica};

fn refusal<T: std::fmt::Debug>(result: Result<T, KvAppendError>) -> KvRefusal {
    match result {
        Err(AppendError::Refused(refusal)) => refusal,
        other => panic!("expected a refusal, found {other:?}"),
    }
}

#[test]
fn a_put_value_is_read_and_a_deleted_one_is_gone() {
    for on in On::EACH {
        let mut replica = Replica::new(on);
        let kv = &replica.kv;
        assert_eq!(kv.get("key").unwrap(), None);
        kv.put("key", "1").unwrap();
        kv.put(String::from("key"), vec![2, 3]).unwrap();
        kv.put("empty", "").unwrap();
        kv.put([0xff, 0], [0]).unwrap();
        assert_eq!(kv.get(b"key").unwrap(), Some(vec![2, 3]));
        assert_eq!(
            kv.get("empty").unwrap(),
            Some(vec![]),
            "an empty value is a value"
        );
        assert!(kv.contains("empty").unwrap());
        assert_eq!(kv.count().unwrap(), 3);
        kv.delete("key").unwrap();
        kv.delete("never there").unwrap();
        assert_eq!(kv.get("key").unwrap(), None);
        assert_eq!(kv.count().unwrap(), 2);
        let before = kv.state_hash().unwrap();
        replica.reopen();
        let rows: Vec<_> = replica.kv.iter().unwrap().map(Result::unwrap).collect();
        assert_eq!(
            rows,
            [(b"empty".to_vec(), vec![]), (vec![0xff, 0], vec![0])]
        );
        assert_eq!(replica.kv.state_hash().unwrap(), before);
    }
}

#[test]
fn an_empty_key_is_refused_and_reads_as_absent() {
    for on in On::EACH {
        let replica = Replica::new(on);
        let kv = replica.kv.clone();
        assert_eq!(refusal(kv.put("", "value")), KvRefusal::EmptyKey);
        assert_eq!(refusal(kv.delete("")), KvRefusal::EmptyKey);
        assert_eq!(
            refusal(kv.batch().put("a", "1").put("", "2").commit()),
            KvRefusal::EmptyKey
        );
        assert_eq!(refusal(kv.batch().commit()), KvRefusal::EmptyBatch);
        assert_eq!(kv.get("").unwrap(), None);
        assert!(!kv.contains("").unwrap());
        assert!(kv.conflicts("").unwrap().is_empty());
        assert_eq!(kv.get([0; 70_000]).unwrap(), None);
        assert!(kv.conflicts([0; 70_000]).unwrap().is_empty());
        assert_eq!((kv.count().unwrap(), kv.op_count().unwrap()), (0, 0));
    }
}

#[test]
fn a_batch_replaces_five_thousand_existing_keys() {
    for on in On::EACH {
        let replica = Replica::new(on);
        let kv = replica.kv.clone();
        let key = |number: u32| format!("key {number:05}");
        let mut batch = kv.batch();
        batch.extend((0..5000).map(|number| (key(number), "first")));
        batch.commit().unwrap();
        let mut batch = kv.batch().expect_value(key(7), "first");
        for number in 0..5000 {
            batch = if number % 5 == 0 {
                batch.put(key(number), "overwritten").delete(key(number))
            } else {
                batch
                    .delete(key(number))
                    .put(key(number), number.to_string())
            };
        }
        assert_eq!((batch.len(), batch.is_empty()), (5000, false));
        batch.commit().unwrap();
        assert_eq!(kv.op_count().unwrap(), 2);
        assert_eq!(kv.count().unwrap(), 4000);
        assert_eq!(kv.get(key(4999)).unwrap().as_deref(), Some(&b"4999"[..]));
        assert_eq!(kv.get(key(4995)).unwrap(), None);
    }
}

#[test]
fn a_value_of_a_mebibyte_fits_and_one_beyond_the_limit_is_refused() {
    for on in On::EACH {
        let mut replica = Replica::new(on);
        let value: Vec<u8> = (0..1 << 20)
            .map(|place: u32| place.to_le_bytes()[1])
            .collect();
        replica.kv.put("large", &value).unwrap();
        replica.kv.put("large", &value).unwrap();
        let too_large = vec![0; 16 << 20];
        let refused = refusal(replica.kv.put("larger", &too_large));
        assert!(matches!(refused, KvRefusal::TooLarge { .. }), "{refused}");
        let largest = vec![1; (16 << 20) - 80_000];
        replica.kv.put("largest", &largest).unwrap();
        replica.reopen();
        assert_eq!(replica.kv.get("large").unwrap().as_ref(), Some(&value));
        assert_eq!(replica.kv.get("largest").unwrap(), Some(largest));
        let lengths = replica.kv.iter().unwrap().map(|row| row.unwrap().1.len());
        assert_eq!(lengths.sum::<usize>(), (1 << 20) + (16 << 20) - 80_000);
    }
}

#[test]
fn a_failed_expectation_undoes_the_whole_batch() {
    for on in On::EACH {
        let replica = Replica::new(on);
        let kv = replica.kv.clone();
        let first = kv
            .batch()
            .expect_absent("a")
            .put("a", "1")
            .commit()
            .unwrap();
        let again = kv
            .batch()
            .expect_absent("a")
            .put("a", "2")
            .put("b", "2")
            .commit();
        let expected = KvRefusal::Expectation {
            key: b"a".to_vec(),
            expected: Expectation::Absent,
            found: Found::Value(b"1".to_vec()),
        };
        assert_eq!(refusal(again), expected);
        assert_eq!(kv.op_count().unwrap(), 1);
        kv.batch()
            .expect_siblings("a", [first.op])
            .expect_present("a")
            .put("a", "2")
            .commit()
            .unwrap();
        let missing = refusal(kv.batch().expect_present("b").delete("b").commit());
        assert!(matches!(
            missing,
            KvRefusal::Expectation {
                found: Found::Absent,
                ..
            }
        ));
        let stale = refusal(
            kv.batch()
                .expect_siblings("a", [first.op])
                .delete("a")
                .commit(),
        );
        assert!(matches!(
            stale,
            KvRefusal::Expectation {
                found: Found::Siblings(_),
                ..
            }
        ));
        let stale = refusal(kv.batch().expect_value("a", "1").delete("a").commit());
        assert!(
            stale
                .to_string()
                .ends_with("to have value \"1\", found value \"2\""),
            "{stale}"
        );
        kv.batch()
            .expect_value("a", "2")
            .delete("a")
            .commit()
            .unwrap();
        assert_eq!(kv.count().unwrap(), 0);
    }
}

/// Sixteen threads count with conditional writes: no increment is lost, however they share commits.
#[test]
fn expectations_hold_when_threads_race() {
    for on in On::EACH {
        let replica = Replica::new(on);
        let kv = replica.kv.clone();
        kv.put("count", "0").unwrap();
        thread::scope(|scope| {
            for _ in 0..16 {
                let kv = kv.clone();
                scope.spawn(move || {
                    let mut done = 0;
                    while done < 5 {
                        let seen = String::from_utf8(kv.get("count").unwrap().unwrap()).unwrap();
                        let next = seen.parse::<u32>().unwrap() + 1;
                        let batch = kv.batch().expect_value("count", &seen);
                        match batch.put("count", next.to_string()).commit() {
                            Ok(_) => done += 1,
                            Err(AppendError::Refused(_)) => {}
                            Err(other) => panic!("{other}"),
                        }
                    }
                });
            }
        });
        assert_eq!(kv.get("count").unwrap().as_deref(), Some(&b"80"[..]));
    }
}

#[test]
fn a_snapshot_does_not_change_while_the_store_is_written() {
    for on in On::EACH {
        let replica = Replica::new(on);
        let kv = replica.kv.clone();
        let mut batch = kv.batch();
        batch.extend((0..2000).map(|number| (format!("{number:04}"), "before")));
        batch.commit().unwrap();
        let snapshot = kv.snapshot().unwrap();
        let hash = snapshot.state_hash().unwrap();
        thread::scope(|scope| {
            let writer = kv.clone();
            scope.spawn(move || {
                for number in 0..50 {
                    writer
                        .batch()
                        .put(format!("{number:04}"), "after")
                        .delete(format!("{:04}", 1999 - number))
                        .put(format!("new {number}"), "after")
                        .commit()
                        .unwrap();
                }
            });
            for _ in 0..5 {
                let rows: Vec<_> = snapshot.iter().map(Result::unwrap).collect();
                assert_eq!(rows.len(), 2000);
                assert!(rows.iter().all(|(_, value)| value == b"before"));
                assert_eq!(snapshot.count().unwrap(), 2000);
            }
        });
        let clone = snapshot.clone();
        assert_eq!(clone.get("0000").unwrap().as_deref(), Some(&b"before"[..]));
        assert!(clone.contains("1999").unwrap());
        assert_eq!(clone.state_hash().unwrap(), hash);
        assert_eq!(kv.get("0000").unwrap().as_deref(), Some(&b"after"[..]));
        assert_eq!(kv.count().unwrap(), 2000);
        assert_ne!(kv.state_hash().unwrap(), hash);
    }
}
