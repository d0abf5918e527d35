//! Rows by a hash of their keys.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

use crate::backend::Table;

/// A hash of a table and a key. Two of a million keys have one hash once in 37 million replays,
/// which then cannot prove that the tables are equal.
pub(super) type KeyHash = u64;

/// Hashes keys with a random key of its own for each table.
#[derive(Debug, Default)]
pub(super) struct KeyHasher([RandomState; Table::ALL.len()]);

impl KeyHasher {
    pub(super) fn hash(&self, table: Table, key: &[u8]) -> KeyHash {
        let mut hasher = self.0[table.position()].build_hasher();
        hasher.write(key);
        hasher.finish()
    }
}

/// For maps whose keys are hashes.
#[derive(Debug, Default)]
pub(super) struct Unhashed(u64);

pub(super) type ByHash = BuildHasherDefault<Unhashed>;

impl Hasher for Unhashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Which rows of the store are there.
#[derive(Debug, Default)]
pub(super) struct Marks {
    marks: HashSet<KeyHash, ByHash>,
    counts: [u64; Table::ALL.len()],
}

impl Marks {
    pub(super) fn contains(&self, table: Table, hash: KeyHash) -> bool {
        self.count(table) > 0 && self.marks.contains(&hash)
    }

    pub(super) fn insert(&mut self, table: Table, hash: KeyHash) {
        self.counts[table.position()] += u64::from(self.marks.insert(hash));
    }

    pub(super) fn remove(&mut self, table: Table, hash: KeyHash) {
        if self.count(table) > 0 && self.marks.remove(&hash) {
            self.counts[table.position()] -= 1;
        }
    }

    /// The number of marked rows of a table.
    pub(super) fn count(&self, table: Table) -> u64 {
        self.counts[table.position()]
    }

    /// Whether there would be more than `max` with so many more.
    pub(super) fn are_full(&self, more: usize, max: usize) -> bool {
        self.marks.len().saturating_add(more) > max
    }
}
