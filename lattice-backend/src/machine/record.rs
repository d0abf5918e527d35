//! Records whose values are not decoded yet.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::machine::ValueType;
use crate::machine::value_codec::{BYTES, FALSE, INTEGER, LIST, NULL, RECORD, TEXT, TRUE};

/// A record of a list, lent by [`Args::take_records`](crate::machine::Args::take_records).
#[derive(Debug, Default)]
pub struct Record<'a> {
    pub(super) fields: Vec<(&'a [u8], Field<'a>)>,
}

impl<'a> Record<'a> {
    /// The fields: name bytes and value. Names are in ascending order.
    #[inline]
    pub fn fields(&self) -> impl Iterator<Item = (&'a [u8], Field<'a>)> {
        self.fields.iter().copied()
    }
}

/// A field of a record: an encoded value.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    pub(super) kind: u8,
    /// What follows the kind; of bytes and texts, without the length.
    pub(super) content: &'a [u8],
}

/// The type of a value of this kind.
pub(super) fn type_of(kind: u8) -> ValueType {
    match kind {
        FALSE | TRUE => ValueType::Bool,
        INTEGER => ValueType::Integer,
        BYTES => ValueType::Bytes,
        TEXT => ValueType::Text,
        LIST => ValueType::List,
        RECORD => ValueType::Record,
        _ => ValueType::Null,
    }
}

impl<'a> Field<'a> {
    pub(super) fn value_type(self) -> ValueType {
        type_of(self.kind)
    }

    /// The content of bytes or of a text, if it is one.
    #[inline]
    pub(super) fn as_bytes(self) -> Option<&'a [u8]> {
        matches!(self.kind, BYTES | TEXT).then_some(self.content)
    }

    #[cold]
    #[inline(never)]
    fn other_than(self, expected: ValueType) -> String {
        let found = self.value_type();
        format!("expected {expected}, found {found}")
    }

    /// A byte string, or a text as UTF-8 bytes; `None` if it is null.
    ///
    /// # Errors
    /// The type that was found.
    #[inline]
    pub fn bytes(self) -> Result<Option<&'a [u8]>, String> {
        match self.kind {
            NULL => Ok(None),
            BYTES | TEXT => Ok(Some(self.content)),
            _ => Err(self.other_than(ValueType::Bytes)),
        }
    }

    /// A text; `None` if it is null.
    ///
    /// # Errors
    /// What was found.
    pub fn text(self) -> Result<Option<&'a str>, String> {
        match self.kind {
            NULL => Ok(None),
            TEXT => match core::str::from_utf8(self.content) {
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
        match self.kind {
            NULL => Ok(None),
            INTEGER => self.number().map(Some).map_err(|error| error.to_string()),
            _ => Err(self.other_than(ValueType::Integer)),
        }
    }
}
