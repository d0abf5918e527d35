//! Copies of the keys that were written last.

use std::collections::BTreeSet;

use lattice_backend::machine::Value;
use lattice_kvstore::copy_newest;
use lattice_meta::Hlc;
use lattice_registry::{Keep, StoreHandle};

use crate::support::bytes::TestWrite;
use crate::support::replica::{On, Replica};

type Row = (Vec<u8>, Vec<u8>);

fn field<'a>(value: &'a Value, name: &str) -> &'a Value {
    let Value::Record(record) = value else {
        panic!("{value:?}");
    };
    record.get(name).unwrap()
}

/// What the calls of a copy put, in the order of the calls.
fn copied(replica: &Replica, keep: Keep) -> Vec<Row> {
    let handle: &dyn StoreHandle = &replica.kv;
    let mut rows = Vec::new();
    for call in copy_newest(handle, keep).unwrap() {
        let (method, args) = call.unwrap();
        assert_eq!(method, "batch");
        let writes = match field(&args, "writes") {
            Value::List(writes) => writes,
            other => panic!("{other:?}"),
        };
        assert!((1..=4096).contains(&writes.len()));
        let bytes = |write: &Value, name| match field(write, name) {
            Value::Bytes(bytes) => bytes.clone(),
            other => panic!("{other:?}"),
        };
        let size = |(key, value): &Row| key.len() + value.len();
        let put: Vec<Row> = writes
            .iter()
            .map(|write| (bytes(write, "key"), bytes(write, "value")))
            .collect();
        assert!(put.len() == 1 || put.iter().map(size).sum::<usize>() <= 1 << 20);
        rows.extend(put);
    }
    assert!(rows.is_sorted());
    rows
}

/// The same, computed from all keys with their times.
fn expected(replica: &Replica, keep: Keep) -> Vec<Row> {
    let mut all: Vec<(Hlc, Row)> = replica
        .kv
        .iter()
        .unwrap()
        .map(|row| {
            let (key, value) = row.unwrap();
            (replica.kv.conflicts(&key).unwrap()[0].hlc, (key, value))
        })
        .collect();
    all.sort();
    all.reverse();
    let newest = all.first().map_or(0, |(hlc, _)| hlc.ms());
    let mut left = match keep {
        Keep::Bytes(bytes) => bytes,
        Keep::Last(count) => count,
        _ => u64::MAX,
    };
    let mut kept = Vec::new();
    for (hlc, (key, value)) in all {
        let amount = match keep {
            Keep::Bytes(_) => u64::try_from(key.len() + value.len()).unwrap(),
            Keep::Newer(ms) if hlc.ms().saturating_add(ms) < newest => break,
            _ => 1,
        };
        let Some(rest) = left.checked_sub(amount) else {
            break;
        };
        left = rest;
        kept.push((key, value));
    }
    kept.sort();
    kept
}

/// Keys of single puts, of batches, with siblings, with values in rows of their own, of several
/// times; some deleted, and some written again.
fn filled(on: On) -> Replica {
    let replica = Replica::new(on);
    for nth in 0..40_u64 {
        replica.clock.advance(if nth % 3 == 0 { 1000 } else { 0 });
        let key = format!("{:02}", (nth * 17) % 40);
        let length = usize::try_from(nth * nth * 3).unwrap();
        replica.kv.put(&key, vec![b'v'; length]).unwrap();
    }
    let rows = (0..30).map(|nth| TestWrite {
        key: format!("batch {nth:02}").into_bytes(),
        supersedes: BTreeSet::new(),
        value: Some(vec![b'b'; nth]),
    });
    replica.take([replica
        .foreign(7, &[], &rows.collect::<Vec<_>>())
        .into_bytes()]);
    let sibling = |author: u32, value: &str| {
        let write = TestWrite {
            key: "sibling".into(),
            supersedes: BTreeSet::new(),
            value: Some(value.into()),
        };
        replica.foreign(author, &[], &[write]).into_bytes()
    };
    replica.take([sibling(8, "one"), sibling(9, "two")]);
    replica.clock.advance(5000);
    for key in ["03", "batch 04", "20"] {
        replica.kv.put(key, "again").unwrap();
    }
    replica.kv.delete("11").unwrap();
    replica
}

#[test]
fn the_keys_that_were_written_last_are_kept() {
    for on in On::EACH {
        let replica = filled(on);
        let keys = replica.kv.count().unwrap();
        let bytes = 200_000;
        let each = (0..=keys + 1).map(Keep::Last);
        let each = each.chain((0..bytes).step_by(479).map(Keep::Bytes));
        let each = each.chain((0..30_000).step_by(500).map(Keep::Newer));
        let mut sizes = BTreeSet::new();
        for keep in each.chain([Keep::All, Keep::Bytes(u64::MAX), Keep::Newer(u64::MAX)]) {
            let copied = copied(&replica, keep);
            assert!(copied == expected(&replica, keep), "{keep:?}");
            sizes.insert(copied.len());
        }
        assert_eq!(sizes.first(), Some(&0));
        assert_eq!(sizes.last(), Some(&usize::try_from(keys).unwrap()));
        assert!(sizes.len() > 60, "{}", sizes.len());
    }
}

#[test]
fn many_keys_are_put_in_several_ops() {
    let replica = Replica::new(On::Memory);
    let mut batch = replica.kv.batch();
    for nth in 0..9000_u32 {
        batch = batch.put(nth.to_be_bytes(), "v");
    }
    batch.commit().unwrap();
    replica.kv.put("large", vec![0; 3 << 20]).unwrap();
    for keep in [Keep::Last(9000), Keep::Last(8999), Keep::Last(1), Keep::All] {
        assert!(
            copied(&replica, keep) == expected(&replica, keep),
            "{keep:?}"
        );
    }
}
