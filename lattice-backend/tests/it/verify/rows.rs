//! Every row of every table is accounted for: a full verification finds every change of one row.

use std::path::Path;
use std::sync::Arc;

use lattice_backend::backend::{Access, MemoryBackend, OpenOptions, StateBackend, Table};
use lattice_backend::conformance::{Mutation, RowMap, create_of, mutations, rows_of};
use lattice_backend::engine::Engine;
use lattice_backend::engine::open::{LogicPolicy, OpenRequest};
use lattice_backend::engine::verify::Depth;
use lattice_backend::machine::StateMachine;
use lattice_backend::progress::ProgressSink;

use crate::faulty::{APPLY, Faulty, Place, take};
use crate::registers::{Registers, payload};
use crate::support::*;

/// Whether opening or verifying a store with these rows reports something.
fn is_found<M: StateMachine>(rows: &RowMap, machine: M) -> bool {
    let (backend, path) = (Arc::new(MemoryBackend::new()), Path::new("state.db"));
    create_of(&*backend, path, rows).unwrap();
    let request = OpenRequest::new(backend.clone(), path)
        .access(Access::ReadOnly)
        .logic(LogicPolicy::Trust);
    let Ok(store) = Engine::open(request, machine) else {
        return true;
    };
    let verified = store.verify(Depth::Full, &*backend, &ProgressSink::none());
    verified.map_or(true, |verified| !verified.is_ok())
}

/// What the record of a held op notes of the fault, which nothing determines.
fn is_note(rows: &RowMap, change: &Mutation) -> bool {
    let Some(byte) = change.byte.filter(|_| change.table == Table::Held) else {
        return false;
    };
    if change.key.first() != Some(&0) || change.key.len() != 9 {
        return false;
    }
    let record = &rows[&(change.table, change.key.clone())];
    let logic = usize::from(record[0]);
    let message = usize::from(u16::from_le_bytes([record[2 + logic], record[3 + logic]]));
    let is_fault = record[1 + logic] == 1;
    (1..1 + logic).contains(&byte) || is_fault && (4 + logic..4 + logic + message).contains(&byte)
}

#[track_caller]
fn assert_all_are_found<M: StateMachine>(
    backend: &dyn StateBackend,
    path: &Path,
    machine: impl Fn() -> M,
    least: usize,
) {
    let db = backend.open(path, &OpenOptions::read_only()).unwrap();
    let rows = rows_of(&*db.snapshot().unwrap()).unwrap();
    db.close().unwrap();
    assert!(!is_found(&rows, machine()));
    let all = mutations(&rows);
    assert!(all.len() > least, "{} changes", all.len());
    let changed = all.iter().filter(|change| !is_note(&rows, change));
    let missed: Vec<_> = changed
        .filter(|change| !is_found(&change.apply(&rows), machine()))
        .map(|change| {
            let key = change.key.escape_ascii();
            let value = change.value.as_deref().map(<[u8]>::escape_ascii);
            let value = value.map(|value| value.to_string());
            format!("{}: `{}` {key} = {value:.60?}", change.what, change.table)
        })
        .collect();
    assert!(
        missed.is_empty(),
        "{} missed:\n{}",
        missed.len(),
        missed.join("\n")
    );
}

/// Two authors, one of whom has forked, an op in several parts, an invalid payload and merges.
#[test]
fn every_change_of_one_row_is_found() {
    let site = Site::memory();
    let store = site.open();
    for nth in 0..5 {
        append(&store, &format!("key {}", nth % 3), format!("value {nth}"));
    }
    append(&store, "long", vec![7; 9000]);
    let other = secret(2);
    let first = op(&other, None, &[], 1, &payload(b"theirs", b"one"));
    let left = op(&other, Some(&first), &[], 2, &payload(b"key 1", b"left"));
    let right = op(&other, Some(&first), &[], 2, &[0]);
    ingest(&store, &[&first, &left, &right]);
    append(&store, "last", "value");
    store.close().unwrap();
    assert_all_are_found(&*site.backend, &site.path, Registers::default, 1000);
}

#[test]
fn every_change_of_one_row_is_found_in_a_store_without_ops() {
    let site = Site::memory();
    assert_all_are_found(&*site.backend, &site.path, Registers::default, 100);
}

/// After an index step, most ops have a row in the index by author.
#[test]
fn every_change_of_one_row_of_the_index_is_found() {
    let site = Site::memory();
    let store = site.open();
    for nth in 0..258 {
        append(&store, "key", format!("{nth}"));
    }
    store.close().unwrap();
    let db = site
        .backend
        .open(&site.path, &OpenOptions::read_only())
        .unwrap();
    let rows = rows_of(&*db.snapshot().unwrap()).unwrap();
    db.close().unwrap();
    let applied = mutations(&rows);
    let applied = applied
        .iter()
        .filter(|change| change.table == Table::Applied);
    let mut count = 0;
    for change in applied.step_by(61) {
        count += 1;
        let found = is_found(&change.apply(&rows), Registers::default());
        assert!(found, "{change:?}");
    }
    assert!(count > 100, "{count} changes");
}

#[test]
fn every_change_of_one_row_is_found_in_a_store_with_held_ops() {
    let place = Place::memory();
    let (a, b) = (secret(2), secret(3));
    let long = [&[APPLY][..], &[7; 6000]].concat();
    let a0 = op(&a, None, &[], 0, b".a0");
    let a1 = op(&a, Some(&a0), &[], 1, &long);
    let a2 = op(&a, Some(&a1), &[], 2, b".a2");
    let b0 = op(&b, None, &[], 0, b".b0");
    let b1 = op(&b, Some(&b0), &[&a1], 3, b".b1");
    let store = place.open(&Faulty::v1());
    take(&store, &[&a0, &a1, &a2, &b0, &b1]);
    store.close().unwrap();
    assert_all_are_found(&*place.backend, &place.path, Faulty::v1, 1000);
}
