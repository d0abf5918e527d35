//! The fields of a record.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Index;

use crate::machine::Value;

/// The fields of a record: values by name, in the ascending order of the names' bytes.
///
/// A record has few fields, so they stand in one sorted vector. A field that comes in order is added
/// in constant time, any other in time that grows with the number of fields.
///
/// ```
/// use lattice_backend::machine::{Fields, Value};
///
/// let mut fields: Fields = [("b", Value::Null), ("a", Value::Bool(true))].into();
/// assert_eq!(fields.insert("b", 2.into()), Some(Value::Null));
/// assert_eq!(fields.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["a", "b"]);
/// assert_eq!(fields["b"], Value::Integer(2));
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fields {
    fields: Vec<(String, Value)>,
}

impl Fields {
    /// No fields.
    pub const fn new() -> Self {
        Self { fields: Vec::new() }
    }

    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self {
            fields: Vec::with_capacity(capacity),
        }
    }

    /// The last name.
    pub(crate) fn last(&self) -> Option<&str> {
        self.fields.last().map(|(name, _)| &**name)
    }

    /// Adds a field whose name comes after all others.
    pub(crate) fn push(&mut self, name: &str, value: Value) {
        self.fields.push((name.into(), value));
    }

    /// Where a name stands, or would stand.
    fn place(&self, name: &str) -> Result<usize, usize> {
        match self.fields.last() {
            Some((last, _)) if name <= last.as_str() => self
                .fields
                .binary_search_by(|(other, _)| other.as_str().cmp(name)),
            _ => Err(self.fields.len()),
        }
    }

    /// Gives a field a value; what it had, if it was there.
    pub fn insert(&mut self, name: impl Into<String>, value: Value) -> Option<Value> {
        let name = name.into();
        match self.place(&name) {
            Ok(place) => Some(core::mem::replace(&mut self.fields[place].1, value)),
            Err(place) => {
                self.fields.insert(place, (name, value));
                None
            }
        }
    }

    /// Removes a field; its value, if it was there.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let place = self.place(name).ok()?;
        Some(self.fields.remove(place).1)
    }

    /// A field's value.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let place = self.place(name).ok()?;
        Some(&self.fields[place].1)
    }

    /// Whether there is such a field.
    pub fn contains(&self, name: &str) -> bool {
        self.place(name).is_ok()
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The fields, in the order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.fields.iter().map(|(name, value)| (&**name, value))
    }

    /// Removes fields for which `keep` is false.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &Value) -> bool) {
        self.fields.retain(|(name, value)| keep(name, value));
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Index<&str> for Fields {
    type Output = Value;

    fn index(&self, name: &str) -> &Value {
        self.get(name).expect("the record has the field")
    }
}

impl IntoIterator for Fields {
    type Item = (String, Value);
    type IntoIter = vec::IntoIter<(String, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.fields.into_iter()
    }
}

impl<N: Into<String>> Extend<(N, Value)> for Fields {
    fn extend<I: IntoIterator<Item = (N, Value)>>(&mut self, fields: I) {
        for (name, value) in fields {
            self.insert(name, value);
        }
    }
}

impl<N: Into<String>> FromIterator<(N, Value)> for Fields {
    fn from_iter<I: IntoIterator<Item = (N, Value)>>(fields: I) -> Self {
        let mut record = Self::new();
        record.extend(fields);
        record
    }
}

impl<N: Into<String>, const COUNT: usize> From<[(N, Value); COUNT]> for Fields {
    fn from(fields: [(N, Value); COUNT]) -> Self {
        fields.into_iter().collect()
    }
}
