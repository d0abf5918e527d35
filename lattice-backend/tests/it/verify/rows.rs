//! Every row of every table is accounted for: a full verification finds every change of one row.

use std::path::Path;
use std::sync::Arc;

use lattice_backend::backend::{Access, MemoryBackend, OpenOptions, StateBackend, Table};
use lattice_backend::conformance::{Mutation, RowMap, create_of, mutations, rows_of};
use lattice_backend::engine::Engine;
use lattice_backend::engine::open::{LogicPolicy, OpenRequest};
use lattice_backend::engine::verify::Depth;
use lattice_backend::machine::StateMachine;
use lattice_backend::op::Op;
use lattice_backend::progress::ProgressSink;
use lattice_backend::redb::RedbBackend;
use lattice_backend::storage::{
    DiskCall, DiskFault, FailingDisk, Failure, FailurePoint, Lasting, MemoryDisk,
};

use crate::faulty::{APPLY, Faulty, Place, V1, take};
use crate::registers::{Registers, payload};
use crate::support::*;

fn read(backend: &dyn StateBackend, path: &Path) -> RowMap {
    let db = backend.open(path, &OpenOptions::read_only()).unwrap();
    let rows = rows_of(&*db.snapshot().unwrap()).unwrap();
    db.close().unwrap();
    rows
}

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
    let rows = read(backend, path);
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
    let rows = read(&*site.backend, &site.path);
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

/// A store with held ops: `a1` and `b1` fail, and `a2` follows `a1`.
fn held() -> (Place, [Op; 5]) {
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
    (place, [a0, a1, a2, b0, b1])
}

#[test]
fn every_change_of_one_row_is_found_in_a_store_with_held_ops() {
    let (place, _) = held();
    assert_all_are_found(&*place.backend, &place.path, Faulty::v1, 1000);
}

/// The rows of held ops as they would be written, whatever the ops are: record, entry and tip.
fn hold(rows: &mut RowMap, number: u64, op: &Op, reason: &[u8], logic: &str) {
    let key = |kind: &[u8], rest: &[u8]| (Table::Held, [kind, rest].concat());
    let reference = op.reference().to_key();
    let logic = [&[u8::try_from(logic.len()).unwrap()], logic.as_bytes()].concat();
    let record = [&logic[..], reason, op.bytes()].concat();
    rows.retain(|(table, key), _| {
        *table != Table::Held || !key.starts_with(&[&[0][..], &number.to_be_bytes()].concat())
    });
    for (part, bytes) in (0_u32..).zip(record.chunks(1340)) {
        let part = if part == 0 {
            vec![]
        } else {
            part.to_be_bytes().to_vec()
        };
        rows.insert(
            key(&[0], &[&number.to_be_bytes()[..], &part].concat()),
            bytes.to_vec(),
        );
    }
    let prev = op.prev().map_or([0; 32], |prev| *prev.id.as_bytes());
    let hlc = op.hlc().to_u64().to_le_bytes();
    let entry = [&number.to_le_bytes()[..], &hlc, &prev].concat();
    rows.insert(key(&[1], &reference), entry);
    if let Some(prev) = op.prev() {
        rows.remove(&key(&[2], &prev.to_key()));
    }
    rows.insert(key(&[2], &reference), Vec::new());
}

/// Several rows that agree with each other, as a forger writes them: what the engine never holds.
#[test]
fn held_ops_that_the_engine_would_not_hold_are_found() {
    let (place, [a0, a1, a2, b0, b1]) = held();
    let rows = read(&*place.backend, &place.path);
    let follows = |op: &Op| {
        let key = op.reference().to_key();
        [&[0, u8::try_from(key.len()).unwrap(), 0][..], &key].concat()
    };
    let failed = [&[1, 4, 0][..], b"fail"].concat();
    let (a, c) = (secret(2), secret(4));
    let early = op(&a, Some(&a2), &[], 2, b".early");
    let absent = op(&c, None, &[], 0, b".absent");
    let orphan = op(&c, Some(&absent), &[], 1, b".orphan");
    let merged = op(&c, None, &[&a1, &b1], 9, b".merged");
    let cases: [(&str, u64, &Op, &[u8], bool); 9] = [
        ("a sound op", 3, &merged, &follows(&a1), true),
        (
            "it failed, but follows a held op",
            3,
            &merged,
            &failed,
            false,
        ),
        (
            "it follows another one first",
            3,
            &merged,
            &follows(&b1),
            false,
        ),
        ("it follows an applied op", 3, &merged, &follows(&a0), false),
        (
            "it is not dated after its parent",
            3,
            &early,
            &follows(&a2),
            false,
        ),
        ("its parent is nowhere", 3, &orphan, &failed, false),
        ("it is applied", 3, &b0, &failed, false),
        (
            "it is held before its parent",
            1,
            &merged,
            &follows(&a1),
            false,
        ),
        ("it fails by itself", 3, &absent, &failed, true),
    ];
    for (what, number, op, reason, is_sound) in cases {
        let mut forged = rows.clone();
        if number == 1 {
            // `a2` makes room: the record moves, with its entry.
            hold(&mut forged, 3, &a2, &follows(&a1), V1);
        }
        hold(&mut forged, number, op, reason, V1);
        assert_eq!(is_found(&forged, Faulty::v1()), !is_sound, "{what}");
    }
}

/// Other code applied the failing op, and a failing disk kept it from coming to the later ops.
#[test]
fn held_ops_that_other_code_has_not_come_to_are_no_finding() {
    let author = secret(2);
    let mut ops = vec![op(&author, None, &[], 0, &[APPLY])];
    for nth in 1..100 {
        ops.push(op(&author, ops.last(), &[], nth, b"."));
    }
    let v2 = Faulty::v2().equal_to(V1);
    let mut cut = 0;
    for after in 0.. {
        let point = FailurePoint::default();
        let disk = FailingDisk::new(MemoryDisk::new(), point.clone());
        let place = Place {
            backend: Arc::new(RedbBackend::on_disk(disk)),
            path: "state.db".into(),
        };
        Engine::create(&*place.backend, &place.path, &genesis(), &Faulty::v1()).unwrap();
        let store = place.open(&Faulty::v1());
        take(&store, &ops.iter().collect::<Vec<_>>());
        store.close().unwrap();
        point.fail(Failure {
            call: DiskCall::Sync,
            after,
            lasting: Lasting::FromThenOn,
            fault: DiskFault::Io,
        });
        let opened = place.try_open(&v2);
        let has_failed = point.has_failed();
        point.heal();
        drop(opened);
        let store = Engine::open(place.request().access(Access::ReadOnly), v2.clone()).unwrap();
        let verified = store.verify(Depth::Full, &*place.backend, &ProgressSink::none());
        assert_eq!(verified.unwrap().findings, []);
        cut += u32::from((1..100).contains(&store.op_count().unwrap()));
        if !has_failed {
            break;
        }
    }
    assert!(cut > 0, "settling was never interrupted");
}
