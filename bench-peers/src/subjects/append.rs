//! The control: appends to a file whose blocks are allocated, and syncs it.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use super::Subject;
use crate::data::{Key, VALUE};

/// The length of the file; at its end, writing continues from the start.
const FILE_BYTES: u64 = 64 << 20;
/// The bytes of the rows that a put of Lattice changes, whatever its keys: ledger, frontier, tip,
/// and the parts of an op that all ops have.
const EVERY_COMMIT_BYTES: usize = 2700;
/// The bytes of a key and its value, in the op and in the row of `data`, without themselves.
const EVERY_KEY_BYTES: usize = 50;

/// A file without structure. It has as many bytes as Lattice has in the rows of a commit; nothing
/// can be read from it.
pub struct Append {
    file: File,
    at: u64,
    content: Vec<u8>,
}

impl Append {
    /// Creates the file and writes all of its blocks.
    pub fn new(dir: &Path) -> Self {
        let mut options = OpenOptions::new();
        let path = dir.join("append");
        let file = options.write(true).create_new(true).open(path);
        let mut file = file.expect("it is new");
        let zeros = vec![0; 1 << 20];
        for _ in 0..FILE_BYTES >> 20 {
            file.write_all(&zeros).expect("it is written");
        }
        file.sync_all().expect("it is synced");
        let (at, content) = (0, Vec::new());
        Self { file, at, content }
    }

    /// Appends bytes and syncs them.
    pub fn append(&mut self, bytes: usize) {
        self.content.resize(bytes, 0x5a);
        let length = u64::try_from(bytes).expect("it fits");
        if self.at + length > FILE_BYTES {
            self.at = 0;
        }
        let start = SeekFrom::Start(self.at);
        self.file.seek(start).expect("a place in the file");
        self.file.write_all(&self.content).expect("it is written");
        self.file.sync_data().expect("it is synced");
        self.at += length;
    }
}

impl Subject for Append {
    fn name(&self) -> &'static str {
        "append and sync"
    }

    fn commit(&mut self, keys: &[Key]) {
        let each = 2 * (16 + VALUE.len()) + EVERY_KEY_BYTES;
        self.append(EVERY_COMMIT_BYTES + keys.len() * each);
    }

    fn reads(&self) -> bool {
        false
    }

    fn get(&mut self, _: &Key) -> usize {
        0
    }

    fn scan(&mut self) -> usize {
        0
    }
}
