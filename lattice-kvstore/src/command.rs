//! What a caller asks of the store.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use lattice_backend::op::OpRef;

/// A batch of writes that happens as a whole or not at all, on conditions if it has any.
///
/// The last write to a key is the one that counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Command {
    pub(crate) writes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
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
        self.writes.insert(key.into(), Some(value.into()));
        self
    }

    /// Removes all values of a key. A key that has none is left as it is.
    pub fn delete(&mut self, key: impl Into<Vec<u8>>) -> &mut Self {
        self.writes.insert(key.into(), None);
        self
    }

    /// Adds a condition.
    pub fn expect(&mut self, key: impl Into<Vec<u8>>, expectation: Expectation) -> &mut Self {
        self.expectations.push((key.into(), expectation));
        self
    }

    /// Keys that are written.
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }
}
