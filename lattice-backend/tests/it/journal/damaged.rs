//! Journals of which a part can still be read.

use lattice_backend::backend::{Journal, OpenOptions, StateBackend, Table};
use lattice_backend::journal::Tuning;
use lattice_backend::storage::MemoryDisk;

use super::life::{backend, create};
use super::mixed::Files;
use super::support::*;
use crate::conformance::eager;

const COMMITS: u8 = 20;
/// Where the headers of a segment begin.
const HEADERS: [usize; 2] = [0, 4096];

/// Nothing is folded.
fn tuning() -> Tuning {
    Tuning {
        segment_bytes: 1 << 20,
        table_bytes: 1 << 20,
        ..eager()
    }
}

/// A killed store whose rows are all in the journal.
fn killed() -> Files {
    let disk = MemoryDisk::new();
    let backend = backend(disk.clone(), tuning());
    create(&backend);
    let db = backend.open(store(), &OpenOptions::read_write()).unwrap();
    for nth in 0..COMMITS {
        let mut tx = db.begin_write().unwrap();
        let key = [b'k', nth];
        tx.put(Table::Data, &key, &[nth; 50]).unwrap();
        tx.commit().unwrap().wait().unwrap();
    }
    let files = Files::of(&disk);
    std::mem::forget(db);
    files
}

/// The rows that a reader of what is left sees, and those after a salvage by a writer.
fn salvaged(files: &Files) -> [usize; 2] {
    let disk = files.disk();
    let found = read(&backend(disk.clone(), tuning()).reading_damaged()).unwrap();
    assert_eq!(Files::of(&disk), *files, "a reader changes nothing");
    let options = OpenOptions {
        journal: Journal::Salvage,
        ..OpenOptions::read_write()
    };
    let backend = backend(disk, tuning());
    let db = backend.open(store(), &options).unwrap();
    let mut tx = db.begin_write().unwrap();
    tx.put(Table::Data, b"new", b"").unwrap();
    tx.commit().unwrap().wait().unwrap();
    db.close().unwrap();
    let written = read(&backend).unwrap();
    [found.len(), written.len() - 1]
}

#[test]
fn records_are_read_without_the_headers_of_their_files() {
    let all = usize::from(COMMITS);
    let whole = killed();
    assert_eq!(read(&backend(whole.disk(), tuning())).unwrap().len(), all);
    for damaged in [&[1][..], &[2], &[1, 2]] {
        let mut files = whole.clone();
        for file in damaged {
            let bytes = files.0[*file].as_mut().unwrap();
            for header in HEADERS {
                bytes[header..header + 64].fill(0xff);
            }
        }
        let refused = read(&backend(files.disk(), tuning()));
        assert!(refused.is_err(), "{damaged:?}");
        assert_eq!(salvaged(&files), [all; 2], "{damaged:?}");
    }
}

#[test]
fn what_comes_before_the_damage_is_read() {
    let whole = killed();
    // The file of the first generation, which has all records.
    let file = (1..=2)
        .max_by_key(|file| whole.0[*file].as_ref().map(Vec::len))
        .unwrap();
    let mut seen = Vec::new();
    for at in (12288..16000).step_by(400) {
        let mut files = whole.clone();
        files.0[file].as_mut().unwrap()[at..at + 8].fill(0xff);
        let [found, written] = salvaged(&files);
        assert_eq!(found, written, "damage at {at}");
        seen.push(found);
    }
    assert!(seen.is_sorted(), "{seen:?}");
    assert!(seen[0] < 2 && seen.last() > Some(&5), "{seen:?}");
}

#[test]
fn without_its_files_a_store_has_what_was_folded() {
    let whole = killed();
    let mut files = whole.clone();
    (files.0[1], files.0[2]) = (None, None);
    assert!(read(&backend(files.disk(), tuning())).is_err());
    // The first commit, with which the session began.
    assert_eq!(salvaged(&files), [1; 2]);
    // The other file alone has no record that follows what was folded.
    let one = |file: usize| {
        let mut files = whole.clone();
        files.0[file] = None;
        salvaged(&files)
    };
    let mut both = [one(1), one(2)];
    both.sort_unstable();
    assert_eq!(both, [[1; 2], [usize::from(COMMITS); 2]]);
}
