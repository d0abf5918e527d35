//! Commands of the store.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;

use lattice_backend::op::OpRef;

/// A batch of writes that is applied as a whole or not at all, under conditions if it has any.
///
/// If a key is written several times, the last write counts.
#[derive(Debug, Clone, Default)]
pub struct Command {
    /// In the order of the calls.
    writes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    pub(crate) expectations: Vec<(Vec<u8>, Expectation)>,
}

/// A condition on a key for a batch. It is checked against the state that the batch then changes:
/// no other write of this replica comes between.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expectation {
    /// The key has no value.
    Absent,
    /// The key has some value.
    Present,
    /// This is the key's current value.
    Value(Vec<u8>),
    /// The key's values are the puts of exactly these ops, in any order.
    Siblings(Vec<OpRef>),
}

impl Command {
    /// An empty batch, which the store refuses.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives a key a value, and replaces all values it has.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> &mut Self {
        self.write(key.into(), Some(value.into()))
    }

    /// Removes all values of a key, if it has any.
    pub fn delete(&mut self, key: impl Into<Vec<u8>>) -> &mut Self {
        self.write(key.into(), None)
    }

    pub(crate) fn write(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) -> &mut Self {
        self.writes.push((key, value));
        self
    }

    /// Adds a condition.
    pub fn expect(&mut self, key: impl Into<Vec<u8>>, expectation: Expectation) -> &mut Self {
        self.expectations.push((key.into(), expectation));
        self
    }

    /// Number of keys written. Takes the time of sorting the writes, unless they were added in
    /// ascending order.
    pub fn len(&self) -> usize {
        self.writes().len()
    }

    /// Whether the batch has no writes.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// The last write to each key, in ascending order of keys.
    pub(crate) fn writes(&self) -> Vec<Write<'_>> {
        let given = self.writes.iter();
        let given = given.map(|(key, value)| (key.as_slice(), value.as_deref()));
        if self.writes.is_sorted_by(|a, b| a.0 < b.0) {
            return given.collect();
        }
        // By key, then in the order of the calls. A heap, since the sort functions would add tens
        // of kilobytes to a module.
        let heap: BinaryHeap<_> = (0_usize..)
            .zip(given)
            .map(|(nth, (key, value))| (key, nth, value))
            .collect();
        let mut writes: Vec<Write<'_>> = Vec::with_capacity(heap.len());
        for (key, _, value) in heap.into_sorted_vec() {
            match writes.last_mut() {
                Some(last) if last.0 == key => last.1 = value,
                _ => writes.push((key, value)),
            }
        }
        writes
    }
}

/// Commands are equal if they have the same effective writes and the same conditions.
impl PartialEq for Command {
    fn eq(&self, other: &Self) -> bool {
        self.writes() == other.writes() && self.expectations == other.expectations
    }
}

impl Eq for Command {}

/// A key with its new value, or `None` to remove all of its values.
pub(crate) type Write<'a> = (&'a [u8], Option<&'a [u8]>);
