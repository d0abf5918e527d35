//! The index of missing parents.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};

use crate::engine::ingest::pending::Slot;
use crate::op::OpRef;

/// Which pending ops miss which parents, and at which place among its parents each names them.
///
/// Ops of [`MAX_PENDING_BYTES`](super::MAX_PENDING_BYTES) name at most 930,000 parents. With entries of
/// 12 bytes the index then takes 20 to 25 MB. So an entry has a hash of 32 bits in place of a
/// reference of 72 bytes, and callers compare the whole reference. The hash has a random key: else
/// a peer could choose references that collide, and each op that matches them would cost a walk
/// over all.
#[derive(Debug, Default)]
pub(crate) struct MissingParents {
    entries: BTreeSet<(u32, Slot, u16)>,
    hasher: RandomState,
}

impl MissingParents {
    pub(crate) fn insert(&mut self, parent: &OpRef, slot: Slot, nth: u16) {
        self.entries.insert((self.hash(parent), slot, nth));
    }

    pub(crate) fn remove(&mut self, parent: &OpRef, slot: Slot, nth: u16) {
        self.entries.remove(&(self.hash(parent), slot, nth));
    }

    pub(crate) fn contains(&self, parent: &OpRef, slot: Slot, nth: u16) -> bool {
        self.entries.contains(&(self.hash(parent), slot, nth))
    }

    /// Where this parent is missing, or another one with the same hash.
    pub(crate) fn places(&self, parent: &OpRef) -> Vec<(Slot, u16)> {
        let hash = self.hash(parent);
        let all = (hash, Slot::MIN, u16::MIN)..=(hash, Slot::MAX, u16::MAX);
        let entries = self.entries.range(all);
        entries.map(|(_, slot, nth)| (*slot, *nth)).collect()
    }

    /// How many entries there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn hash(&self, parent: &OpRef) -> u32 {
        let [a, b, c, d, ..] = self.hasher.hash_one(parent).to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }
}
