//! The bytes of a [`Value`], for calls that cross the border of a module.
//!
//! A byte for the kind, then: nothing for null (0), false (1) and true (2); the number, in zigzag
//! and LEB128, for an integer (3); a length in LEB128 and so many bytes for a byte string (4) and a
//! text (5); a count in LEB128 and the values for a list (6); a count, and a text without its kind
//! byte and a value for each field of a record (7), the names in ascending order of their bytes.
//! A value has one encoding: numbers are of the shortest form, names are unique.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use unsigned_varint::{decode, encode};

use crate::machine::Value;

/// The longest encoding of a value, in bytes.
pub const MAX_VALUE_BYTES: usize = 64 << 20;
/// The most values in a value, itself and those in lists and records.
pub const MAX_VALUES: usize = 1 << 20;
/// How deep lists and records may be nested.
pub const MAX_VALUE_DEPTH: usize = 32;

/// Values that room is made for before the first of a list is read.
const FIRST_CAPACITY: usize = 256;

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INTEGER: u8 = 3;
const BYTES: u8 = 4;
const TEXT: u8 = 5;
const LIST: u8 = 6;
const RECORD: u8 = 7;

/// Bytes that are not the encoding of a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the encoding of a value, at byte {at}: expected {expected}")]
pub struct ValueError {
    /// Where reading ended.
    pub at: usize,
    /// What was expected there.
    pub expected: String,
}

fn append_len(len: usize, bytes: &mut Vec<u8>) {
    let mut buffer = encode::u64_buffer();
    let len = u64::try_from(len).unwrap_or(u64::MAX);
    bytes.extend_from_slice(encode::u64(len, &mut buffer));
}

fn append_bytes(content: &[u8], bytes: &mut Vec<u8>) {
    append_len(content.len(), bytes);
    bytes.extend_from_slice(content);
}

/// Numbers near zero become small ones: 0, -1, 1, -2, ... are 0, 1, 2, 3, ...
fn zigzag(number: i128) -> u128 {
    ((number << 1) ^ (number >> 127)).cast_unsigned()
}

fn unzigzag(number: u128) -> i128 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

fn append(value: &Value, bytes: &mut Vec<u8>) {
    match value {
        Value::Null => bytes.push(NULL),
        Value::Bool(false) => bytes.push(FALSE),
        Value::Bool(true) => bytes.push(TRUE),
        Value::Integer(number) => {
            bytes.push(INTEGER);
            let mut buffer = encode::u128_buffer();
            bytes.extend_from_slice(encode::u128(zigzag(*number), &mut buffer));
        }
        Value::Bytes(content) => {
            bytes.push(BYTES);
            append_bytes(content, bytes);
        }
        Value::Text(text) => {
            bytes.push(TEXT);
            append_bytes(text.as_bytes(), bytes);
        }
        Value::List(values) => {
            bytes.push(LIST);
            append_len(values.len(), bytes);
            values.iter().for_each(|value| append(value, bytes));
        }
        Value::Record(fields) => {
            bytes.push(RECORD);
            append_len(fields.len(), bytes);
            for (name, value) in fields {
                append_bytes(name.as_bytes(), bytes);
                append(value, bytes);
            }
        }
    }
}

/// Bytes that are read from the front.
struct Reader<'a> {
    bytes: &'a [u8],
    rest: &'a [u8],
    values: usize,
}

impl<'a> Reader<'a> {
    #[cold]
    fn expected(&self, expected: impl Into<String>) -> ValueError {
        ValueError {
            at: self.bytes.len() - self.rest.len(),
            expected: expected.into(),
        }
    }

    fn byte(&mut self) -> Result<u8, ValueError> {
        let (byte, rest) = self
            .rest
            .split_first()
            .ok_or_else(|| self.expected("a value"))?;
        self.rest = rest;
        Ok(*byte)
    }

    /// A number of one byte, as most are.
    fn short(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first().filter(|(byte, _)| **byte < 0x80)?;
        self.rest = rest;
        Some(byte)
    }

    /// A number in its shortest form. The package also reads some that are too long for the type.
    #[inline(never)]
    fn number(&mut self) -> Result<u128, ValueError> {
        if let Some(byte) = self.short() {
            return Ok(byte.into());
        }
        let (number, rest) =
            decode::u128(self.rest).map_err(|_| self.expected("a number in the shortest form"))?;
        let used = &self.rest[..self.rest.len() - rest.len()];
        if used != encode::u128(number, &mut encode::u128_buffer()) {
            return Err(self.expected("a number of at most 128 bits"));
        }
        self.rest = rest;
        Ok(number)
    }

    /// A length or a count, of at most as much as there are bytes.
    fn len(&mut self) -> Result<usize, ValueError> {
        let len = match self.short() {
            Some(byte) => Some(byte.into()),
            None => usize::try_from(self.number()?).ok(),
        };
        let most = self.rest.len();
        let len = len.filter(|len| *len <= most);
        len.ok_or_else(|| self.expected(format!("a length of at most {most} before here")))
    }

    fn content(&mut self) -> Result<&'a [u8], ValueError> {
        let len = self.len()?;
        let (content, rest) = self.rest.split_at(len);
        self.rest = rest;
        Ok(content)
    }

    fn text(&mut self) -> Result<&'a str, ValueError> {
        let content = self.content()?;
        core::str::from_utf8(content).map_err(|_| self.expected("a text in UTF-8 before here"))
    }

    /// A value that is in so many lists and records.
    fn value(&mut self, depth: usize) -> Result<Value, ValueError> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(self.expected(format!("at most {MAX_VALUES} values")));
        }
        match self.byte()? {
            NULL => Ok(Value::Null),
            FALSE => Ok(Value::Bool(false)),
            TRUE => Ok(Value::Bool(true)),
            INTEGER => Ok(Value::Integer(unzigzag(self.number()?))),
            BYTES => Ok(Value::Bytes(self.content()?.to_vec())),
            TEXT => Ok(Value::Text(self.text()?.into())),
            LIST | RECORD if depth == MAX_VALUE_DEPTH => {
                Err(self.expected(format!("at most {MAX_VALUE_DEPTH} levels")))
            }
            LIST => self.list(depth + 1),
            RECORD => self.record(depth + 1),
            _ => Err(self.expected("a value of a known kind before here")),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, ValueError> {
        let count = self.len()?;
        // A count is a claim: room is made for the first ones, and more as they come.
        let mut values = Vec::with_capacity(count.min(FIRST_CAPACITY));
        for _ in 0..count {
            values.push(self.value(depth)?);
        }
        Ok(Value::List(values))
    }

    fn record(&mut self, depth: usize) -> Result<Value, ValueError> {
        let count = self.len()?;
        let (mut fields, mut last) = (BTreeMap::new(), None);
        for _ in 0..count {
            let name = self.text()?;
            if last.is_some_and(|last| last >= name) {
                return Err(self.expected("names in ascending order before here"));
            }
            fields.insert(name.into(), self.value(depth)?);
            last = Some(name);
        }
        Ok(Value::Record(fields))
    }
}

impl Value {
    /// The value's bytes: a kind, and what is of that kind.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        append(self, &mut bytes);
        bytes
    }

    /// Reads the bytes of a value: all of them, in their one form. What is allocated is bounded by
    /// the number of bytes and by [`MAX_VALUES`].
    ///
    /// # Errors
    /// [`ValueError`] for anything else, and past [`MAX_VALUE_BYTES`] and [`MAX_VALUE_DEPTH`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ValueError> {
        let mut reader = Reader {
            bytes,
            rest: bytes,
            values: 0,
        };
        if bytes.len() > MAX_VALUE_BYTES {
            return Err(reader.expected(format!("at most {MAX_VALUE_BYTES} bytes")));
        }
        let value = reader.value(0)?;
        match reader.rest {
            [] => Ok(value),
            _ => Err(reader.expected("no more bytes")),
        }
    }
}
