//! Commands of the store.

use alloc::vec::Vec;
use core::cmp::Ordering;

use lattice_backend::op::OpRef;

use crate::order::order;

/// A batch of writes that is applied as a whole or not at all, under conditions if it has any.
///
/// If a key is written several times, the last write counts. All are kept in memory until then.
#[derive(Debug, Clone, Default)]
pub struct Command {
    /// In the order given, but for a write that directly follows one to the same key.
    writes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Whether a key is less than or equal to one before it.
    is_unordered: bool,
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

    /// Most batches come in ascending order of keys.
    pub(crate) fn write(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) -> &mut Self {
        let last = self.writes.last_mut();
        match last.map_or(Ordering::Greater, |(last, _)| key.cmp(last)) {
            Ordering::Equal => {
                self.writes.pop();
            }
            Ordering::Less => self.is_unordered = true,
            Ordering::Greater => {}
        }
        self.writes.push((key, value));
        self
    }

    /// Adds a condition.
    pub fn expect(&mut self, key: impl Into<Vec<u8>>, expectation: Expectation) -> &mut Self {
        self.expectations.push((key.into(), expectation));
        self
    }

    /// Number of writes given. A key that was written twice, with another between, counts twice.
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// Whether the batch has no writes.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// The last write to each key, in ascending order of keys.
    pub(crate) fn writes(&self) -> Vec<Write<'_>> {
        let given = self.writes.iter();
        if !self.is_unordered {
            let write = given.map(|(key, value)| (&key[..], value.as_deref()));
            return write.collect();
        }
        let at = |place: usize| (&self.writes[place].0, place);
        let places = order(self.writes.len(), &|a, b| at(a) < at(b));
        let mut writes = Vec::<Write<'_>>::with_capacity(places.len());
        for place in places {
            let (key, value) = &self.writes[place];
            if writes.last().is_some_and(|(last, _)| last == key) {
                writes.pop();
            }
            writes.push((key, value.as_deref()));
        }
        writes
    }
}

/// Commands are equal if they have the same writes and the same conditions.
impl PartialEq for Command {
    fn eq(&self, other: &Self) -> bool {
        self.writes() == other.writes() && self.expectations == other.expectations
    }
}

impl Eq for Command {}

/// A key with its new value, or `None` to remove all of its values.
pub(crate) type Write<'a> = (&'a [u8], Option<&'a [u8]>);

/// Apart from the others: no module needs it, and modules do not change with it.
#[cfg(feature = "std")]
impl Command {
    /// Adds the writes and the conditions of another batch, after those of this one.
    pub fn join(&mut self, other: Self) -> &mut Self {
        for (key, value) in other.writes {
            self.write(key, value);
        }
        self.expectations.extend(other.expectations);
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_writes_are_those_of_a_map(given in vec(("[a-c]{0,2}", any::<Option<u8>>()), 0..30)) {
            let (mut command, mut model) = (Command::new(), BTreeMap::new());
            for (key, value) in given {
                let (key, value) = (key.into_bytes(), value.map(|byte| Vec::from([byte])));
                command.write(key.clone(), value.clone());
                model.insert(key, value);
                prop_assert!(command.len() >= model.len());
                prop_assert!(!command.is_empty());
            }
            let expected = model.iter().map(|(key, value)| (&key[..], value.as_deref()));
            let expected: Vec<Write<'_>> = expected.collect();
            prop_assert_eq!(command.writes(), expected);
            let mut ascending = Command::new();
            for (key, value) in &model {
                ascending.write(key.clone(), value.clone());
            }
            prop_assert!(!ascending.is_unordered);
            prop_assert_eq!(ascending.len(), model.len());
            prop_assert_eq!(command, ascending);
        }

        #[test]
        fn joined_commands_are_their_writes_in_order(
            given in vec(vec(("[a-c]{0,2}", any::<Option<u8>>()), 0..5), 0..6),
        ) {
            let (mut joined, mut one) = (Command::new(), Command::new());
            for writes in given {
                let mut command = Command::new();
                for (key, value) in writes {
                    let (key, value) = (key.into_bytes(), value.map(|byte| Vec::from([byte])));
                    command.write(key.clone(), value.clone());
                    command.expect(key.clone(), Expectation::Present);
                    one.write(key.clone(), value);
                    one.expect(key, Expectation::Present);
                }
                joined.join(command);
            }
            prop_assert_eq!(joined, one);
        }
    }
}
