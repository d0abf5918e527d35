//! The records of a list, as a call shows them one by one.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::machine::{Value, ValueType};

/// A record of a list, lent by [`Args::take_records`](crate::machine::Args::take_records).
#[derive(Debug, Default)]
pub struct Record<'a> {
    pub(super) fields: Vec<(&'a [u8], Field<'a>)>,
}

impl<'a> Record<'a> {
    /// Calls `each` for the values that `next` reads until it returns an error; returns that error.
    pub(super) fn show_all<E>(
        each: &mut dyn FnMut(&Record<'_>) -> Result<(), String>,
        mut next: impl FnMut(&mut Self) -> Result<Option<ValueType>, E>,
    ) -> Result<Option<String>, E> {
        let (mut record, mut place) = (Self::default(), 0_usize);
        while let Some(found) = next(&mut record)? {
            let shown = match found {
                ValueType::Record => each(&record),
                other => Err(format!("expected a record, found {other}")),
            };
            if let Err(reason) = shown {
                return Ok(Some(format!("record {place}: {reason}")));
            }
            place += 1;
        }
        Ok(None)
    }

    /// Takes the fields of a value if it is a record; returns the value's type.
    pub(super) fn read(&mut self, value: &'a Value) -> ValueType {
        self.fields.clear();
        if let Value::Record(fields) = value {
            let fields = fields.iter();
            let fields = fields.map(|(name, value)| (name.as_bytes(), value.into()));
            self.fields.extend(fields);
        }
        value.value_type()
    }

    /// The fields: name bytes and value. Names are in ascending order.
    #[inline]
    pub fn fields(&self) -> impl Iterator<Item = (&'a [u8], Field<'a>)> {
        self.fields.iter().copied()
    }
}

/// A field of a record.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a>(pub(super) Plain<'a>);

/// A value as a field stores it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Plain<'a> {
    Null,
    Bytes(&'a [u8]),
    Text(&'a [u8]),
    Integer(i128),
    Other(ValueType),
}

impl<'a> From<&'a Value> for Field<'a> {
    fn from(value: &'a Value) -> Self {
        Self(match value {
            Value::Null => Plain::Null,
            Value::Bytes(bytes) => Plain::Bytes(bytes),
            Value::Text(text) => Plain::Text(text.as_bytes()),
            Value::Integer(number) => Plain::Integer(*number),
            other => Plain::Other(other.value_type()),
        })
    }
}

impl<'a> Field<'a> {
    #[cold]
    fn other_than(self, expected: ValueType) -> String {
        let found = match self.0 {
            Plain::Null => ValueType::Null,
            Plain::Bytes(_) => ValueType::Bytes,
            Plain::Text(_) => ValueType::Text,
            Plain::Integer(_) => ValueType::Integer,
            Plain::Other(found) => found,
        };
        format!("expected {expected}, found {found}")
    }

    /// A byte string, or a text as UTF-8 bytes; `None` if it is null.
    ///
    /// # Errors
    /// The type that was found.
    #[inline]
    pub fn bytes(self) -> Result<Option<&'a [u8]>, String> {
        match self.0 {
            Plain::Null => Ok(None),
            Plain::Bytes(bytes) | Plain::Text(bytes) => Ok(Some(bytes)),
            _ => Err(self.other_than(ValueType::Bytes)),
        }
    }

    /// A text; `None` if it is null.
    ///
    /// # Errors
    /// What was found.
    pub fn text(self) -> Result<Option<&'a str>, String> {
        match self.0 {
            Plain::Null => Ok(None),
            Plain::Text(text) => match core::str::from_utf8(text) {
                Ok(text) => Ok(Some(text)),
                Err(error) => Err(error.to_string()),
            },
            _ => Err(self.other_than(ValueType::Text)),
        }
    }

    /// An integer; `None` if it is null.
    ///
    /// # Errors
    /// What was found.
    pub fn integer(self) -> Result<Option<i128>, String> {
        match self.0 {
            Plain::Null => Ok(None),
            Plain::Integer(number) => Ok(Some(number)),
            _ => Err(self.other_than(ValueType::Integer)),
        }
    }
}
