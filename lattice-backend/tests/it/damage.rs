//! Damage that redb does not detect, and that must not spread.

use std::path::Path;
use std::sync::Arc;

use lattice_backend::backend::{
    BackendError, Direction, EVERYTHING, OpenOptions, ReadTx, StateBackend, Table,
};
use lattice_backend::redb::RedbBackend;
use lattice_backend::storage::MemoryDisk;

const PAGE: usize = 4096;
const LEAF: u8 = 1;
const BRANCH: u8 = 2;

fn key(nth: usize) -> Vec<u8> {
    format!("row {nth:05}").into_bytes()
}

/// A file with two thousand rows.
fn filled() -> Vec<u8> {
    let (disk, path) = (MemoryDisk::new(), Path::new("state.db"));
    let backend = RedbBackend::on_disk(disk.clone());
    backend
        .create(path, &mut |tx| {
            for nth in 0..2000 {
                tx.put(Table::Data, &key(nth), &[7; 40])?;
            }
            Ok(())
        })
        .unwrap();
    disk.bytes(path).unwrap()
}

/// The pages of a type that contain these bytes.
fn pages(file: &[u8], page_type: u8, bytes: &[u8]) -> Vec<usize> {
    let holds = |page: &[u8]| page.windows(bytes.len()).any(|found| found == bytes);
    let pages = file.chunks_exact(PAGE).enumerate().skip(1);
    pages
        .filter(|(_, page)| page[0] == page_type && holds(page))
        .map(|(number, _)| number * PAGE)
        .collect()
}

fn view(file: Vec<u8>) -> Arc<dyn ReadTx + Send + Sync> {
    let (disk, path) = (MemoryDisk::new(), Path::new("state.db"));
    disk.insert(path, file);
    let backend = RedbBackend::on_disk(disk);
    let db = backend.open(path, &OpenOptions::read_only()).unwrap();
    db.snapshot().unwrap()
}

/// Reads until the end or the first error; returns the number of rows before it.
fn read(tx: &dyn ReadTx, direction: Direction) -> (usize, Option<BackendError>) {
    let mut rows = tx.range(Table::Data, EVERYTHING, direction).unwrap();
    for count in 0..=2000 {
        match rows.next() {
            Ok(Some(_)) => {}
            Ok(None) => return (count, None),
            Err(error) => return (count, Some(error)),
        }
    }
    panic!("there are more rows than were written");
}

/// A reader that continues after the last row it has read would loop without end.
#[test]
fn rows_out_of_order_are_damage() {
    let file = filled();
    assert_eq!(read(&*view(file.clone()), Direction::Forward).0, 2000);
    let (early, late) = (
        pages(&file, LEAF, &key(300)),
        pages(&file, LEAF, &key(1500)),
    );
    let mut swapped = file.clone();
    for &place in &early {
        swapped[place..place + PAGE].copy_from_slice(&file[late[0]..late[0] + PAGE]);
    }
    for &place in &late {
        swapped[place..place + PAGE].copy_from_slice(&file[early[0]..early[0] + PAGE]);
    }
    let tx = view(swapped);
    for direction in [Direction::Forward, Direction::Backward] {
        let (count, error) = read(&*tx, direction);
        assert!(
            matches!(error, Some(BackendError::Damaged { .. })),
            "{error:?}"
        );
        assert!(count > 100, "{count}");
    }
    // Rows outside a range are not returned for it.
    let start = key(290);
    let span = (
        std::ops::Bound::Included(&start[..]),
        std::ops::Bound::Excluded(&b"row 003"[..]),
    );
    let mut rows = tx.range(Table::Data, span, Direction::Forward).unwrap();
    loop {
        match rows.next() {
            Ok(Some(row)) => assert!((&start[..]..b"row 003").contains(&row.key)),
            Ok(None) => break,
            Err(error) => {
                assert!(matches!(error, BackendError::Damaged { .. }), "{error:?}");
                break;
            }
        }
    }
}

/// redb allocates memory for a page before it reads it: one wrong byte costs four gigabytes.
#[test]
fn a_page_longer_than_the_file_is_damage_before_memory_is_allocated() {
    let mut file = filled();
    let places = pages(&file, BRANCH, b"row 0");
    assert!(!places.is_empty());
    for place in places {
        let keys = u16::from_le_bytes([file[place + 2], file[place + 3]]);
        let numbers = place + 8 + (usize::from(keys) + 1) * 16;
        // The highest five bits of the first child's page number are its order.
        file[numbers + 7] |= 20 << 3;
    }
    let tx = view(file);
    let error = match tx.range(Table::Data, EVERYTHING, Direction::Forward) {
        Err(error) => error,
        Ok(mut rows) => rows.next().map(|row| row.is_some()).unwrap_err(),
    };
    let BackendError::Damaged { detail } = &error else {
        panic!("{error:?}");
    };
    assert!(!detail.contains("the file ends"), "it was read: {detail}");
}
