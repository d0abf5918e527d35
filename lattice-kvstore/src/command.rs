//! What a caller asks of the store.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;

use lattice_backend::op::OpRef;

/// A batch of writes that happens as a whole or not at all, on conditions if it has any.
///
/// The last write to a key is the one that counts.
#[derive(Debug, Clone, Default)]
pub struct Command {
    /// As they were given.
    writes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    pub(crate) expectations: Vec<(Vec<u8>, Expectation)>,
}

/// What a key must hold for a batch to be made. It is checked against the state that the batch
/// then changes: no other write of this replica comes between.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expectation {
    /// The key has no value.
    Absent,
    /// The key has a value, whichever.
    Present,
    /// The key's value, the one that a read gives, is this one.
    Value(Vec<u8>),
    /// The key's values are those that exactly these ops put, in any order.
    Siblings(Vec<OpRef>),
}

impl Command {
    /// A batch without writes, which is refused as it is.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives a key a value, in place of all values it has.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> &mut Self {
        self.write(key.into(), Some(value.into()))
    }

    /// Removes all values of a key. A key that has none is left as it is.
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

    /// Keys that are written. Takes as long as sorting the writes, unless they were given in
    /// ascending order.
    pub fn len(&self) -> usize {
        self.writes().len()
    }

    /// Whether nothing is written.
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
        // By key, then as given. A heap, since the functions that sort would take tens of kilobytes of a
        // module.
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

/// Commands are equal if they write the same and have the same conditions.
impl PartialEq for Command {
    fn eq(&self, other: &Self) -> bool {
        self.writes() == other.writes() && self.expectations == other.expectations
    }
}

impl Eq for Command {}

/// A key, and the value that it is given or that all of its values are removed.
pub(crate) type Write<'a> = (&'a [u8], Option<&'a [u8]>);
