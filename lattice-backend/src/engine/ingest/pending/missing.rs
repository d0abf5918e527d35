//! The index of missing parents.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};

use crate::engine::ingest::pending::Slot;
use crate::op::OpRef;

/// Which pending op lacks which parent, and the position of that parent in the op.
///
/// Ops of [`MAX_PENDING_BYTES`](super::MAX_PENDING_BYTES) name at most 930,000 parents. With
/// entries of 12 bytes the index then takes 20 to 25 MB. An entry therefore holds a hash of 32 bits
/// instead of a reference of 72 bytes, and callers compare the full reference. The hash has a
/// random key. Otherwise a peer could choose references that collide, and each op that matches them
/// would cost a scan of all of them.
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

    /// The entries of this parent, and of others with the same hash.
    pub(crate) fn places(&self, parent: &OpRef) -> Vec<(Slot, u16)> {
        let hash = self.hash(parent);
        let all = (hash, Slot::MIN, u16::MIN)..=(hash, Slot::MAX, u16::MAX);
        let entries = self.entries.range(all);
        entries.map(|(_, slot, nth)| (*slot, *nth)).collect()
    }

    /// The number of entries.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn hash(&self, parent: &OpRef) -> u32 {
        let [a, b, c, d, ..] = self.hasher.hash_one(parent).to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }
}
