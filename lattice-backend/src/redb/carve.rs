//! Finds rows in a file that redb cannot open, by the layout of its leaves alone.
//!
//! A leaf begins on a multiple of the page size. It names the ends of its keys and values itself,
//! so neither header nor branches are needed, and old copies of pages that nothing names any more
//! are found too. A damaged leaf gives the rows whose ends are still in order.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::backend::{FileError, RawPlace, RawRow, RawRows};
use crate::redb::error::open_error;
use crate::redb::page::{ENDS, LEAF, PAGE_BYTES, count, u32_at};
use crate::storage::Storage;

/// [`PAGE_BYTES`] as the length of a slice.
const PAGE: usize = 4096;
/// The longest leaf that is searched. Longer ones have one long row.
const LEAF_BYTES: usize = 16 * PAGE;
/// How much is read at once: the pages of one step, and what a leaf in the last can reach into.
const STEP_PAGES: u16 = 1024;
const STEP: usize = 1024 * PAGE;
const WINDOW: usize = STEP + LEAF_BYTES - PAGE;

/// A file without its order.
pub(super) struct Carved {
    storage: Box<dyn Storage>,
    path: PathBuf,
}

impl fmt::Debug for Carved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Carved")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Carved {
    pub(super) fn new(storage: Box<dyn Storage>, path: &Path) -> Self {
        Self {
            storage,
            path: path.to_path_buf(),
        }
    }

    /// Reads what can be read. A page that cannot is zeros: a failing disk reports errors for
    /// sectors, and the pages around them are wanted.
    fn read(&self, offset: u64, bytes: &mut [u8]) {
        if self.storage.read_at(offset, bytes).is_ok() {
            return;
        }
        for (nth, page) in (0..).zip(bytes.chunks_mut(PAGE)) {
            if self
                .storage
                .read_at(offset + nth * PAGE_BYTES, page)
                .is_err()
            {
                page.fill(0);
            }
        }
    }

    fn len(&self) -> Result<u64, FileError> {
        let len = self.storage.len_bytes();
        len.map_err(|error| open_error(error).at(&self.path))
    }
}

impl RawRows for Carved {
    fn each(&self, each: &mut dyn FnMut(RawRow<'_>)) -> Result<(), FileError> {
        let len = self.len()?;
        let mut window = vec![0; WINDOW];
        let mut offset = 0;
        while offset < len {
            let there = usize::try_from(len - offset).map_or(WINDOW, |left| left.min(WINDOW));
            let window = &mut window[..there];
            self.read(offset, window);
            for start in (0..there.min(STEP)).step_by(PAGE) {
                let leaf = &window[start..there.min(start + LEAF_BYTES)];
                let first = offset + u64::try_from(start).expect("a step is a few MiB");
                rows(first, leaf, each);
            }
            offset += PAGE_BYTES * u64::from(STEP_PAGES);
        }
        Ok(())
    }

    fn value(&self, place: RawPlace) -> Result<Vec<u8>, FileError> {
        // No value that was found is longer than a leaf.
        let len = usize::try_from(place.len).map_or(LEAF_BYTES, |len| len.min(LEAF_BYTES));
        let mut value = vec![0; len];
        let read = self.storage.read_at(place.offset, &mut value);
        read.map_err(|error| open_error(error).at(&self.path))?;
        Ok(value)
    }
}

/// The rows of a leaf that begins at `first`.
fn rows(first: u64, leaf: &[u8], each: &mut dyn FnMut(RawRow<'_>)) {
    let Some(count) = count(leaf).filter(|count| leaf[0] == LEAF && ENDS + 8 * count < leaf.len())
    else {
        return;
    };
    let end = |nth: usize| usize::try_from(u32_at(leaf, ENDS + 4 * nth)?).ok();
    let row = |keys: [Option<usize>; 2], values: [Option<usize>; 2]| {
        let key = leaf.get(keys[0]?..keys[1]?)?;
        let value = leaf.get(values[0]?..values[1]?)?;
        let offset = first + u64::try_from(values[0]?).ok()?;
        let len = u32::try_from(value.len()).ok()?;
        let file = 0;
        let place = RawPlace { file, offset, len };
        Some(RawRow { place, key, value })
    };
    let mut key_start = Some(ENDS + 8 * count);
    let mut value_start = count.checked_sub(1).and_then(end);
    for nth in 0..count {
        let (key_end, value_end) = (end(nth), end(count + nth));
        if let Some(row) = row([key_start, key_end], [value_start, value_end]) {
            each(row);
        }
        (key_start, value_start) = (key_end, value_end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Disk, FileMode, MemoryDisk};

    type Found = Vec<(Vec<u8>, Vec<u8>)>;

    /// The rows that are found in a file with these bytes.
    fn found(bytes: &[u8]) -> Found {
        let disk = MemoryDisk::new();
        let path = Path::new("a");
        let storage = disk.open(path, FileMode::CreateNew).unwrap();
        storage.write_at(0, bytes).unwrap();
        let carved = Carved::new(storage, path);
        let mut found = Vec::new();
        carved
            .each(&mut |row| {
                assert_eq!(carved.value(row.place).unwrap(), row.value);
                found.push((row.key.to_vec(), row.value.to_vec()));
            })
            .unwrap();
        found
    }

    /// A page with two rows.
    fn leaf() -> Vec<u8> {
        let mut page = vec![LEAF, 0, 2, 0];
        for end in [21_u32, 22, 25, 29] {
            page.extend(end.to_le_bytes());
        }
        page.extend(b"abvalfour");
        page.resize(PAGE, 0);
        page
    }

    fn row(key: &[u8], value: &[u8]) -> (Vec<u8>, Vec<u8>) {
        (key.to_vec(), value.to_vec())
    }

    #[test]
    fn rows_are_found_at_each_multiple_of_a_page_and_across_reads() {
        let both = [row(b"a", b"val"), row(b"b", b"four")];
        for pages in [0, 1, STEP / PAGE - 1, STEP / PAGE] {
            let bytes = [vec![0; pages * PAGE], leaf()].concat();
            assert_eq!(found(&bytes), both, "after {pages} pages");
            assert_eq!(found(&[&[0], &*bytes].concat()), [], "not on a page");
        }
        // The end of the file cuts the second value.
        assert_eq!(found(&leaf()[..28]), both[..1]);
    }

    #[test]
    fn a_wrong_end_costs_the_rows_that_it_belongs_to() {
        for (place, left) in [(4, 0), (8, 0), (12, 0), (16, 1)] {
            let mut page = leaf();
            page[place..place + 4].copy_from_slice(&u32::MAX.to_le_bytes());
            assert_eq!(found(&page).len(), left, "{place}");
        }
    }

    /// Each count, and ends of all sizes: only that no call panics, and each row is in the file.
    #[test]
    fn any_bytes_can_be_searched() {
        for count in 0..=u16::MAX {
            for end in [0, 4, 4096, 65_535, u32::MAX] {
                let mut page = vec![LEAF, 0];
                page.extend(count.to_le_bytes());
                page.extend(end.to_le_bytes());
                page.resize(64, 7);
                rows(0, &page, &mut |row| assert!(row.value.len() <= 64));
            }
        }
    }
}
