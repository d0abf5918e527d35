//! The memory that damaged files make redb ask for: the allocator limits it, in a process of its
//! own. A request past the limit ends the process.
//!
//! For the long form, with every word of every page:
//! `LATTICE_DAMAGE_STEP=1 cargo test --release -p lattice-backend --test memory`.
#![allow(clippy::unwrap_used)]

use lattice_backend::progress::ProgressSink;
use std::alloc::System;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use cap::Cap;
use lattice_backend::backend::{
    BackendError, Direction, EVERYTHING, FileError, OpenOptions, ReadTx, Sharing, StateBackend,
    Table,
};
use lattice_backend::redb::RedbBackend;
use lattice_backend::storage::MemoryDisk;

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

const PAGE: usize = 4096;
/// The part of the header that has fields.
const HEADER: usize = 320;
const PATH: &str = "state.db";
/// What a file may take beyond its bytes and the memory that the test has already.
const ROOM: usize = 64 << 20;
/// Page numbers of great order, an index far away, and a length near the end of all numbers.
const HOSTILE: [u64; 5] = [
    20 << 59 | 1,
    19 << 59,
    12 << 59 | 0xff,
    0xf_ffff,
    u64::MAX - 7,
];

fn options(sharing: Sharing) -> OpenOptions {
    OpenOptions {
        sharing,
        cache_bytes: 1 << 20,
        ..OpenOptions::read_write()
    }
}

fn fill(disk: &MemoryDisk) -> RedbBackend {
    let backend = RedbBackend::on_disk(disk.clone());
    let birth = &mut |tx: &mut dyn lattice_backend::backend::WriteTx| {
        for table in Table::ALL {
            for nth in 0..300 {
                tx.put(table, format!("row {nth:05}").as_bytes(), &[7; 40])?;
            }
        }
        tx.put(Table::Ops, b"long", &[9; 20_000])
    };
    backend.create(Path::new(PATH), birth).unwrap();
    backend
}

/// A closed file, and the files of writers that were killed in both modes.
fn files() -> Vec<Vec<u8>> {
    let disk = MemoryDisk::new();
    let backend = fill(&disk);
    let path = Path::new(PATH);
    let mut files = vec![disk.bytes(path).unwrap()];
    for sharing in [Sharing::SingleWriter, Sharing::Exclusive] {
        let db = backend.open(path, &options(sharing)).unwrap();
        let mut tx = db.begin_write().unwrap();
        tx.put(Table::Data, b"row 00007", b"new").unwrap();
        tx.commit().unwrap().wait().unwrap();
        files.push(disk.bytes(path).unwrap());
        db.close().unwrap();
    }
    files
}

/// Reads every row of every table, at most a few thousand.
fn read(tx: &dyn ReadTx) -> Result<usize, BackendError> {
    let mut count = 0;
    for table in Table::ALL {
        for direction in [Direction::Forward, Direction::Backward] {
            let mut rows = tx.range(table, EVERYTHING, direction)?;
            while count < 5000 && rows.next()?.is_some() {
                count += 1;
            }
        }
    }
    Ok(count)
}

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// Runs everything that reads a file. The result does not matter: damage can be in unused bytes.
fn use_all(file: &[u8]) -> Result<usize, Failed> {
    let disk = MemoryDisk::new();
    let (backend, path) = (RedbBackend::on_disk(disk.clone()), Path::new(PATH));
    disk.insert(path, file.to_vec());
    drop(backend.peek_info(path));
    let reader = backend.open(path, &OpenOptions::read_only());
    let found = reader.map_err(Failed::from).and_then(|db| {
        let count = read(&*db.snapshot()?)?;
        db.close()?;
        Ok(count)
    });
    drop(backend.check_integrity(path));
    drop(backend.backup(
        path,
        Path::new("copy.db"),
        &mut |_| Ok(()),
        &ProgressSink::none(),
    ));
    for sharing in [Sharing::SingleWriter, Sharing::Exclusive] {
        disk.insert(path, file.to_vec());
        let written = backend.open(path, &options(sharing)).map(|db| {
            let written = db.begin_write().and_then(|mut tx| {
                tx.put(Table::Data, b"row 00100", b"new")?;
                tx.commit()?.wait()
            });
            drop((written, db.compact(&ProgressSink::none()), db.close()));
        });
        drop(written);
    }
    found
}

/// The limit is that of the process, so one test runs at a time; contained panics would fill the
/// output.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap();
    std::panic::set_hook(Box::new(|info| {
        if std::thread::current().name() != Some("main") && info.location().is_some_and(is_ours) {
            eprintln!("{info}");
        }
    }));
    alone
}

fn is_ours(location: &std::panic::Location<'_>) -> bool {
    location.file().contains("tests/memory")
}

/// Every page that redb reads names others, and the header names the first: whatever stands in any
/// word of them, no page that is longer than the file is asked for.
#[test]
fn no_word_of_a_file_makes_redb_ask_for_more_than_the_file_has() {
    let _alone = alone();
    let step = std::env::var("LATTICE_DAMAGE_STEP").map_or(997, |step| step.parse().unwrap());
    let (mut cases, mut failed) = (0_u32, 0_u32);
    for file in files() {
        assert_eq!(use_all(&file).unwrap(), 2 * (6 * 300 + 1));
        MEMORY
            .set_limit(MEMORY.allocated() + ROOM + 10 * file.len())
            .unwrap();
        let definitions = table_pages(&file);
        assert!(definitions.len() >= 2, "{definitions:?}");
        let is_used = |place: &usize| file[*place..*place + 8] != [0; 8];
        let header = (0..HEADER).step_by(4);
        let words = |page: &usize| (page * PAGE..page * PAGE + PAGE).step_by(8);
        let roots = definitions.iter().flat_map(words).filter(is_used);
        let others = (PAGE..file.len() - 8).step_by(8 * step).filter(is_used);
        for (nth, place) in header.chain(roots).chain(others).enumerate() {
            let values = match step {
                1 => &HOSTILE[..],
                _ => &HOSTILE[nth % HOSTILE.len()..][..1],
            };
            for value in values {
                let mut damaged = file.clone();
                let end = (place + 8).min(file.len());
                damaged[place..end].copy_from_slice(&value.to_le_bytes()[..end - place]);
                cases += 1;
                failed += u32::from(use_all(&damaged).is_err());
            }
        }
        MEMORY.set_limit(usize::MAX).unwrap();
    }
    assert!(failed > cases / 50, "{failed} of {cases} were damage");
    eprintln!("{failed} of {cases} cases were damage to the reader");
}

/// The count of a branch says where its page numbers stand: with a count too great for the page,
/// some of what is taken for numbers is still in it.
#[test]
fn a_branch_with_too_great_a_count_makes_redb_ask_for_no_more() {
    let _alone = alone();
    let file = &files()[0];
    let mut failed = 0;
    let pages = (PAGE..file.len()).step_by(PAGE);
    for page in pages.filter(|page| file[*page] == 2) {
        for count in [170_u16, 200, 253] {
            let mut damaged = file.clone();
            damaged[page + 2..page + 4].copy_from_slice(&count.to_le_bytes());
            let first = page + 8 + 16 * (usize::from(count) + 1);
            damaged[first..page + PAGE].fill(0);
            damaged[first..first + 8].copy_from_slice(&HOSTILE[0].to_le_bytes());
            MEMORY.set_limit(MEMORY.allocated() + ROOM).unwrap();
            failed += u32::from(use_all(&damaged).is_err());
            MEMORY.set_limit(usize::MAX).unwrap();
        }
    }
    assert!(failed >= 3, "{failed}");
}

/// redb takes from its own tables which pages are free. With these values it found one page in two
/// places, and panicked a second time while it dropped what the first panic left: the process
/// ended.
#[test]
fn a_wrong_record_of_free_pages_is_damage_before_a_writer_trusts_it() {
    let _alone = alone();
    let file = &files()[0];
    let path = Path::new(PATH);
    let mut refused = 0;
    for page in (PAGE..file.len()).step_by(PAGE) {
        for (place, value) in [(168, HOSTILE[0]), (240, HOSTILE[1])] {
            let mut damaged = file.clone();
            damaged[page + place..page + place + 8].copy_from_slice(&value.to_le_bytes());
            let disk = MemoryDisk::new();
            disk.insert(path, damaged.clone());
            let opened = RedbBackend::on_disk(disk).open(path, &options(Sharing::SingleWriter));
            refused += u32::from(matches!(
                &opened,
                Err(FileError::Damaged { detail, .. }) if detail.contains("redb's own tables")
            ));
            drop(opened);
            let _ = use_all(&damaged);
        }
    }
    assert!(refused >= 4, "{refused}");
}

/// A table's name stands in the definitions only.
fn table_pages(file: &[u8]) -> Vec<usize> {
    let has = |page: &[u8], name: &[u8]| page.windows(name.len()).any(|found| found == name);
    let pages = file.chunks(PAGE).enumerate().skip(1);
    pages
        .filter(|(_, page)| has(page, b"allocator_state") || has(page, b"applied"))
        .map(|(number, _)| number)
        .collect()
}

/// The order in the number of a table's root page.
#[test]
fn the_root_of_a_table_is_checked_before_memory_is_allocated() {
    let _alone = alone();
    let file = &files()[0];
    let mut found = 0;
    for page in table_pages(file) {
        for place in page * PAGE + 4..page * PAGE + PAGE - 42 {
            // A definition: type, length, the flag of a root, and its number.
            let is_definition =
                file[place] == 3 && file[place + 9] == 1 && file[place + 18 - 1] == 0;
            if !is_definition {
                continue;
            }
            let mut damaged = file.clone();
            damaged[place + 17] = 20 << 3;
            MEMORY.set_limit(MEMORY.allocated() + ROOM).unwrap();
            found += usize::from(use_all(&damaged).is_err());
            MEMORY.set_limit(usize::MAX).unwrap();
        }
    }
    assert!(found >= Table::ALL.len(), "{found}");
}
