//! Ranges, in both directions.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::backend::{Direction, EVERYTHING, PrefixSpan, ReadTx, Span, Table};
use crate::conformance::Rng;
use crate::conformance::backend::{Pairs, Site, commit, rows};

/// The rows of a range in the model.
fn expected(model: &BTreeMap<Vec<u8>, Vec<u8>>, span: Span<'_>) -> Pairs {
    let after_start = |key: &[u8]| match span.0 {
        Bound::Included(start) => start <= key,
        Bound::Excluded(start) => start < key,
        Bound::Unbounded => true,
    };
    let before_end = |key: &[u8]| match span.1 {
        Bound::Included(end) => key <= end,
        Bound::Excluded(end) => key < end,
        Bound::Unbounded => true,
    };
    let inside = |(key, _): &(&Vec<u8>, &Vec<u8>)| after_start(key) && before_end(key);
    let pairs = model.iter().filter(inside);
    pairs
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn compare(tx: &dyn ReadTx, model: &BTreeMap<Vec<u8>, Vec<u8>>, span: Span<'_>, note: &str) {
    let mut expected = expected(model, span);
    let found = rows(tx, Table::Data, span, Direction::Forward);
    assert_eq!(found, expected, "{note}: rows of {span:?}, forward");
    expected.reverse();
    let found = rows(tx, Table::Data, span, Direction::Backward);
    assert_eq!(found, expected, "{note}: rows of {span:?}, backward");
}

fn bounds(key: &[u8]) -> [Bound<&[u8]>; 3] {
    [Bound::Included(key), Bound::Excluded(key), Bound::Unbounded]
}

/// All pairs of bounds at, before, between and after the rows, including inverted ones.
pub(super) fn have_all_kinds_of_bounds(site: &Site) {
    let db = site.writer();
    let keys: [&[u8]; 7] = [
        b"a",
        b"b",
        b"b\0",
        b"ba",
        b"b\xff",
        b"b\xff\xff",
        b"\xff\xff",
    ];
    let model: BTreeMap<_, _> = keys
        .iter()
        .map(|key| (key.to_vec(), key.to_vec()))
        .collect();
    let ends: [&[u8]; 9] = [
        b"",
        b"a",
        b"aa",
        b"b",
        b"b\0",
        b"bb",
        b"b\xff",
        b"\xff\xff",
        b"\xff\xff\xff",
    ];
    let every_span = |tx: &dyn ReadTx, note: &str| {
        for (start, end) in ends.iter().flat_map(|start| ends.map(|end| (*start, end))) {
            for from in bounds(start) {
                for to in bounds(end) {
                    compare(tx, &model, (from, to), note);
                }
            }
        }
        let prefixes: [&[u8]; 6] = [b"", b"a", b"b", b"b\xff", b"\xff", b"\xff\xff\xff"];
        for prefix in prefixes {
            let span = PrefixSpan::new(prefix);
            let found = rows(tx, Table::Data, span.span(), Direction::Forward);
            let matching = keys.iter().filter(|key| key.starts_with(prefix));
            let expected: Pairs = matching.map(|key| (key.to_vec(), key.to_vec())).collect();
            assert_eq!(found, expected, "{note}: rows that start with {prefix:?}");
        }
    };
    let empty = db.snapshot().expect("a snapshot");
    assert!(rows(&*empty, Table::Data, EVERYTHING, Direction::Backward).is_empty());
    commit(&*db, |tx| {
        for (key, value) in &model {
            tx.put(Table::Data, key, value)?;
        }
        every_span(&*tx, "in the transaction");
        Ok(())
    });
    every_span(&*db.snapshot().expect("a snapshot"), "in a snapshot");
}

/// Inserts and removes random rows, enough of them that pages split and merge.
pub(super) fn agree_with_a_model(site: &Site) {
    const SEED: u64 = 20_260_101;
    let db = site.writer();
    let mut rng = Rng::new(SEED);
    let mut model = BTreeMap::<Vec<u8>, Vec<u8>>::new();
    for round in 0..30 {
        let changes: Vec<_> = (0..60)
            .map(|_| {
                let (key_len, value_len) = (1 + rng.below(3), rng.below(400));
                let mut key = rng.bytes(key_len);
                // Few distinct first bytes, so that keys repeat.
                key[0] %= 8;
                let value = (!rng.one_in(3)).then(|| rng.bytes(value_len));
                (key, value)
            })
            .collect();
        commit(&*db, |tx| {
            for (key, value) in &changes {
                match value {
                    Some(value) => {
                        let before = tx.replace(Table::Data, key, value)?;
                        assert_eq!(before, model.insert(key.clone(), value.clone()));
                    }
                    None => assert_eq!(tx.remove(Table::Data, key)?, model.remove(key)),
                }
            }
            Ok(())
        });
        let snapshot = db.snapshot().expect("a snapshot");
        let note = format!("round {round} of seed {SEED}");
        compare(&*snapshot, &model, EVERYTHING, &note);
        for _ in 0..10 {
            let (start, end) = (rng.bytes(2), rng.bytes(2));
            let (from, to) = (bounds(&start)[rng.below(3)], bounds(&end)[rng.below(3)]);
            compare(&*snapshot, &model, (from, to), &note);
        }
    }
}
