//! Verification: an intact store has no findings, and every other store has some.

mod rows;

use std::time::Duration;

use lattice_backend::backend::{FileError, Integrity, OpenOptions, Table, WriteTx};
use lattice_backend::engine::verify::{Depth, Finding, OpFault, Verification};
use lattice_backend::progress::ProgressSink;
use lattice_backend::redb::RedbBackend;
use tempfile::TempDir;

use crate::support::*;

struct OnFiles {
    _dir: TempDir,
    site: Site,
}

impl OnFiles {
    /// Two authors, one of whom has forked, an op in several parts, an invalid payload, and more
    /// ops than an index step has.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let site = Site::new(RedbBackend::on_files(), dir.path().join("state.db"));
        let store = site.open();
        for nth in 0..260 {
            append(&store, &format!("key {}", nth % 50), format!("value {nth}"));
        }
        append(&store, "long", vec![7; 9000]);
        let other = secret(2);
        let payload = crate::registers::payload;
        let first = op(&other, None, &[], 1, &payload(b"theirs", b"one"));
        let left = op(&other, Some(&first), &[], 2, &payload(b"key 1", b"left"));
        let right = op(&other, Some(&first), &[], 2, &[0]);
        ingest(&store, &[&first, &left, &right]);
        store.close().unwrap();
        Self { _dir: dir, site }
    }

    fn edit(&self, edit: impl Fn(&mut dyn WriteTx)) {
        let options = OpenOptions::read_write();
        let db = self.site.backend.open(&self.site.path, &options).unwrap();
        let mut tx = db.begin_write().unwrap();
        edit(&mut *tx);
        tx.commit().unwrap().wait().unwrap();
        db.close().unwrap();
    }

    fn verify(&self, depth: Depth) -> Verification {
        let before = std::fs::read(&self.site.path).unwrap();
        let mut request = self.site.request();
        request.options = OpenOptions::read_only();
        let store = self.site.try_open(request).unwrap();
        let verified = verify(&store, &self.site, depth);
        store.close().unwrap();
        assert!(
            std::fs::read(&self.site.path).unwrap() == before,
            "it changed a byte"
        );
        verified
    }

    fn full(&self) -> Vec<Finding> {
        self.verify(Depth::Full).findings
    }
}

fn verify(store: &Store, site: &Site, depth: Depth) -> Verification {
    store
        .verify(depth, &*site.backend, &ProgressSink::none())
        .unwrap()
}

fn index(nth: u64) -> [u8; 8] {
    nth.to_be_bytes()
}

/// Changes the record of an op; of several parts, the last one.
fn change(tx: &mut dyn WriteTx, nth: u64, change: impl Fn(&mut Vec<u8>)) {
    let mut record = tx.get(Table::Ops, &index(nth)).unwrap().unwrap();
    change(&mut record);
    tx.put(Table::Ops, &index(nth), &record).unwrap();
}

/// The first row of a table at or after a key.
fn first_row(tx: &dyn WriteTx, table: Table, from: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let span = (std::ops::Bound::Included(from), std::ops::Bound::Unbounded);
    let mut rows = tx
        .range(table, span, lattice_backend::backend::Direction::Forward)
        .unwrap();
    let row = rows.next().unwrap().unwrap();
    (row.key.to_vec(), row.value.to_vec())
}

#[test]
fn an_intact_store_has_no_findings_even_while_it_is_written() {
    let store = OnFiles::new();
    assert_eq!(
        store
            .site
            .backend
            .check_integrity(&store.site.path)
            .unwrap(),
        Integrity::Intact
    );
    for depth in [Depth::Quick, Depth::Full] {
        let verified = store.verify(depth);
        assert_eq!(verified.findings, []);
        assert_eq!(verified.ops, 264);
    }
    let (backend, path) = (&store.site.backend, &store.site.path);
    let work = OpenOptions::long_work("compact", Duration::ZERO);
    let held = backend.open(path, &work).unwrap();
    assert_eq!(backend.check_integrity(path).unwrap(), Integrity::InUse);
    held.close().unwrap();
    let writer = store.site.open();
    let mut request = store.site.request();
    request.options = OpenOptions::read_only();
    let reader = store.site.try_open(request).unwrap();
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            for nth in 0..100 {
                append(&writer, &format!("key {nth}"), "while it is verified");
            }
        });
        for _ in 0..3 {
            assert_eq!(verify(&reader, &store.site, Depth::Full).findings, []);
        }
        writing.join().unwrap();
    });
    assert_eq!(verify(&writer, &store.site, Depth::Full).findings, []);
}

#[test]
fn a_changed_state_row_is_found_by_both_depths() {
    let store = OnFiles::new();
    store.edit(|tx| {
        let mut row = tx.get(Table::Data, b"key 7").unwrap().unwrap();
        *row.last_mut().unwrap() ^= 1;
        tx.put(Table::Data, b"key 7", &row).unwrap();
    });
    let quick = store.verify(Depth::Quick).findings;
    assert!(matches!(&quick[..], [Finding::StateHash(_)]), "{quick:?}");
    let full = store.full();
    let [Finding::StateHash(hash), Finding::Row(row)] = &full[..] else {
        panic!("{full:?}");
    };
    assert_ne!(hash.expected, hash.found);
    assert_eq!((row.table, &row.key[..]), (Table::Data, &b"key 7"[..]));
    assert!(row.expected.as_ref().unwrap().ends_with(b"value 257"));
}

#[test]
fn extra_and_missing_rows_are_found() {
    let store = OnFiles::new();
    store.edit(|tx| {
        tx.remove(Table::Data, b"key 7").unwrap().unwrap();
    });
    let found = store.full();
    assert!(
        matches!(&found[1], Finding::Row(row) if row.key == b"key 7" && row.found.is_none()),
        "{found:?}"
    );
    let store = OnFiles::new();
    store.edit(|tx| tx.put(Table::Data, b"key 7x", b"more").unwrap());
    let found = store.full();
    assert!(
        matches!(&found[1], Finding::Row(row) if row.key == b"key 7x" && row.expected.is_none()),
        "{found:?}"
    );
}

#[test]
fn a_changed_effect_names_its_op_its_author_and_its_keys() {
    let store = OnFiles::new();
    store.edit(|tx| change(tx, 20, |record| record[3] ^= 1));
    let found = store.full();
    let [Finding::Effect(effect)] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!((effect.index, effect.op.author), (at(20), owner().public()));
    assert!(effect.keys.contains(&b"key 20".to_vec()));
    let text = found[0].to_string();
    assert!(
        text.contains(&owner().public().to_string()) && text.contains("key 20"),
        "{text}"
    );
}

#[test]
fn a_changed_signature_is_found_and_the_replay_continues() {
    let store = OnFiles::new();
    store.edit(|tx| {
        for nth in [3, 150] {
            change(tx, nth, |record| *record.last_mut().unwrap() ^= 1);
        }
    });
    let found = store.full();
    let bad = |nth| {
        found.iter().any(|finding| {
            matches!(finding, Finding::Op { index, fault: OpFault::Signature, author, hlc, .. }
                if *index == at(nth) && *author == Some(owner().public()) && hlc.is_some())
        })
    };
    // The rows of the ops are the same in both stores: only the signatures are wrong.
    assert!(found.len() == 2 && bad(3) && bad(150), "{found:?}");
}

#[test]
fn a_changed_missing_or_moved_op_ends_the_replay() {
    type Edit = fn(&mut dyn WriteTx);
    let edits: [(Edit, &str); 5] = [
        // A byte of the payload changes the op's id, so the next op follows one that does not
        // exist.
        (
            |tx| {
                change(tx, 30, |record| {
                    let at = record.len() - 70;
                    record[at] ^= 1;
                })
            },
            "follows op",
        ),
        (
            |tx| change(tx, 30, |record| record.truncate(50)),
            "cannot be read",
        ),
        (
            |tx| {
                tx.remove(Table::Ops, &index(30)).unwrap().unwrap();
            },
            "no op at this index",
        ),
        (
            |tx| {
                let other = tx.get(Table::Ops, &index(29)).unwrap().unwrap();
                tx.put(Table::Ops, &index(30), &other).unwrap();
            },
            "applied before",
        ),
        (
            |tx| {
                let (a, b) = (
                    tx.get(Table::Ops, &index(30)).unwrap().unwrap(),
                    tx.get(Table::Ops, &index(31)).unwrap().unwrap(),
                );
                tx.put(Table::Ops, &index(30), &b).unwrap();
                tx.put(Table::Ops, &index(31), &a).unwrap();
            },
            "follows op",
        ),
    ];
    for (edit, said) in edits {
        let store = OnFiles::new();
        store.edit(edit);
        let found: Vec<_> = store.full().iter().map(Finding::to_string).collect();
        assert!(
            found.iter().any(|text| text.contains(said)),
            "{said}: {found:?}"
        );
    }
}

#[test]
fn every_other_stored_row_is_compared_with_the_history() {
    type Edit = fn(&mut dyn WriteTx);
    let edits: [(Edit, &str); 14] = [
        (
            |tx| tx.put(Table::Meta, b"more", b"").unwrap(),
            "unknown_row",
        ),
        (
            |tx| {
                let (key, _) = first_row(tx, Table::Meta, b"tip/");
                tx.put(Table::Meta, &key, &[9; 32]).unwrap();
            },
            "row",
        ),
        (
            |tx| {
                let (key, _) = first_row(tx, Table::Meta, b"tip/");
                tx.remove(Table::Meta, &key).unwrap().unwrap();
            },
            "row",
        ),
        (
            |tx| tx.put(Table::System, b"more", b"").unwrap(),
            "unknown_row",
        ),
        (
            |tx| {
                let (key, _) = first_row(tx, Table::System, b"frontier/");
                tx.remove(Table::System, &key).unwrap().unwrap();
            },
            "row",
        ),
        (
            |tx| {
                let (key, _) = first_row(tx, Table::System, b"frontier/");
                tx.put(Table::System, &key, &[9; 8]).unwrap();
            },
            "row",
        ),
        (
            |tx| {
                let (key, _) = first_row(tx, Table::System, b"branch/");
                tx.remove(Table::System, &key).unwrap().unwrap();
            },
            "row",
        ),
        (
            |tx| {
                let (key, _) = first_row(tx, Table::System, b"fork/");
                tx.remove(Table::System, &key).unwrap().unwrap();
            },
            "row",
        ),
        (
            |tx| {
                let (key, _) = first_row(tx, Table::Applied, b"");
                tx.remove(Table::Applied, &key).unwrap().unwrap();
            },
            "row",
        ),
        (
            |tx| {
                let (key, _) = first_row(tx, Table::Applied, b"");
                tx.put(Table::Applied, &key, &[9, 0, 0, 0, 0, 0, 0, 0])
                    .unwrap();
            },
            "row",
        ),
        (
            |tx| tx.put(Table::Applied, b"more", &[0; 8]).unwrap(),
            "row",
        ),
        (
            |tx| tx.put(Table::Ops, &index(1 << 40), b"more").unwrap(),
            "row",
        ),
        (
            |tx| {
                tx.put(
                    Table::Ops,
                    &[&index(5)[..], &[0, 0, 0, 1]].concat(),
                    b"more",
                )
                .unwrap()
            },
            "row",
        ),
        (
            |tx| {
                let mut ledger = tx.get(Table::System, b"ledger").unwrap().unwrap();
                ledger[16] ^= 1; // the greatest timestamp
                ledger[40] ^= 1; // a lane of the sum
                tx.put(Table::System, b"ledger", &ledger).unwrap();
            },
            "clock",
        ),
    ];
    for (place, (edit, kind)) in edits.into_iter().enumerate() {
        let store = OnFiles::new();
        store.edit(edit);
        let found = store.full();
        assert!(
            found.iter().any(|finding| finding.kind() == kind),
            "edit {place}: {found:?}"
        );
    }
}

/// Changes bytes throughout the file: verification finds those that the checksums cover.
#[test]
fn wrong_checksums_are_found_and_the_file_is_unchanged() {
    let store = OnFiles::new();
    let whole = std::fs::read(&store.site.path).unwrap();
    let mut found = 0;
    for at in (4096..whole.len()).step_by(whole.len() / 37) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        std::fs::write(&store.site.path, &bytes).unwrap();
        let checked = store.site.backend.check_integrity(&store.site.path);
        found += u32::from(!matches!(checked, Ok(Integrity::Intact)));
        assert!(std::fs::read(&store.site.path).unwrap() == bytes);
    }
    // Not every page is in use.
    assert!(found > 5, "{found}");
    std::fs::write(&store.site.path, &whole).unwrap();
    let clean = store
        .site
        .backend
        .check_integrity(&store.site.path)
        .unwrap();
    assert_eq!(clean, Integrity::Intact);
}

#[test]
fn a_file_was_closed_unless_it_is_open_or_its_writer_was_killed() {
    let (site, disk) = Site::redb();
    let was_closed = |site: &Site| site.backend.was_closed(&site.path);
    assert!(was_closed(&site).unwrap());
    let db = site.backend.open(&site.path, &OpenOptions::read_write());
    let db = db.unwrap();
    let tx = db.begin_write().unwrap();
    assert!(!was_closed(&site).unwrap());
    let killed = disk.bytes(&site.path).unwrap();
    drop(tx);
    db.close().unwrap();
    assert!(was_closed(&site).unwrap());
    disk.insert(&site.path, killed);
    assert!(!was_closed(&site).unwrap());
    disk.insert(&site.path, b"a text".to_vec());
    let refused = was_closed(&site);
    assert!(
        matches!(refused, Err(FileError::NotAStore { .. })),
        "{refused:?}"
    );
}
