//! Commands of the store.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::Ordering;

use lattice_backend::op::OpRef;

/// A batch of writes that is applied as a whole or not at all, under conditions if it has any.
///
/// If a key is written several times, the last write counts.
#[derive(Debug, Clone, Default)]
pub struct Command {
    writes: Writes,
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
        self.writes.insert(key, value);
        self
    }

    /// Adds a condition.
    pub fn expect(&mut self, key: impl Into<Vec<u8>>, expectation: Expectation) -> &mut Self {
        self.expectations.push((key.into(), expectation));
        self
    }

    /// Number of keys written.
    pub fn len(&self) -> usize {
        match &self.writes {
            Writes::Ascending(all) => all.len(),
            Writes::Any(all) => all.len(),
        }
    }

    /// Whether the batch has no writes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The last write to each key, in ascending order of keys.
    pub(crate) fn writes(&self) -> Vec<Write<'_>> {
        match &self.writes {
            Writes::Ascending(all) => all.iter().map(|(key, value)| write(key, value)).collect(),
            Writes::Any(all) => all.iter().map(|(key, value)| write(key, value)).collect(),
        }
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

fn write<'a>(key: &'a [u8], value: &'a Option<Vec<u8>>) -> Write<'a> {
    (key, value.as_deref())
}

/// The last write to each key. Many batches come in ascending order of keys, and a module adds to a
/// vector in a fraction of the time of a map. The first key out of order makes the map.
#[derive(Debug, Clone)]
enum Writes {
    Ascending(Vec<(Vec<u8>, Option<Vec<u8>>)>),
    Any(BTreeMap<Vec<u8>, Option<Vec<u8>>>),
}

impl Default for Writes {
    fn default() -> Self {
        Self::Ascending(Vec::new())
    }
}

impl Writes {
    fn insert(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        let all = match self {
            Self::Any(all) => {
                all.insert(key, value);
                return;
            }
            Self::Ascending(all) => all,
        };
        match all.last_mut() {
            Some((last, kept)) => match key.cmp(last) {
                Ordering::Greater => all.push((key, value)),
                Ordering::Equal => *kept = value,
                Ordering::Less => {
                    // Inserted one by one: to collect them would sort them first.
                    let mut any = BTreeMap::new();
                    for (key, value) in core::mem::take(all) {
                        any.insert(key, value);
                    }
                    any.insert(key, value);
                    *self = Self::Any(any);
                }
            },
            None => all.push((key, value)),
        }
    }
}

/// Apart from the others: no module needs it, and modules do not change with it.
#[cfg(feature = "std")]
impl Command {
    /// Adds the writes and the conditions of another batch, after those of this one.
    pub fn join(&mut self, other: Self) -> &mut Self {
        let mut write = |(key, value)| self.writes.insert(key, value);
        match other.writes {
            Writes::Ascending(all) => all.into_iter().for_each(&mut write),
            Writes::Any(all) => all.into_iter().for_each(&mut write),
        }
        self.expectations.extend(other.expectations);
        self
    }
}

#[cfg(test)]
mod tests {
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
                prop_assert_eq!(command.len(), model.len());
                prop_assert!(!command.is_empty());
            }
            let expected: Vec<Write<'_>> = model.iter().map(|(key, value)| write(key, value)).collect();
            prop_assert_eq!(command.writes(), expected);
            let mut ascending = Command::new();
            for (key, value) in &model {
                ascending.write(key.clone(), value.clone());
            }
            prop_assert!(matches!(ascending.writes, Writes::Ascending(_)));
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
