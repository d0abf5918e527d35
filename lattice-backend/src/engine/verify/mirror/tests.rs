use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::backend::{EVERYTHING, MemoryBackend, OpenOptions, StateBackend};
use crate::redb::RedbBackend;
use crate::storage::MemoryDisk;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// Several keys begin with one byte, and one key is empty.
fn key_of(nth: u8) -> Vec<u8> {
    match nth {
        0 => Vec::new(),
        nth => [&[nth / 4][..], &[nth; 19]].concat(),
    }
}

/// Keys, and what lies between them.
fn bound_of(nth: u8) -> Vec<u8> {
    match nth % 3 {
        0 => vec![nth / 4],
        _ => key_of(nth),
    }
}

/// Bounds that a few rows reach.
const SMALL: Bounds = Bounds {
    state_bytes: 600,
    other_bytes: 300,
    long_value: 30,
    marks: usize::MAX,
    rows_per_lookup: 2,
    skipped: u64::MAX / 2,
};

fn scratch() -> Arc<dyn StateDb> {
    MemoryBackend::default().scratch().unwrap()
}

fn base(rows: &Rows) -> Base {
    let db = scratch();
    let mut tx = db.begin_write().unwrap();
    for (key, value) in rows {
        tx.put(Table::Data, key, value).unwrap();
    }
    tx.commit().unwrap().wait().unwrap();
    db.snapshot().unwrap()
}

fn range(tx: &dyn ReadTx, table: Table, span: Span<'_>, direction: Direction) -> Vec<[Vec<u8>; 2]> {
    let mut rows = tx.range(table, span, direction).unwrap();
    let mut read = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        read.push([row.key.to_vec(), row.value.to_vec()]);
    }
    read
}

#[derive(Debug, Clone)]
enum Step {
    /// Writes the row that the store has, if it has one.
    PutSame(u8),
    Put(u8, u8, usize),
    Remove(u8),
    Get(u8),
    Range(u8, u8, u8),
    Commit,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || 0..40_u8;
    let step = prop_oneof![
        6 => key().prop_map(Step::PutSame),
        3 => (key(), 0..3_u8, 0..50_usize).prop_map(|(key, value, len)| Step::Put(key, value, len)),
        2 => key().prop_map(Step::Remove),
        3 => key().prop_map(Step::Get),
        2 => (key(), key(), 0..5_u8).prop_map(|(from, to, kind)| Step::Range(from, to, kind)),
        1 => Just(Step::Commit),
    ];
    prop::collection::vec(step, 0..200)
}

fn store() -> impl Strategy<Value = Rows> {
    let row = (0..40_u8, 0..3_u8, 0..50_usize);
    let row = row.prop_map(|(key, value, len)| (key_of(key), vec![value; len]));
    prop::collection::btree_map(0..40_u8, row, 0..30).prop_map(|rows| rows.into_values().collect())
}

fn run(store: &Rows, steps: &[Step], bounds: Bounds) {
    let mirror = Mirror::with_bounds(base(store), scratch(), bounds).unwrap();
    let mut model = Rows::new();
    let mut tx = mirror.begin_write().unwrap();
    for step in steps {
        match step {
            Step::PutSame(key) => {
                let key = key_of(*key);
                let Some(value) = store.get(&key) else {
                    continue;
                };
                tx.put(Table::Data, &key, value).unwrap();
                model.insert(key, value.clone());
            }
            Step::Put(key, value, len) => {
                let (key, value) = (key_of(*key), vec![*value; *len]);
                let before = tx.replace(Table::Data, &key, &value).unwrap();
                assert_eq!(before, model.insert(key, value));
            }
            Step::Remove(key) => {
                let key = key_of(*key);
                let before = tx.remove(Table::Data, &key).unwrap();
                assert_eq!(before, model.remove(&key[..]));
            }
            Step::Get(key) => {
                let key = key_of(*key);
                let found = tx.get(Table::Data, &key).unwrap();
                assert_eq!(found.as_ref(), model.get(&key[..]));
            }
            Step::Range(from, to, kind) => {
                let (from, to) = (bound_of(*from), bound_of(*to));
                let span: Span<'_> = match kind {
                    0 => (Bound::Included(&from), Bound::Excluded(&to)),
                    1 => (Bound::Excluded(&from), Bound::Included(&to)),
                    2 => (Bound::Included(&from), Bound::Included(&to)),
                    3 => (Bound::Excluded(&from), Bound::Unbounded),
                    _ => (Bound::Unbounded, Bound::Excluded(&to)),
                };
                let mut expected: Vec<_> = model
                    .iter()
                    .filter(|(key, _)| span.contains(&key[..]))
                    .map(|(key, value)| [key.clone(), value.clone()])
                    .collect();
                assert_eq!(range(&*tx, Table::Data, span, Direction::Forward), expected);
                expected.reverse();
                assert_eq!(
                    range(&*tx, Table::Data, span, Direction::Backward),
                    expected
                );
            }
            Step::Commit => {
                tx.commit().unwrap().wait().unwrap();
                tx = mirror.begin_write().unwrap();
            }
        }
    }
    tx.commit().unwrap().wait().unwrap();
    let is_same = mirror.are_same(&[Table::Data]).unwrap();
    match bounds.marks == SMALL.marks && bounds.skipped == SMALL.skipped {
        true => assert_eq!(is_same, model == *store),
        false => assert!(!is_same || model == *store),
    }
    let all = model.into_iter().map(|(key, value)| [key, value]);
    let read = range(
        &*mirror.snapshot().unwrap(),
        Table::Data,
        EVERYTHING,
        Direction::Forward,
    );
    assert!(read.into_iter().eq(all));
}

proptest! {
    #[test]
    fn it_has_the_rows_that_were_written(store in store(), steps in steps()) {
        run(&store, &steps, SMALL);
    }

    #[test]
    fn it_has_them_without_the_store_as_well(store in store(), steps in steps(), at in 0..10_usize) {
        run(&store, &steps, Bounds { marks: at, ..SMALL });
        run(&store, &steps, Bounds { skipped: 0, ..SMALL });
    }

    #[test]
    fn all_rows_of_the_store_are_the_same(store in store()) {
        let steps: Vec<_> = (0..40).map(Step::PutSame).collect();
        run(&store, &steps, SMALL);
    }
}

#[test]
fn what_is_not_committed_cannot_be_taken_back() {
    let mirror = Mirror::new(base(&Rows::new()), scratch()).unwrap();
    drop(mirror.begin_write().unwrap());
    let mut tx = mirror.begin_write().unwrap();
    tx.put(Table::Data, b"key", b"value").unwrap();
    drop(tx);
    assert!(matches!(
        mirror.begin_write().map(drop),
        Err(BackendError::Closed)
    ));
    assert!(matches!(
        mirror.snapshot().map(drop),
        Err(BackendError::Closed)
    ));
}

#[test]
fn nothing_is_written_beside_a_snapshot() {
    let mirror = Mirror::new(base(&Rows::new()), scratch()).unwrap();
    let snapshot = mirror.snapshot().unwrap();
    assert!(matches!(
        mirror.begin_write().map(drop),
        Err(BackendError::SnapshotsLive)
    ));
    drop(snapshot);
    drop(mirror.begin_write().unwrap());
}

/// Ranges over rows of the store that are not there yet cost no more than the rows that are
/// written, whatever the store has.
#[test]
fn ranges_over_missing_rows_are_bounded() {
    let rows: Rows = (0..2000_u16)
        .map(|nth| (nth.to_be_bytes().into(), vec![]))
        .collect();
    let bounds = Bounds {
        skipped: 100,
        ..SMALL
    };
    let mirror = Mirror::with_bounds(base(&rows), scratch(), bounds).unwrap();
    let mut tx = mirror.begin_write().unwrap();
    for nth in 0..2000_u16 {
        tx.put(Table::Data, &nth.to_be_bytes(), b"").unwrap();
        assert_eq!(
            range(&*tx, Table::Data, EVERYTHING, Direction::Backward).len(),
            usize::from(nth) + 1
        );
    }
    tx.commit().unwrap().wait().unwrap();
    let skipped = mirror.slot().unwrap().state.skipped();
    assert!(skipped < 5000, "{skipped}");
}

#[test]
fn a_store_has_room_with_a_mark_for_each_row() {
    let backend = RedbBackend::on_disk(MemoryDisk::new());
    let path = Path::new("state.db");
    let mut birth =
        |tx: &mut dyn WriteTx| (0..7).try_for_each(|nth| tx.put(Table::Data, &[nth], &[nth]));
    backend.create(path, &mut birth).unwrap();
    let store = backend.open(path, &OpenOptions::read_only()).unwrap();
    let base = store.snapshot().unwrap();
    for (marks, has_room) in [(6, false), (7, true), (8, true)] {
        let bounds = Bounds { marks, ..SMALL };
        assert_eq!(bounds.have_room_for(&*base).unwrap(), has_room, "{marks}");
    }
}
