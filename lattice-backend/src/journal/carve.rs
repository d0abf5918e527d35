//! Finds rows in the files of a journal, whatever of them is damaged.
//!
//! The body of a record begins on a multiple of [`ALIGN`], and no head begins with the number of a
//! table. So rows are searched without heads, whose tags need the salt of the session.

use std::io;
use std::path::{Path, PathBuf};

use crate::backend::file_error::FileFault;
use crate::backend::{FileError, RawPlace, RawRow, RawRows};
use crate::journal::layout::RECORDS;
use crate::journal::record::{ALIGN, MAX_ROWS_BYTES, first_row};
use crate::journal::segment;
use crate::storage::{Disk, FileMode, Storage};

/// How much of a failing disk is given up at once, in bytes.
const SECTOR: usize = 4096;
/// How much is searched at once, and what a row that begins there can reach into.
const STEP: usize = 2 << 20;
const WINDOW: usize = STEP + MAX_ROWS_BYTES;

/// The files of a store. The number of a segment in a [`RawPlace`] is its place here, from 1.
#[derive(Debug)]
pub(super) struct CarvedFiles {
    store: Box<dyn RawRows>,
    segments: [Option<Carved>; 2],
}

#[derive(Debug)]
struct Carved {
    storage: Box<dyn Storage>,
    path: PathBuf,
}

fn failed(error: io::Error, path: &Path) -> FileError {
    FileFault::Io(error.into()).at(path)
}

impl CarvedFiles {
    /// `path` is the canonical path of the store's file.
    ///
    /// # Errors
    /// If there is a file that cannot be opened: it can have ops that no other one has.
    pub(super) fn new(
        store: Box<dyn RawRows>,
        disk: &dyn Disk,
        path: &Path,
    ) -> Result<Self, FileError> {
        let open = |file| {
            let path = segment::path(path, file);
            match disk.open(&path, FileMode::Read) {
                Ok(storage) => Ok(Some(Carved { storage, path })),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(failed(error, &path)),
            }
        };
        let segments = [open(0)?, open(1)?];
        Ok(Self { store, segments })
    }
}

impl RawRows for CarvedFiles {
    fn each(&self, each: &mut dyn FnMut(RawRow<'_>)) -> Result<(), FileError> {
        self.store.each(each)?;
        for (file, segment) in (1..).zip(&self.segments) {
            if let Some(segment) = segment {
                segment.rows(file, each)?;
            }
        }
        Ok(())
    }

    fn value(&self, place: RawPlace) -> Result<Vec<u8>, FileError> {
        let Some(file) = place.file.checked_sub(1) else {
            return self.store.value(place);
        };
        let segment = self.segments.get(usize::from(file));
        let Some(Some(Carved { storage, path })) = segment else {
            let error = io::Error::from(io::ErrorKind::NotFound);
            return Err(failed(error, Path::new("a file of the journal")));
        };
        // No value that was found is longer.
        let len = usize::try_from(place.len).map_or(MAX_ROWS_BYTES, |len| len.min(MAX_ROWS_BYTES));
        let mut value = vec![0; len];
        let read = storage.read_at(place.offset, &mut value);
        read.map_err(|error| failed(error, path))?;
        Ok(value)
    }
}

impl Carved {
    fn rows(&self, file: u8, each: &mut dyn FnMut(RawRow<'_>)) -> Result<(), FileError> {
        let len = self.storage.len_bytes();
        let len = len.map_err(|error| failed(error, &self.path))?;
        let mut window = vec![0; WINDOW];
        let mut offset = RECORDS;
        while offset < len {
            let there = usize::try_from(len - offset).map_or(WINDOW, |left| left.min(WINDOW));
            let window = &mut window[..there];
            self.read(offset, window);
            offset += rows(file, offset, window, each);
        }
        Ok(())
    }

    /// Reads what can be read; the rest is zeros.
    fn read(&self, offset: u64, bytes: &mut [u8]) {
        if self.storage.read_at(offset, bytes).is_ok() {
            return;
        }
        let mut offset = offset;
        for sector in bytes.chunks_mut(SECTOR) {
            if self.storage.read_at(offset, sector).is_err() {
                sector.fill(0);
            }
            offset += size(sector.len());
        }
    }
}

fn size(len: usize) -> u64 {
    u64::try_from(len).expect("what is in memory can be counted")
}

/// Passes the rows that begin in the first step of some bytes, which stand at an offset of a file.
/// Returns how many bytes were searched.
fn rows(file: u8, offset: u64, bytes: &[u8], each: &mut dyn FnMut(RawRow<'_>)) -> u64 {
    let mut at = 0;
    while at < bytes.len().min(STEP) {
        let rest = &bytes[at..];
        let found = first_row(rest).ok();
        let found = found.filter(|row| rest.len() - row.rest.len() <= MAX_ROWS_BYTES);
        let Some(row) = found else {
            // The next body begins at the next multiple at the earliest.
            let next = (offset + size(at) + 1).next_multiple_of(size(ALIGN)) - offset;
            at = usize::try_from(next).expect("it is in memory, or just after it");
            continue;
        };
        at = bytes.len() - row.rest.len();
        if let Some(value) = row.value {
            let place = RawPlace {
                file,
                offset: offset + size(at - value.len()),
                len: u32::try_from(value.len()).expect("a row has at most a MiB"),
            };
            let key = row.key;
            each(RawRow { place, key, value });
        }
    }
    size(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::MemoryDisk;

    type Found = Vec<(Vec<u8>, Vec<u8>)>;

    fn row(nth: u32) -> (Vec<u8>, Vec<u8>) {
        let length = usize::try_from(nth % 7 * 400 + 1).unwrap();
        (nth.to_le_bytes().to_vec(), vec![7; length])
    }

    fn append(bytes: &mut Vec<u8>, (key, value): &(Vec<u8>, Vec<u8>)) {
        bytes.push(1);
        for part in [key, value] {
            bytes.extend(u32::try_from(part.len()).unwrap().to_le_bytes());
        }
        bytes.extend([&key[..], value].concat());
    }

    /// The rows that are found in a segment with these bytes from its first record on.
    fn found(bytes: &[u8]) -> Found {
        let (disk, path) = (MemoryDisk::new(), PathBuf::from("a"));
        let storage = disk.open(&path, FileMode::CreateNew).unwrap();
        storage.write_at(RECORDS, bytes).unwrap();
        let carved = Carved { storage, path };
        let mut found = Vec::new();
        let mut each = |row: RawRow<'_>| {
            let mut value = vec![0; usize::try_from(row.place.len).unwrap()];
            carved
                .storage
                .read_at(row.place.offset, &mut value)
                .unwrap();
            assert_eq!((row.place.file, &value[..]), (2, row.value));
            found.push((row.key.to_vec(), value));
        };
        carved.rows(2, &mut each).unwrap();
        found
    }

    #[test]
    fn rows_are_found_across_reads() {
        let rows: Vec<_> = (0..6000).map(row).collect();
        let mut bytes = Vec::new();
        for (nth, row) in rows.iter().enumerate() {
            if nth % 100 == 0 {
                // The head of the next record, which begins with no table.
                bytes.resize(bytes.len().next_multiple_of(ALIGN) + 64, 0);
            }
            append(&mut bytes, row);
        }
        assert!(bytes.len() > 3 * STEP);
        let found = found(&bytes);
        assert_eq!(found.len(), rows.len());
        assert!(found == rows);
    }

    #[test]
    fn a_row_of_any_length_ends_in_its_file() {
        let whole = row(3);
        for (place, length) in [(1, u32::MAX), (5, u32::MAX - 1), (5, 1 << 21), (1, 5000)] {
            let mut bytes = Vec::new();
            append(&mut bytes, &row(6));
            bytes[place..place + 4].copy_from_slice(&length.to_le_bytes());
            bytes.resize(4096, 0);
            append(&mut bytes, &whole);
            assert_eq!(
                found(&bytes),
                std::slice::from_ref(&whole),
                "{length} at {place}"
            );
        }
    }
}
