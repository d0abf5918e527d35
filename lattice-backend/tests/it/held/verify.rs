//! Verification of held ops, and damage to their rows.

use lattice_backend::backend::{Direction, EVERYTHING, OpenOptions, ReadTx, Table, WriteTx};
use lattice_backend::engine::Engine;
use lattice_backend::engine::verify::{Depth, Finding, OpFault, RowDifference, Verification};
use lattice_backend::progress::ProgressSink;

use super::*;

const DEPTHS: [Depth; 2] = [Depth::Quick, Depth::Full];

fn verify(place: &Place, depth: Depth) -> Verification {
    let mut request = place.request();
    request.options = OpenOptions::read_only();
    let store = Engine::open(request, Faulty::v1()).unwrap();
    let verified = store.verify(depth, &*place.backend, &ProgressSink::none());
    store.close().unwrap();
    verified.unwrap()
}

/// A store that holds the ops of a story; the faulting op has a record of several rows.
fn long_story(place: &Place) -> Story {
    let mut story = Story::new(APPLY);
    let long = [&[APPLY][..], &[7; 4000]].concat();
    let (a, b) = (secret(2), secret(3));
    story.a[1] = op(&a, Some(&story.a[0]), &[], 1, &long);
    story.a[2] = op(&a, Some(&story.a[1]), &[], 2, b".a2");
    story.b[1] = op(&b, Some(&story.b[0]), &[&story.a[1]], 3, b".b1");
    story.b[2] = op(&b, Some(&story.b[1]), &[], 4, b".b2");
    let store = place.open(&Faulty::v1());
    take(&store, &story.all());
    store.close().unwrap();
    story
}

#[test]
fn held_ops_are_counted_without_findings() {
    for place in [Place::memory(), Place::redb()] {
        long_story(&place);
        for depth in DEPTHS {
            let verified = verify(&place, depth);
            assert_eq!(verified.findings, []);
            assert_eq!((verified.ops, verified.held), (4, 4));
        }
        let newer = place.open(&Faulty::v2());
        let verified = newer.verify(Depth::Full, &*place.backend, &ProgressSink::none());
        let verified = verified.unwrap();
        assert_eq!(verified.findings, []);
        assert_eq!((verified.ops, verified.held), (8, 0));
        assert_eq!(held_names(&newer), []);
    }
}

/// Key and value of each row of the table.
fn rows(tx: &dyn ReadTx) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = tx
        .range(Table::Held, EVERYTHING, Direction::Forward)
        .unwrap();
    let mut all = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        all.push((row.key.to_vec(), row.value.to_vec()));
    }
    all
}

fn edit(place: &Place, edit: impl Fn(&mut dyn WriteTx)) {
    let options = OpenOptions::read_write();
    let db = place.backend.open(&place.path, &options).unwrap();
    let mut tx = db.begin_write().unwrap();
    edit(&mut *tx);
    tx.commit().unwrap().wait().unwrap();
    db.close().unwrap();
}

fn record(number: u64) -> Vec<u8> {
    [&[0][..], &number.to_be_bytes()].concat()
}

fn keyed(kind: u8, op: &Op) -> Vec<u8> {
    [&[kind][..], &op.reference().to_key()].concat()
}

fn found(place: &Place, depth: Depth) -> Vec<String> {
    let findings = verify(place, depth).findings;
    findings
        .iter()
        .map(|found| format!("{}: {found}", found.kind()))
        .collect()
}

#[test]
fn a_changed_signature_is_found() {
    let place = Place::memory();
    let story = long_story(&place);
    edit(&place, |tx| {
        let mut row = tx.get(Table::Held, &record(3)).unwrap().unwrap();
        *row.last_mut().unwrap() ^= 1;
        tx.put(Table::Held, &record(3), &row).unwrap();
    });
    for depth in DEPTHS {
        let op = story.b[2].reference();
        let fault = OpFault::Signature;
        assert_eq!(
            verify(&place, depth).findings,
            [Finding::HeldOp { op, fault }]
        );
    }
}

#[test]
fn a_missing_row_of_the_index_is_found() {
    let place = Place::memory();
    let story = long_story(&place);
    edit(&place, |tx| {
        let key = keyed(1, &story.a[2]);
        tx.remove(Table::Held, &key).unwrap().unwrap();
    });
    for depth in DEPTHS {
        let op = &story.a[2];
        let prev = op.prev().unwrap().id;
        let [number, hlc] = [1, op.hlc().to_u64()].map(u64::to_le_bytes);
        let missing = Finding::Row(RowDifference {
            table: Table::Held,
            key: keyed(1, op),
            expected: Some([&number[..], &hlc, prev.as_bytes()].concat()),
            found: None,
        });
        assert_eq!(verify(&place, depth).findings, [missing]);
    }
}

/// Each row of the table is removed, cut, emptied, lengthened and changed in every byte:
/// verification finds it, and no reader of held ops panics.
#[test]
fn damage_to_any_row_is_found() {
    let place = Place::memory();
    let story = long_story(&place);
    let snapshot = |place: &Place| {
        let db = place.backend.open(&place.path, &OpenOptions::read_only());
        db.unwrap().snapshot().unwrap()
    };
    let whole = rows(&*snapshot(&place));
    // Four records, one of them in four rows; four index rows; two ends of chains.
    assert_eq!(whole.len(), 4 + 3 + 4 + 2);
    type Edit = fn(&mut Vec<u8>);
    let edits: [Edit; 4] = [
        |value| value.truncate(value.len() / 2),
        |value| value.clear(),
        |value| value.push(7),
        |value| {
            if let Some(first) = value.first_mut() {
                *first ^= 0x80;
            }
        },
    ];
    let mut silent = Vec::new();
    let mut check = |what: String| {
        for depth in DEPTHS {
            if found(&place, depth).is_empty() {
                silent.push(format!("{what}, {depth:?}"));
            }
        }
        read_all(&place, &story);
    };
    for (key, value) in &whole {
        edit(&place, |tx| {
            tx.remove(Table::Held, key).unwrap().unwrap();
        });
        check(format!("without row {}", key.escape_ascii()));
        for (nth, change) in edits.iter().enumerate() {
            let mut changed = value.clone();
            change(&mut changed);
            if changed == *value {
                continue;
            }
            edit(&place, |tx| tx.put(Table::Held, key, &changed).unwrap());
            check(format!("edit {nth} of row {}", key.escape_ascii()));
        }
        edit(&place, |tx| tx.put(Table::Held, key, value).unwrap());
    }
    let part = |number: u64, part: u32| [&record(number)[..], &part.to_be_bytes()].concat();
    // Rows after the last part of a record of one part, and of one that has four.
    let longest = whole
        .iter()
        .map(|(key, _)| key)
        .filter(|key| key.len() == 13);
    let [.., longest] = &longest.cloned().collect::<Vec<_>>()[..] else {
        panic!("no record has several rows")
    };
    let long = u64::from_be_bytes(*longest[1..].first_chunk().unwrap());
    let short = (0..4).find(|number| *number != long).unwrap();
    let more: [Vec<u8>; 10] = [
        part(short, 1),
        part(short, 9),
        part(long, 4),
        part(long, 9),
        b"".to_vec(),
        b"\x03more".to_vec(),
        b"\x00more".to_vec(),
        record(1 << 40),
        keyed(1, &story.c[0]),
        keyed(2, &story.c[0]),
    ];
    for key in more {
        for value in [&[0; 8][..], &[]] {
            edit(&place, |tx| tx.put(Table::Held, &key, value).unwrap());
            check(format!("with row {}, {value:?}", key.escape_ascii()));
        }
        edit(&place, |tx| drop(tx.remove(Table::Held, &key).unwrap()));
    }
    assert_eq!(silent, Vec::<String>::new());
    assert_eq!(rows(&*snapshot(&place)), whole);
    assert_eq!(verify(&place, Depth::Full).findings, []);
}

/// Reads held ops in every way; errors are allowed.
fn read_all(place: &Place, story: &Story) {
    let mut request = place.request();
    request.options = OpenOptions::read_only();
    let store = Engine::open(request, Faulty::v1()).unwrap();
    drop(store.branch_tips());
    drop(store.held_ops().map(|ops| ops.for_each(drop)));
    let ops = store.ops_after(&lattice_backend::op::BranchTips::default());
    drop(ops.map(|ops| ops.for_each(drop)));
    let known = store.ops_after(&story.stuck_names().into());
    drop(known.map(|ops| ops.for_each(drop)));
    store.close().unwrap();
}

/// A store with a damaged record opens for the code that held it, and ingests ops. Other code,
/// which would try the op, refuses the store.
#[test]
fn other_code_refuses_a_store_with_damaged_held_ops() {
    for (number, version) in [(0, "faulty/1"), (0, "faulty/2"), (3, "faulty/2")] {
        let place = Place::memory();
        let story = long_story(&place);
        edit(&place, |tx| {
            let mut row = tx.get(Table::Held, &record(number)).unwrap().unwrap();
            row.truncate(40);
            tx.put(Table::Held, &record(number), &row).unwrap();
        });
        let machine = match version {
            V1 => Faulty::v1(),
            _ => Faulty::v2(),
        };
        match place.try_open(&machine) {
            Err(error) => {
                assert_ne!(version, V1);
                let text = format!("{error:?}");
                assert!(text.contains("Row") && text.contains("held op"), "{text}");
            }
            Ok(store) => {
                assert_eq!(
                    version, V1,
                    "a record that cannot be read cannot be settled"
                );
                let next = op(&secret(9), None, &[&story.a[1]], 9, b".next");
                let bytes = crate::support::given([next.into_bytes()]);
                let taken = store.ingest(bytes, &lattice_backend::engine::ingest::Authors::Any);
                // The index row has what the op that follows needs.
                assert_eq!(taken.unwrap().held(), 1);
            }
        }
    }
}
