//! Finds rows in the files of a journal, whatever of them is damaged.
//!
//! The body of a record begins on a multiple of [`ALIGN`], and no head begins with the number of a
//! table. So rows are searched without heads, whose tags need the salt of the session.

use std::path::Path;

use crate::backend::file_error::FileFault;
use crate::backend::{FileError, RawPlace, RawRow, RawRows};
use crate::journal::layout::RECORDS;
use crate::journal::record::{ALIGN, first_row};
use crate::journal::segment;
use crate::storage::{Disk, FileMode, Storage};

/// How much of a failing disk is given up at once, in bytes.
const SECTOR: usize = 4096;
/// A segment has a few MiB. More of a longer file is not read.
const MAX_BYTES: usize = 256 << 20;

/// The files of a store. The number of a segment in a [`RawPlace`] is one more than its own.
#[derive(Debug)]
pub(super) struct CarvedFiles {
    store: Box<dyn RawRows>,
    segments: [Option<Box<dyn Storage>>; 2],
}

impl CarvedFiles {
    /// `path` is the canonical path of the store's file.
    pub(super) fn new(store: Box<dyn RawRows>, disk: &dyn Disk, path: &Path) -> Self {
        let open = |file| disk.open(&segment::path(path, file), FileMode::Read).ok();
        Self {
            store,
            segments: [0, 1].map(open),
        }
    }
}

impl RawRows for CarvedFiles {
    fn each(&self, each: &mut dyn FnMut(RawRow<'_>)) -> Result<(), FileError> {
        self.store.each(each)?;
        for (file, segment) in (1..).zip(&self.segments) {
            if let Some(segment) = segment {
                rows(file, &read(&**segment), each);
            }
        }
        Ok(())
    }

    fn value(&self, place: RawPlace) -> Result<Vec<u8>, FileError> {
        let segment = match place.file {
            0 => return self.store.value(place),
            file => self.segments.get(usize::from(file) - 1),
        };
        let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
        let mut value = vec![0; usize::try_from(place.len).unwrap_or(0)];
        let read = match segment {
            Some(Some(segment)) => segment.read_at(place.offset, &mut value),
            _ => Err(missing()),
        };
        let failed = |error: std::io::Error| FileFault::Io(error.into());
        read.map_err(|error| failed(error).at(Path::new("the journal")))?;
        Ok(value)
    }
}

/// What can be read of a file; the rest is zeros.
fn read(segment: &dyn Storage) -> Vec<u8> {
    let len = segment.len_bytes().unwrap_or(0);
    let len = usize::try_from(len).map_or(MAX_BYTES, |len| len.min(MAX_BYTES));
    let mut bytes = vec![0; len];
    if segment.read_at(0, &mut bytes).is_err() {
        for (nth, sector) in bytes.chunks_mut(SECTOR).enumerate() {
            let offset = u64::try_from(nth * SECTOR).unwrap_or(u64::MAX);
            if segment.read_at(offset, sector).is_err() {
                sector.fill(0);
            }
        }
    }
    bytes
}

fn rows(file: u8, bytes: &[u8], each: &mut dyn FnMut(RawRow<'_>)) {
    let mut at = usize::try_from(RECORDS).unwrap_or(usize::MAX);
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let Some(row) = first_row(rest) else {
            // The next body begins at the next multiple at the earliest.
            at = (at + 1).next_multiple_of(ALIGN);
            continue;
        };
        let end = at + row.len;
        if let Some(value) = row.value {
            let place = RawPlace {
                file,
                offset: u64::try_from(end - value.len()).unwrap_or(u64::MAX),
                len: u32::try_from(value.len()).unwrap_or(u32::MAX),
            };
            let key = row.key;
            each(RawRow { place, key, value });
        }
        at = end;
    }
}
