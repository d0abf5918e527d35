//! Finds rows in a file that redb cannot open, by the layout of its leaves alone.
//!
//! A leaf begins on a multiple of the page size. It names the ends of its keys and values itself,
//! so neither header nor branches are needed, and old copies of pages that nothing names any more
//! are found too. A damaged leaf gives the rows whose ends are still in order.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::backend::{FileError, RawPlace, RawRows};
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
    fn each(&self, each: &mut dyn FnMut(RawPlace, &[u8], &[u8])) -> Result<(), FileError> {
        let len = self.len()?;
        let mut window = vec![0; WINDOW];
        let mut offset = 0;
        while offset < len {
            let there = usize::try_from(len - offset).map_or(WINDOW, |left| left.min(WINDOW));
            let window = &mut window[..there];
            self.read(offset, window);
            for start in (0..there.min(STEP)).step_by(PAGE) {
                let leaf = &window[start..there.min(start + LEAF_BYTES)];
                rows(leaf, &mut |place, key, value| {
                    let within = [start, place].map(u64::try_from);
                    let ([Ok(start), Ok(place)], Ok(len)) = (within, u32::try_from(value.len()))
                    else {
                        return;
                    };
                    let offset = offset + start + place;
                    each(RawPlace { offset, len }, key, value);
                });
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

/// The rows of a leaf: the position of the value, key and value.
fn rows(leaf: &[u8], each: &mut dyn FnMut(usize, &[u8], &[u8])) {
    let Some(count) = count(leaf).filter(|_| leaf[0] == LEAF) else {
        return;
    };
    let end = |nth: usize| usize::try_from(u32_at(leaf, ENDS + 4 * nth)?).ok();
    let mut key_start = Some(ENDS + 8 * count);
    let mut value_start = count.checked_sub(1).and_then(end);
    for nth in 0..count {
        let (key_end, value_end) = (end(nth), end(count + nth));
        let bytes = |start: Option<usize>, end: Option<usize>| leaf.get(start?..end?);
        if let (Some(key), Some(value), Some(place)) = (
            bytes(key_start, key_end),
            bytes(value_start, value_end),
            value_start,
        ) {
            each(place, key, value);
        }
        (key_start, value_start) = (key_end, value_end);
    }
}
