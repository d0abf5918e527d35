//! Many authors who write the same key.

use std::collections::BTreeSet;
use std::thread;

use lattice_backend::op::OpRef;

use crate::support::bytes::TestWrite;
use crate::support::replica::{On, Replica, genesis};

const AUTHORS: u32 = 10_000;

fn put(key: &str, supersedes: &[OpRef], value: &[u8]) -> TestWrite {
    TestWrite {
        key: key.into(),
        supersedes: supersedes.iter().copied().collect(),
        value: Some(value.to_vec()),
    }
}

#[test]
fn threads_that_put_one_key_leave_one_value() {
    for on in On::EACH {
        let replica = Replica::new(on);
        thread::scope(|scope| {
            for number in 0..16_u8 {
                let kv = replica.kv.clone();
                scope.spawn(move || {
                    for _ in 0..10 {
                        kv.put("key", [number]).unwrap();
                    }
                });
            }
        });
        assert_eq!(replica.kv.conflicts("key").unwrap().len(), 1);
        assert_eq!(replica.kv.op_count().unwrap(), 160);
        assert_eq!(replica.kv.count().unwrap(), 1);
    }
}

/// All authors saw one value and replaced it: no op may scan the values of the others.
fn ten_thousand_siblings(on: On) {
    let mut replica = Replica::new(on);
    let first = replica.kv.put("key", "seen by all").unwrap().op;
    replica.kv.put("other", "untouched").unwrap();
    let ops = (0..AUTHORS).map(|author| {
        let write = put("key", &[first], &author.to_be_bytes());
        replica.foreign(author, &[first], &[write]).into_bytes()
    });
    let report = replica.take(ops);
    assert_eq!(report.applied(), 10_000);

    let siblings = replica.kv.conflicts("key").unwrap();
    assert_eq!(siblings.len(), 10_000);
    assert!(siblings.is_sorted_by_key(|sibling| std::cmp::Reverse((sibling.hlc, sibling.op.id))));
    let values: BTreeSet<_> = siblings.iter().map(|sibling| &sibling.value).collect();
    assert_eq!(values.len(), 10_000);
    assert_eq!(
        replica.kv.get("key").unwrap().as_ref(),
        Some(&siblings[0].value)
    );
    assert_eq!(replica.kv.count().unwrap(), 2);
    let conflicted: Vec<_> = replica
        .kv
        .conflicted_keys()
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(conflicted, [b"key"]);

    let seen: Vec<OpRef> = siblings.iter().map(|sibling| sibling.op).collect();
    replica
        .kv
        .batch()
        .expect_siblings("key", seen)
        .put("key", "settled")
        .commit()
        .unwrap();
    let siblings = replica.kv.conflicts("key").unwrap();
    assert_eq!(
        (siblings.len(), &siblings[0].value[..]),
        (1, &b"settled"[..])
    );
    assert_eq!(replica.kv.conflicted_keys().unwrap().count(), 0);
    replica.reopen();
    assert_eq!(
        replica.kv.get("key").unwrap().as_deref(),
        Some(&b"settled"[..])
    );
}

#[test]
fn ten_thousand_concurrent_siblings_in_memory() {
    ten_thousand_siblings(On::Memory);
}

#[test]
fn ten_thousand_concurrent_siblings_in_redb() {
    ten_thousand_siblings(On::Redb);
}

#[test]
fn replicas_that_exchanged_everything_have_the_same_state() {
    let genesis = genesis();
    let here = Replica::of(&genesis, On::Redb, 1);
    let there = Replica::of(&genesis, On::Memory, 2);
    here.kv
        .batch()
        .put("both", "here")
        .put("here", "1")
        .put("gone", "1")
        .commit()
        .unwrap();
    there
        .kv
        .batch()
        .put("both", "there")
        .put("there", "1")
        .commit()
        .unwrap();
    there.pull(&here);
    there.kv.delete("gone").unwrap();
    here.clock.advance(5);
    here.kv
        .put("gone", "put again, without a look at the delete")
        .unwrap();
    here.pull(&there);
    there.pull(&here);

    for kv in [&here.kv, &there.kv] {
        let siblings = kv.conflicts("both").unwrap();
        assert_eq!(siblings.len(), 2, "neither is lost");
        assert!(kv.get("gone").unwrap().unwrap().starts_with(b"put again"));
        assert_eq!(kv.count().unwrap(), 4);
    }
    assert_eq!(
        here.kv.conflicts("both").unwrap(),
        there.kv.conflicts("both").unwrap()
    );
    assert_eq!(
        here.kv.state_hash().unwrap(),
        there.kv.state_hash().unwrap()
    );
    let all =
        |replica: &Replica| -> Vec<_> { replica.kv.iter().unwrap().map(Result::unwrap).collect() };
    assert_eq!(all(&here), all(&there));

    there.kv.put("both", "settled").unwrap();
    here.pull(&there);
    assert_eq!(here.kv.conflicts("both").unwrap().len(), 1);
    assert_eq!(
        here.kv.state_hash().unwrap(),
        there.kv.state_hash().unwrap()
    );
}

#[test]
fn marks_do_not_count_as_keys() {
    for on in On::EACH {
        let replica = Replica::new(on);
        let first = replica.kv.put("key", "value").unwrap().op;
        let nobody = crate::support::op_ref(7, 7, 7);
        let mut delete = put("never", &[nobody], b"");
        delete.value = None;
        let hostile = replica.foreign(1, &[first], &[put("key", &[], b"2"), delete]);
        assert_eq!(replica.take([hostile.into_bytes()]).applied(), 1);
        assert_eq!(replica.kv.count().unwrap(), 1);
        assert!(!replica.kv.contains("never").unwrap());
    }
}
