//! The data model of calls by name.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::machine::Fields;

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
