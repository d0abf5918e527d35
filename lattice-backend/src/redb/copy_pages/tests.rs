use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::backend::{
    Copied, Direction, EVERYTHING, FileError, Integrity, OpenOptions, StateBackend, StateDb,
    WriteTx,
};
use crate::redb::page::offset_of;
use crate::redb::{FileDisk, RedbBackend};
use crate::storage::{Disk, FileMode, MemoryDisk};

const STORE: &str = "state.db";
const COPY: &str = "copy.db";

type Row = (Table, Vec<u8>, Vec<u8>);

/// A store on a disk of its own.
struct Site {
    disk: MemoryDisk,
    backend: RedbBackend,
}

impl Site {
    fn new() -> Self {
        let disk = MemoryDisk::new();
        let backend = RedbBackend::on_disk(disk.clone());
        backend.create(Path::new(STORE), &mut |_| Ok(())).unwrap();
        Self { disk, backend }
    }

    fn with(rows: impl IntoIterator<Item = Row>) -> Self {
        let site = Self::new();
        site.write(|tx| {
            for (table, key, value) in rows {
                tx.put(table, &key, &value).unwrap();
            }
        });
        site
    }

    fn open(&self, path: &str) -> Arc<dyn StateDb> {
        let opened = self
            .backend
            .open(Path::new(path), &OpenOptions::read_write());
        opened.unwrap()
    }

    fn write(&self, change: impl FnOnce(&mut dyn WriteTx)) {
        let db = self.open(STORE);
        write(&*db, change);
        db.close().unwrap();
    }

    fn copy(&self) -> Result<Copied, FileError> {
        let none = ProgressSink::none();
        let (path, target) = (Path::new(STORE), Path::new(COPY));
        self.backend.backup(path, target, &mut |_| Ok(()), &none)
    }

    fn rows(&self, path: &str) -> Vec<Row> {
        let options = OpenOptions::read_only();
        let db = self.backend.open(Path::new(path), &options).unwrap();
        let rows = rows(&*db);
        db.close().unwrap();
        rows
    }

    fn bytes(&self, path: &str) -> Vec<u8> {
        self.disk.bytes(Path::new(path)).unwrap()
    }

    /// The copy has the rows of the store, is intact, and stays so when much is written to it.
    fn assert_copied(&self) {
        assert_eq!(self.copy().unwrap(), Copied::Pages);
        assert_eq!(self.rows(COPY), self.rows(STORE));
        let intact = || self.backend.check_integrity(Path::new(COPY)).unwrap();
        assert_eq!(intact(), Integrity::Intact);
        let db = self.open(COPY);
        let before = rows(&*db);
        for nth in 0..4_u8 {
            write(&*db, |tx| {
                for row in 0..100_u8 {
                    tx.put(Table::Data, &[255, 255, nth, row], &[nth; 2000])
                        .unwrap();
                }
            });
        }
        let mut after = rows(&*db);
        after.retain(|(_, key, _)| !key.starts_with(&[255, 255]));
        assert_eq!(after, before);
        db.close().unwrap();
        assert_eq!(intact(), Integrity::Intact);
    }
}

fn write(db: &dyn StateDb, change: impl FnOnce(&mut dyn WriteTx)) {
    let mut tx = db.begin_write().unwrap();
    change(&mut *tx);
    tx.commit().unwrap().wait().unwrap();
}

fn rows(db: &dyn StateDb) -> Vec<Row> {
    let tx = db.snapshot().unwrap();
    let mut found = Vec::new();
    for table in Table::ALL {
        let mut rows = tx.range(table, EVERYTHING, Direction::Forward).unwrap();
        while let Some(row) = rows.next().unwrap() {
            found.push((table, row.key.to_vec(), row.value.to_vec()));
        }
    }
    found
}

/// Rows of a length, whose bytes depend on their numbers.
fn numbered(table: Table, count: u32, length: usize) -> impl Iterator<Item = Row> {
    (0..count).map(move |nth| {
        let value: Vec<u8> = nth.to_le_bytes().repeat(length / 4 + 1);
        // Ascending numbers would fill pages.
        let key = nth.wrapping_mul(0x9e37_79b1).to_be_bytes();
        (table, key.to_vec(), value[..length].to_vec())
    })
}

fn varied() -> Site {
    let ops = numbered(Table::Ops, 2000, 90);
    let data = numbered(Table::Data, 3000, 20);
    let large = numbered(Table::Data, 3, 1 << 20).map(|(table, mut key, value)| {
        key.push(1);
        (table, key, value)
    });
    let applied = numbered(Table::Applied, 40, 9000);
    Site::with(ops.chain(data).chain(large).chain(applied))
}

#[test]
fn empty_tables_are_copied() {
    Site::new().assert_copied();
    Site::with(numbered(Table::Held, 1, 0)).assert_copied();
}

#[test]
fn small_and_large_rows_are_copied() {
    varied().assert_copied();
}

#[test]
fn unused_pages_and_bytes_of_deleted_rows_are_not_copied() {
    let marker = b"a row that is deleted";
    let site = varied();
    site.write(|tx| {
        for (table, key, _) in numbered(Table::Data, 3000, 0) {
            if key[3] % 8 != 0 {
                tx.put(table, &key, &marker.repeat(5)).unwrap();
            }
        }
    });
    site.write(|tx| {
        for (table, key, _) in numbered(Table::Data, 3000, 0) {
            if key[3] % 8 != 0 {
                tx.remove(table, &key).unwrap();
            }
        }
        for (table, mut key, _) in numbered(Table::Data, 3, 0) {
            key.push(1);
            tx.remove(table, &key).unwrap();
        }
    });
    let has_marker = |path: &str| {
        let bytes = site.bytes(path);
        bytes.windows(marker.len()).any(|bytes| bytes == marker)
    };
    assert!(has_marker(STORE));
    site.assert_copied();
    assert!(!has_marker(COPY));
    let (store, copy) = (site.bytes(STORE).len(), site.bytes(COPY).len());
    assert!(copy < store / 2, "{copy} of {store}");
}

/// What is written is a file that redb has closed, also before redb opens it.
#[test]
fn the_pages_alone_are_an_intact_file() {
    for site in [Site::new(), varied()] {
        let (path, target) = (Path::new(STORE), Path::new(COPY));
        let opened = site.backend.open_reader(path, &OpenOptions::read_only());
        let opened = opened.unwrap();
        let pinned = Pinned::of(&opened).unwrap().unwrap();
        let storage = site.disk.open(target, FileMode::CreateNew).unwrap();
        let plan = Plan::new(&pinned).map_err(drop).unwrap();
        let written = plan.write(&*storage, &ProgressSink::none());
        written.map_err(drop).unwrap();
        drop(storage);
        assert_eq!(
            site.backend.check_integrity(target).unwrap(),
            Integrity::Intact
        );
        assert_eq!(site.rows(COPY), site.rows(STORE));
    }
}

/// Where the used bytes of all pages of the user's tables are.
fn used_bytes(site: &Site) -> Vec<Range<usize>> {
    let opened = site
        .backend
        .open_reader(Path::new(STORE), &OpenOptions::read_only());
    let opened = opened.unwrap();
    let pinned = Pinned::of(&opened).unwrap().unwrap();
    let plan = Plan::new(&pinned).map_err(drop).unwrap();
    let mut open = vec![(plan.root, Tree::Definitions)];
    let mut found = Vec::new();
    while let Some((link, tree)) = open.pop() {
        let mut page = Vec::new();
        let widths = match tree {
            Tree::Definitions => Widths::default(),
            Tree::Rows(widths) => widths,
        };
        let used = plan.pages.read(link, widths, &mut page).unwrap();
        let start = usize::try_from(offset_of(&pinned.header, link.number).unwrap()).unwrap();
        found.push(start..start + used);
        match (page[0], tree) {
            (BRANCH, _) => open.extend(links(&page).unwrap().into_iter().map(|link| (link, tree))),
            (_, Tree::Rows(_)) => {}
            _ => {
                for table in definitions(&page).unwrap() {
                    if let Some(root) = table.root {
                        open.push((root.link(&page).unwrap(), Tree::Rows(table.widths)));
                    }
                }
            }
        }
    }
    found
}

#[test]
fn each_changed_byte_of_a_page_is_found() {
    let site = varied();
    let whole = site.bytes(STORE);
    let pages = used_bytes(&site);
    assert!(pages.len() > 100, "{}", pages.len());
    // The first and last bytes of each page, and one between them that moves on with the pages.
    for (nth, page) in pages.into_iter().enumerate() {
        let between = page.start + nth * 37 % page.len();
        for place in [page.start, between, page.end - 1] {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x10;
            site.disk.insert(Path::new(STORE), damaged);
            let copied = site.copy();
            assert!(
                matches!(&copied, Err(FileError::Damaged { path, .. }) if path == Path::new(STORE)),
                "byte {place}: {copied:?}"
            );
            assert!(site.disk.bytes(Path::new(COPY)).is_none(), "byte {place}");
        }
    }
}

/// Ends a writer, also when a test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Copies a store while a thread commits, each time the same value for all keys.
fn copy_beside_a_writer(backend: &RedbBackend, disk: &dyn Disk, dir: &Path) {
    let (store, copy) = (dir.join(STORE), dir.join(COPY));
    let has_ended = AtomicBool::new(false);
    let keys: Vec<_> = numbered(Table::Data, 60, 0)
        .map(|(_, key, _)| key)
        .collect();
    let commit = |db: &dyn StateDb, nth: u32| {
        write(db, |tx| {
            for key in &keys {
                let value = nth.to_le_bytes().repeat(200);
                tx.put(Table::Data, key, &value).unwrap();
            }
        });
    };
    let db = backend.open(&store, &OpenOptions::read_write()).unwrap();
    commit(&*db, 0);
    std::thread::scope(|scope| {
        let ends = Ends(&has_ended);
        let writer = scope.spawn(|| {
            let mut nth = 0;
            while !has_ended.load(Ordering::Relaxed) {
                nth += 1;
                commit(&*db, nth);
            }
        });
        let mut seen = Vec::new();
        // Until the copies show that there was a writer.
        while seen.len() < 20 || seen.first() == seen.last() {
            let copied = backend.backup(&store, &copy, &mut |_| Ok(()), &ProgressSink::none());
            assert_eq!(copied.unwrap(), Copied::Pages);
            let made = backend.open(&copy, &OpenOptions::read_only()).unwrap();
            let rows = rows(&*made);
            made.close().unwrap();
            assert_eq!(rows.len(), keys.len());
            assert!(rows.iter().all(|(_, _, value)| *value == rows[0].2));
            let checked = backend.check_integrity(&copy).unwrap();
            assert_eq!(checked, Integrity::Intact);
            seen.push(rows[0].2.clone());
            disk.remove(&copy).unwrap();
        }
        drop(ends);
        writer.join().unwrap();
    });
    db.close().unwrap();
}

#[test]
fn a_copy_beside_a_writer_has_the_rows_of_one_commit() {
    let site = Site::new();
    copy_beside_a_writer(&site.backend, &site.disk, Path::new(""));
    site.assert_copied();
}

/// Syncs of files take time, in which snapshots show the commit before the last one.
#[test]
fn a_copy_of_files_beside_a_writer_has_the_rows_of_one_commit() {
    let dir = tempfile::tempdir().unwrap();
    let backend = RedbBackend::on_files();
    let store = dir.path().join(STORE);
    backend.create(&store, &mut |_| Ok(())).unwrap();
    copy_beside_a_writer(&backend, &FileDisk, dir.path());
}

/// A file with a table that Lattice does not have is copied row by row, and without that table.
#[test]
fn a_file_of_a_stranger_is_copied_by_rows() {
    let site = Site::with(numbered(Table::Data, 10, 10));
    let storage = site.disk.open(Path::new(STORE), FileMode::ReadWrite);
    let options = OpenOptions::read_write();
    let database = crate::redb::create_database(storage.unwrap(), &options).unwrap();
    let tx = database.begin_write().unwrap();
    let strange = redb::TableDefinition::<&[u8], &[u8]>::new("strange");
    tx.open_table(strange)
        .unwrap()
        .insert(&[1][..], &[2][..])
        .unwrap();
    tx.commit().unwrap();
    drop(database);
    assert_eq!(site.copy().unwrap(), Copied::Rows);
    assert_eq!(site.rows(COPY), site.rows(STORE));
}

/// A change of a row: its table, a short key, and the length of its new value, or none.
type Change = (usize, u16, Option<usize>);

fn changes() -> impl Strategy<Value = Vec<Vec<Change>>> {
    let length = prop_oneof![
        4 => 0..200_usize,
        2 => 1000..9000_usize,
        1 => 20_000..300_000_usize,
    ];
    let change = (
        0..Table::ALL.len(),
        0..400_u16,
        proptest::option::of(length),
    );
    vec(vec(change, 0..60), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_tables_are_copied(commits in changes()) {
        let site = Site::new();
        let db = site.open(STORE);
        for commit in commits {
            write(&*db, |tx| {
                for (table, key, length) in commit {
                    let key = key.wrapping_mul(40_503).to_le_bytes();
                    let table = Table::ALL[table];
                    match length {
                        Some(length) => tx.put(table, &key, &vec![key[0]; length]).unwrap(),
                        None => drop(tx.remove(table, &key).unwrap()),
                    }
                }
            });
        }
        db.close().unwrap();
        site.assert_copied();
    }
}
