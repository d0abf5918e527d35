//! Compares redb's own tables with their checksums before redb trusts them.
//!
//! redb opens a file that was closed cleanly without reading all of it. It takes from tables of its
//! own which pages are free, and does not compare their checksums. With a wrong record it would
//! write over pages in use. It can also find one page in two places, and panic a second time while
//! it drops what a first panic left, which ends the process. Only an integrity check and a repair
//! compare all checksums. redb's own tables are small, so a writer compares theirs.
//!
//! redb's design document has the layout, under "Database super-header" and "B+tree pages".

use crate::backend::file_error::FileFault;
use crate::redb::error::open_error;
use crate::redb::page::{FLAGS, HEADER_BYTES, PAGE_BYTES, PRIMARY, ROOTS, SLOTS, root_at};
use crate::redb::pages::{Pages, Place, Widths, definitions, is_slot_intact};
use crate::redb::reader::{TWO_PHASE_COMMIT, WRITER_MODE, keeps_writers_out};
use crate::storage::Storage;

/// Compares redb's own tables with their checksums, unless a writer has the file open: redb refuses
/// that file. Returns whether it compared them.
pub(super) fn check_unless_open(storage: &dyn Storage) -> Result<bool, FileFault> {
    if !keeps_writers_out(storage).map_err(open_error)? {
        return Ok(false);
    }
    let checked = check(storage);
    storage.unlock(WRITER_MODE).map_err(open_error)?;
    checked.map(|()| true)
}

/// Compares the pages of redb's own tables in the last commit. The caller keeps writers out.
///
/// A file that redb repairs at open passes: the repair compares all checksums. So does one whose
/// commit slot is damaged, which redb reports.
pub(super) fn check(storage: &dyn Storage) -> Result<(), FileFault> {
    let len = storage.len_bytes().map_err(open_error)?;
    let mut header = [0; HEADER_BYTES];
    if len < PAGE_BYTES {
        return Ok(());
    }
    storage.read_at(0, &mut header).map_err(open_error)?;
    let slot = SLOTS[usize::from(header[FLAGS] & PRIMARY)];
    if header[FLAGS] & TWO_PHASE_COMMIT == 0 || !is_slot_intact(&header, slot) {
        return Ok(());
    }
    if root_at(&header, slot, ROOTS[1]).is_none() {
        return Ok(());
    }
    let pages = Pages {
        storage,
        header: &header,
        len,
        damage: "a page of redb's own tables does not match its checksum",
    };
    let (_, place) = ROOTS[1];
    let root = Place::of_root(slot + place).link(&header);
    let mut tables = Vec::new();
    pages.walk(
        root.ok_or_else(|| pages.damaged())?,
        Widths::default(),
        &mut |leaf| {
            for table in definitions(leaf)? {
                if let Some(root) = table.root {
                    tables.push((root.link(leaf)?, table.widths));
                }
            }
            Some(())
        },
    )?;
    for (root, widths) in tables {
        pages.walk(root, widths, &mut |_| Some(()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use twox_hash::XxHash3_128;

    use super::*;
    use crate::backend::{Integrity, OpenOptions, StateBackend, Table};
    use crate::redb::RedbBackend;
    use crate::redb::page::{
        BRANCH, CHECKSUM_BYTES, ENDS, SLOT_BYTES, SLOT_CHECKSUM, TABLE_ROOT, count, offset_of,
        u64_at,
    };
    use crate::redb::pages::{links, used, usize_at};
    use crate::storage::{Disk, FileMode, MemoryDisk};

    const PATH: &str = "state.db";

    fn closed_file() -> Vec<u8> {
        let disk = MemoryDisk::new();
        let backend = RedbBackend::on_disk(disk.clone());
        let path = Path::new(PATH);
        backend
            .create(path, &mut |tx| tx.put(Table::Data, b"key", &[7; 40]))
            .unwrap();
        disk.bytes(path).unwrap()
    }

    fn checked(file: &[u8]) -> Result<(), FileFault> {
        let disk = MemoryDisk::new();
        disk.insert(Path::new(PATH), file.to_vec());
        let storage = disk.open(Path::new(PATH), FileMode::Read).unwrap();
        check(&*storage)
    }

    fn slot_of(file: &[u8]) -> usize {
        SLOTS[usize::from(file[FLAGS] & PRIMARY)]
    }

    const RECORD: Widths = Widths {
        key: Some(5),
        value: None,
    };

    fn offset(file: &[u8], number: u64) -> usize {
        usize::try_from(offset_of(file, number).unwrap()).unwrap()
    }

    /// The pages from the definitions to each leaf of the record of free pages, with the lengths of
    /// their rows.
    fn paths(file: &[u8]) -> Vec<Vec<(usize, Widths)>> {
        let definitions = root_at(file, slot_of(file), ROOTS[1]).unwrap();
        let definitions = offset(file, definitions);
        let leaf = &file[definitions..];
        let count = count(leaf).unwrap();
        let end = |nth: usize| usize_at(leaf, ENDS + 4 * nth).unwrap();
        let is_record = |nth: &usize| leaf[..end(*nth)].ends_with(b"allocator_state");
        let nth = (0..count).find(is_record).unwrap();
        let root = u64_at(&leaf[end(count + nth - 1)..], TABLE_ROOT).unwrap();
        let mut open = vec![vec![
            (definitions, Widths::default()),
            (offset(file, root), RECORD),
        ]];
        let mut paths = Vec::new();
        while let Some(path) = open.pop() {
            let (place, _) = path[path.len() - 1];
            match file[place] {
                BRANCH => open.extend(links(&file[place..]).unwrap().iter().map(|child| {
                    let page = (offset(file, child.number), RECORD);
                    path.iter().copied().chain([page]).collect()
                })),
                _ => paths.push(path),
            }
        }
        paths
    }

    fn end_of(file: &[u8], (place, widths): (usize, Widths)) -> usize {
        place + used(&file[place..], widths).unwrap()
    }

    /// Puts the checksums right again, from a changed leaf up to the commit slot.
    fn forge(file: &mut [u8], path: &[(usize, Widths)], old: &[u8]) {
        let sum = |file: &[u8], page: (usize, Widths)| {
            XxHash3_128::oneshot(&file[page.0..end_of(file, page)])
        };
        let slot = slot_of(file);
        for (nth, page) in path.iter().enumerate().rev() {
            let (was, is) = (sum(old, *page), sum(file, *page));
            let parent = match nth {
                0 => slot..slot + SLOT_CHECKSUM,
                nth => path[nth - 1].0..path[nth - 1].0 + 4096,
            };
            let parent = &mut file[parent];
            let at = parent
                .windows(CHECKSUM_BYTES)
                .position(|bytes| bytes == was.to_le_bytes());
            let at = at.expect("the parent names the checksum");
            parent[at..at + CHECKSUM_BYTES].copy_from_slice(&is.to_le_bytes());
        }
        let sum = XxHash3_128::oneshot(&file[slot..slot + SLOT_CHECKSUM]);
        file[slot + SLOT_CHECKSUM..slot + SLOT_BYTES].copy_from_slice(&sum.to_le_bytes());
    }

    #[test]
    fn every_changed_byte_of_the_record_of_free_pages_is_found() {
        let file = closed_file();
        checked(&file).unwrap();
        let mut count = 0;
        for page in paths(&file).concat() {
            for place in page.0..end_of(&file, page) {
                let mut damaged = file.clone();
                damaged[place] ^= 0x10;
                assert!(checked(&damaged).is_err(), "byte {place}");
                count += 1;
            }
        }
        assert!(count > 1000, "{count}");
    }

    /// A forged record whose checksums are right passes here. A data directory that does not vouch
    /// for a file checks its integrity before it writes, and that computes the record again. What
    /// it does not compare, which regions have free pages, does no harm.
    #[test]
    fn a_forged_record_of_free_pages_fails_the_integrity_check() {
        let file = closed_file();
        let (mut found, mut passed) = (0, 0);
        for path in paths(&file) {
            let leaf = path[path.len() - 1];
            let end = end_of(&file, leaf);
            // The bitmaps are at the end of a row.
            for place in leaf.0.max(end - 64)..end {
                let mut changed = file.clone();
                changed[place] ^= 1;
                forge(&mut changed, &path, &file);
                passed += u32::from(checked(&changed).is_ok());
                let disk = MemoryDisk::new();
                disk.insert(Path::new(PATH), changed);
                let backend = RedbBackend::on_disk(disk);
                match backend.check_integrity(Path::new(PATH)).unwrap() {
                    Integrity::Damaged { .. } => found += 1,
                    _ => assert_writable(&backend),
                }
            }
        }
        assert_eq!(passed, 128, "checksums were not forged");
        assert!(found >= 64, "{found}");
    }

    /// Writes more than the file has free, and finds all of it.
    fn assert_writable(backend: &RedbBackend) {
        let path = Path::new(PATH);
        let db = backend.open(path, &OpenOptions::read_write()).unwrap();
        for nth in 0..3_u8 {
            let mut tx = db.begin_write().unwrap();
            for row in 0..100_u8 {
                tx.put(Table::Data, &[nth, row], &[nth; 2000]).unwrap();
            }
            tx.commit().unwrap().wait().unwrap();
        }
        let tx = db.snapshot().unwrap();
        for (nth, row) in (0..3_u8).flat_map(|nth| (0..100).map(move |row| (nth, row))) {
            let value = tx.get(Table::Data, &[nth, row]).unwrap();
            assert_eq!(value.as_deref(), Some(&[nth; 2000][..]));
        }
        drop(tx);
        db.close().unwrap();
        assert_eq!(backend.check_integrity(path).unwrap(), Integrity::Intact);
    }

    #[test]
    fn a_live_file_is_left_to_redb() {
        let disk = MemoryDisk::new();
        disk.insert(Path::new(PATH), closed_file());
        let backend = RedbBackend::on_disk(disk.clone());
        let options = OpenOptions::long_work("compact", OpenOptions::DEFAULT_WAIT);
        let _writer = backend.open(Path::new(PATH), &options).unwrap();
        let storage = disk.open(Path::new(PATH), FileMode::ReadWrite).unwrap();
        let mut bytes = disk.bytes(Path::new(PATH)).unwrap();
        let (root, _) = paths(&bytes)[0][1];
        bytes[root + 40] ^= 1;
        let place = u64::try_from(root + 40).unwrap();
        let changed = &bytes[root + 40..=root + 40];
        storage.write_at(place, changed).unwrap();
        check_unless_open(&*storage).unwrap();
    }
}
