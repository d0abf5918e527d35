//! The golden journals, verdict by verdict.

use std::path::Path;

use lattice_backend::backend::{
    BackendError, MemoryBackend, OpenOptions, Result, StateBackend, Table,
};
use lattice_backend::journal::{JournaledBackend, Tuning};
use lattice_backend::storage::MemoryDisk;

use super::support::*;
use crate::conformance::eager;
use crate::golden::journal::{Case, End, cases};

/// Sessions that no test of this file ends.
fn tuning() -> Tuning {
    Tuning {
        segment_bytes: 8 << 20,
        table_bytes: 4 << 20,
        ..eager()
    }
}

/// A store with the case's journal, and no rows of its own.
fn placed(case: &Case) -> (MemoryDisk, JournaledBackend) {
    let disk = MemoryDisk::new();
    let inner = MemoryBackend::new();
    let created = inner.create(store(), &mut |tx| match &case.row {
        Some(row) => tx.put(Table::System, b"journal", row),
        None => Ok(()),
    });
    created.unwrap();
    for (file, bytes) in case.segments.iter().enumerate() {
        if let Some(bytes) = bytes {
            disk.insert(&segment(file), bytes.clone());
        }
    }
    let backend = JournaledBackend::over(inner, disk.clone()).tuned(tuning());
    (disk, backend)
}

/// The rows that the case expects.
fn expected(case: &Case) -> Model {
    let rows = case.changes.iter().filter_map(|(table, key, value)| {
        let table = Table::ALL[usize::from(*table) - 1];
        Some(((table, key.clone()), value.clone()?))
    });
    rows.collect()
}

fn verdict(found: &Result<Model>) -> &'static str {
    match found {
        Ok(_) => "recovered",
        Err(BackendError::JournalMissing { .. }) => "missing",
        Err(BackendError::Row { .. }) => "bad_row",
        Err(BackendError::Damaged { detail }) if detail.contains("follows it") => "damaged_later",
        Err(BackendError::Damaged { detail }) if detail.contains("follows another") => {
            "damaged_prev"
        }
        Err(BackendError::Damaged { detail }) if detail.contains("written up to") => {
            "damaged_published"
        }
        Err(BackendError::Damaged { .. }) => "damaged_rows",
        Err(error) => panic!("{error:?}"),
    }
}

fn check(case: &Case, found: &Result<Model>) {
    let wanted = match &*case.verdict {
        "no_session" => "recovered",
        wanted => wanted,
    };
    assert_eq!(verdict(found), wanted, "{}: {found:?}", case.name);
    if let Ok(found) = found {
        assert_eq!(found, &expected(case), "{}", case.name);
    }
}

/// The end that a writer has published.
fn published(disk: &MemoryDisk) -> Option<End> {
    let ends = (0..2).filter_map(|file| {
        let bytes = disk.bytes(&segment(file))?;
        let slot = bytes.get(8192..8192 + 64)?;
        let number = |at: usize| u64::from_le_bytes(slot[at..at + 8].try_into().unwrap());
        let is_valid = blake3::hash(&slot[..56]).as_bytes()[..8] == slot[56..];
        is_valid.then(|| End {
            generation: number(16),
            offset: number(24),
            seq: number(32),
            chain: slot[40..56].try_into().unwrap(),
        })
    });
    ends.max_by_key(|end| end.seq)
}

#[test]
fn golden_journals_are_read_as_they_must_be() {
    for case in cases() {
        let (disk, backend) = placed(&case);
        let before: Vec<_> = disk.paths().iter().map(|path| disk.bytes(path)).collect();
        check(&case, &read(&backend));
        let after: Vec<_> = disk.paths().iter().map(|path| disk.bytes(path)).collect();
        assert_eq!(before, after, "{}: reading wrote", case.name);
    }
}

#[test]
fn golden_journals_are_recovered_as_they_must_be() {
    for case in cases() {
        let (disk, backend) = placed(&case);
        let mut end = None;
        check(
            &case,
            &recover_and(&backend, &mut || end = published(&disk)),
        );
        if case.verdict == "recovered" {
            assert_eq!(end, case.end, "{}", case.name);
        }
    }
}

/// What stands behind the end of a journal does no harm to the records that overwrite it.
#[test]
fn golden_journals_are_written_on() {
    for case in cases() {
        if case.verdict != "recovered" || case.end.as_ref().unwrap().seq == u64::MAX {
            continue;
        }
        let (_, backend) = placed(&case);
        let mut wanted = expected(&case);
        let db = backend.open(store(), &OpenOptions::read_write()).unwrap();
        for nth in 0..3_u8 {
            let (key, value) = (vec![b'w', nth], vec![nth; 40 * usize::from(nth)]);
            let put = || {
                let mut tx = db.begin_write()?;
                tx.put(Table::Data, &key, &value)?;
                tx.commit()?.wait()
            };
            put().unwrap_or_else(|error| panic!("{}: {error:?}", case.name));
            wanted.insert((Table::Data, key), value);
            // Another reader, each time.
            assert_eq!(read(&backend).unwrap(), wanted, "{}", case.name);
        }
        db.close().unwrap();
        assert_eq!(read(&backend).unwrap(), wanted, "{}", case.name);
    }
}

/// The journal's row is the journal's own, in a session and without one.
#[test]
fn golden_rows_are_hidden() {
    for case in cases().iter().filter(|case| case.verdict == "no_session") {
        let (_, backend) = placed(case);
        assert!(read(&backend).unwrap().is_empty(), "{}", case.name);
        assert!(recover(&backend).unwrap().is_empty(), "{}", case.name);
        let copy = Path::new("copy.db");
        let progress = lattice_backend::progress::ProgressSink::none();
        backend
            .backup(store(), copy, &mut |_| Ok(()), &progress)
            .unwrap();
    }
}
