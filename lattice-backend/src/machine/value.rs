//! The data model of calls by name.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Index;

/// An argument or a result of a call by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Value {
    /// Nothing.
    Null,
    /// A Boolean.
    Bool(bool),
    /// An integer; wide enough for every `u64` and `i64`.
    Integer(i128),
    /// A byte string.
    Bytes(Vec<u8>),
    /// A text.
    Text(String),
    /// Values in order.
    List(Vec<Value>),
    /// Named values.
    Record(Fields),
}

impl Value {
    /// The value's type.
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::Null => ValueType::Null,
            Self::Bool(_) => ValueType::Bool,
            Self::Integer(_) => ValueType::Integer,
            Self::Bytes(_) => ValueType::Bytes,
            Self::Text(_) => ValueType::Text,
            Self::List(_) => ValueType::List,
            Self::Record(_) => ValueType::Record,
        }
    }

    /// A record of these fields.
    pub fn record<const N: usize>(fields: [(&str, Value); N]) -> Self {
        Self::Record(fields.into())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Integer(number.into())
    }
}

impl From<Option<Vec<u8>>> for Value {
    fn from(bytes: Option<Vec<u8>>) -> Self {
        bytes.map_or(Self::Null, Self::Bytes)
    }
}

/// The type of a [`Value`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ValueType {
    /// [`Value::Null`].
    Null,
    /// [`Value::Bool`].
    Bool,
    /// [`Value::Integer`].
    Integer,
    /// [`Value::Bytes`]; a parameter of this type also accepts [`Value::Text`], as UTF-8 bytes.
    Bytes,
    /// [`Value::Text`].
    Text,
    /// [`Value::List`].
    List,
    /// [`Value::Record`].
    Record,
}

impl ValueType {
    /// The type's name in descriptions and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "bool",
            Self::Integer => "integer",
            Self::Bytes => "bytes",
            Self::Text => "text",
            Self::List => "list",
            Self::Record => "record",
        }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The fields of a record: values by name, ascending by the bytes of the names.
///
/// A record has few fields, so they are in one sorted vector. Adding a field in order takes
/// constant time; out of order, the time grows with the number of fields.
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
    /// A record without fields.
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

    /// Appends a field whose name is greater than all others.
    pub(crate) fn push(&mut self, name: &str, value: Value) {
        self.fields.push((name.into(), value));
    }

    /// The index of a name, or where it would be inserted.
    fn place(&self, name: &str) -> Result<usize, usize> {
        match self.fields.last() {
            Some((last, _)) if name <= last.as_str() => self
                .fields
                .binary_search_by(|(other, _)| other.as_str().cmp(name)),
            _ => Err(self.fields.len()),
        }
    }

    /// Sets a field. Returns its previous value, if any.
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

    /// Removes a field. Returns its value, if any.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let place = self.place(name).ok()?;
        Some(self.fields.remove(place).1)
    }

    /// A field's value.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let place = self.place(name).ok()?;
        Some(&self.fields[place].1)
    }

    /// Whether the record has the field.
    pub fn contains(&self, name: &str) -> bool {
        self.place(name).is_ok()
    }

    /// The number of fields.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The fields, ascending by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.fields.iter().map(|(name, value)| (&**name, value))
    }

    /// Removes the fields for which `keep` returns false.
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
