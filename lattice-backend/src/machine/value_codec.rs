//! The encoding of a [`Value`], for calls across the boundary of a module.
//!
//! A value starts with a byte for its kind. Then come: nothing for null (0), false (1) and true
//! (2); the number in zigzag and LEB128 for an integer (3); a length in LEB128 and the bytes for a
//! byte string (4) and a text (5); a count in LEB128 and the values for a list (6); a count, and
//! for each field a text without its kind byte and a value, for a record (7), with names in
//! ascending order of their bytes. A value has exactly one encoding: numbers have the shortest
//! form, names are unique.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use unsigned_varint::{decode, encode};

use crate::machine::record::{Field, Plain, Record};
use crate::machine::{Fields, Value, ValueType};

/// The longest encoding of a value, in bytes.
pub const MAX_VALUE_BYTES: usize = 64 << 20;
/// The most values in a value: itself and all values in lists and records.
pub const MAX_VALUES: usize = 1 << 20;
/// How deep lists and records may be nested.
pub const MAX_VALUE_DEPTH: usize = 32;

/// Capacity that is allocated before the first value of a list is read.
const FIRST_CAPACITY: usize = 256;

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INTEGER: u8 = 3;
const BYTES: u8 = 4;
const TEXT: u8 = 5;
const LIST: u8 = 6;
const RECORD: u8 = 7;

/// Why bytes are not the encoding of a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the encoding of a value, at byte {at}: expected {expected}")]
pub struct ValueError {
    /// Where decoding stopped.
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

/// Maps numbers near zero to small ones: 0, -1, 1, -2, ... to 0, 1, 2, 3, ...
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
            for (name, value) in fields.iter() {
                append_bytes(name.as_bytes(), bytes);
                append(value, bytes);
            }
        }
    }
}

/// Reads bytes from the front. A read that fails returns `None` and stores the reason: a module
/// spends much of a call here, and a result that holds an error is twice as large as a value.
struct Reader<'a> {
    bytes: &'a [u8],
    rest: &'a [u8],
    values: usize,
    error: Option<ValueError>,
}

impl<'a> Reader<'a> {
    #[inline(always)]
    fn fail<T>(&mut self, expected: impl Into<Cow<'static, str>>) -> Option<T> {
        self.keep_error(expected.into());
        None
    }

    #[cold]
    #[inline(never)]
    fn keep_error(&mut self, expected: Cow<'static, str>) {
        self.error = Some(ValueError {
            at: self.bytes.len() - self.rest.len(),
            expected: expected.into_owned(),
        });
    }

    /// The kind of the next value.
    #[inline]
    fn kind(&mut self) -> Option<u8> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return self.fail(format!("at most {MAX_VALUES} values"));
        }
        match self.rest.split_first() {
            Some((&kind, rest)) => {
                self.rest = rest;
                Some(kind)
            }
            None => self.fail("a value"),
        }
    }

    /// A number of one byte, which most are.
    #[inline(always)]
    fn short(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first().filter(|(byte, _)| **byte < 0x80)?;
        self.rest = rest;
        Some(byte)
    }

    /// A number in its shortest form. The crate also accepts some that are too long for the type.
    #[inline(never)]
    fn number(&mut self) -> Option<u128> {
        if let Some(byte) = self.short() {
            return Some(byte.into());
        }
        let Ok((number, rest)) = decode::u128(self.rest) else {
            return self.fail("a number in the shortest form");
        };
        let used = &self.rest[..self.rest.len() - rest.len()];
        if used != encode::u128(number, &mut encode::u128_buffer()) {
            return self.fail("a number of at most 128 bits");
        }
        self.rest = rest;
        Some(number)
    }

    /// A length or a count, at most the number of remaining bytes.
    #[inline]
    fn len(&mut self) -> Option<usize> {
        let len = match self.short() {
            Some(byte) => byte.into(),
            // A number that exceeds `usize` is too long in any case.
            None => usize::try_from(self.number()?).unwrap_or(usize::MAX),
        };
        let most = self.rest.len();
        match len <= most {
            true => Some(len),
            false => self.fail(format!("a length of at most {most} before here")),
        }
    }

    #[inline(always)]
    fn content(&mut self) -> Option<&'a [u8]> {
        let len = self.len()?;
        let (content, rest) = self.rest.split_at(len);
        self.rest = rest;
        Some(content)
    }

    #[inline]
    fn text(&mut self) -> Option<&'a str> {
        match core::str::from_utf8(self.content()?) {
            Ok(text) => Some(text),
            Err(_) => self.fail("a text in UTF-8 before here"),
        }
    }

    /// A value nested in `depth` lists and records.
    #[inline]
    fn value(&mut self, depth: usize) -> Option<Value> {
        let kind = self.kind()?;
        match kind {
            LIST | RECORD => self.nested(kind, depth),
            _ => self.scalar(kind),
        }
    }

    #[inline(never)]
    fn scalar(&mut self, kind: u8) -> Option<Value> {
        match kind {
            NULL => Some(Value::Null),
            FALSE => Some(Value::Bool(false)),
            TRUE => Some(Value::Bool(true)),
            INTEGER => Some(Value::Integer(unzigzag(self.number()?))),
            BYTES => Some(Value::Bytes(self.content()?.to_vec())),
            TEXT => Some(Value::Text(self.text()?.into())),
            _ => self.fail("a value of a known kind before here"),
        }
    }

    /// A list or record nested in `depth` others.
    #[inline(never)]
    fn nested(&mut self, kind: u8, depth: usize) -> Option<Value> {
        if depth == MAX_VALUE_DEPTH {
            return self.fail(format!("at most {MAX_VALUE_DEPTH} levels"));
        }
        let count = self.len()?;
        match kind {
            LIST => self.list(count, depth + 1).map(Value::List),
            _ => self.record(count, depth + 1),
        }
    }

    #[inline]
    fn list(&mut self, count: usize, depth: usize) -> Option<Vec<Value>> {
        // The count is only a claim: allocate for the first values, and grow as more arrive.
        let mut values = Vec::with_capacity(count.min(FIRST_CAPACITY));
        for _ in 0..count {
            values.push(self.value(depth)?);
        }
        Some(values)
    }

    #[inline]
    fn record(&mut self, count: usize, depth: usize) -> Option<Value> {
        let mut fields = Fields::with_capacity(count.min(FIRST_CAPACITY));
        for _ in 0..count {
            let name = self.text()?;
            if fields.last().is_some_and(|last| last >= name) {
                return self.fail("names in ascending order before here");
            }
            let value = self.value(depth)?;
            fields.push(name, value);
        }
        Some(Value::Record(fields))
    }
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            rest: bytes,
            values: 0,
            error: None,
        }
    }

    /// Turns a failed read into its stored error.
    fn result<T>(&mut self, read: Option<T>) -> Result<T, ValueError> {
        read.ok_or_else(|| {
            let error = self.error.take();
            error.unwrap_or_else(|| ValueError {
                at: self.bytes.len() - self.rest.len(),
                expected: "no more bytes".into(),
            })
        })
    }

    /// Skips a value.
    fn skip(&mut self, depth: usize) -> Option<()> {
        match self.kind()? {
            NULL | FALSE | TRUE => {}
            INTEGER => {
                self.number()?;
            }
            BYTES | TEXT => {
                self.content()?;
            }
            kind @ (LIST | RECORD) => self.skip_nested(kind, depth)?,
            _ => return self.fail("a value of a known kind before here"),
        }
        Some(())
    }

    #[inline(never)]
    fn skip_nested(&mut self, kind: u8, depth: usize) -> Option<()> {
        if depth == MAX_VALUE_DEPTH {
            return self.fail(format!("at most {MAX_VALUE_DEPTH} levels"));
        }
        for _ in 0..self.len()? {
            if kind == RECORD {
                self.content()?;
            }
            self.skip(depth + 1)?;
        }
        Some(())
    }

    /// Skips the values of a list that is an argument.
    fn skip_list(&mut self) -> Option<List<'a>> {
        let count = self.len()?;
        let from = self.rest;
        for _ in 0..count {
            self.skip(2)?;
        }
        let bytes = &from[..from.len() - self.rest.len()];
        Some(List { count, bytes })
    }

    /// The fields of a record; lists are skipped.
    fn fields(&mut self) -> Option<Vec<Named<'a>>> {
        let count = self.len()?;
        let mut fields: Vec<Named<'a>> = Vec::with_capacity(count.min(FIRST_CAPACITY));
        for _ in 0..count {
            let name = self.text()?;
            if fields.last().is_some_and(|(last, _)| **last >= *name) {
                return self.fail("names in ascending order before here");
            }
            let given = match self.rest.first() {
                Some(&LIST) => {
                    self.kind()?;
                    Given::List(self.skip_list()?)
                }
                _ => Given::Value(self.value(1)?),
            };
            fields.push((name.into(), given));
        }
        Some(fields)
    }

    /// Reads the next value of a list if it is a record; returns its type otherwise. Texts stay
    /// undecoded.
    fn plain_record(&mut self, fields: &mut Vec<(&'a [u8], Field<'a>)>) -> Option<ValueType> {
        fields.clear();
        if self.rest.first() != Some(&RECORD) {
            return Some(self.value(2)?.value_type());
        }
        self.kind()?;
        for _ in 0..self.len()? {
            let name = self.content()?;
            if fields.last().is_some_and(|(last, _)| *last >= name) {
                return self.fail("names in ascending order before here");
            }
            let kind = self.kind()?;
            let value = match kind {
                BYTES => Plain::Bytes(self.content()?),
                TEXT => Plain::Text(self.content()?),
                NULL => Plain::Null,
                INTEGER => Plain::Integer(unzigzag(self.number()?)),
                LIST | RECORD => Plain::Other(self.nested(kind, 3)?.value_type()),
                _ => Plain::Other(self.scalar(kind)?.value_type()),
            };
            fields.push((name, Field(value)));
        }
        Some(ValueType::Record)
    }
}

/// An argument and its name.
pub(super) type Named<'a> = (Cow<'a, str>, Given<'a>);

/// An argument as the caller gave it.
#[derive(Debug)]
pub(super) enum Given<'a> {
    Value(Value),
    List(List<'a>),
}

/// The encoded values of a list, and how many they are.
#[derive(Debug)]
pub(super) struct List<'a> {
    count: usize,
    bytes: &'a [u8],
}

/// Reads the values of a list.
pub(super) struct Values<'a> {
    reader: Reader<'a>,
    left: usize,
}

impl Given<'_> {
    pub(super) fn value_type(&self) -> ValueType {
        match self {
            Self::Value(value) => value.value_type(),
            Self::List(_) => ValueType::List,
        }
    }

    pub(super) fn into_value(self) -> Result<Value, ValueError> {
        match self {
            Self::Value(value) => Ok(value),
            Self::List(list) => list.into_values().map(Value::List),
        }
    }
}

impl<'a> List<'a> {
    pub(super) fn values(&self) -> Values<'a> {
        let (reader, left) = (Reader::new(self.bytes), self.count);
        Values { reader, left }
    }

    pub(super) fn into_values(self) -> Result<Vec<Value>, ValueError> {
        let Values { mut reader, left } = self.values();
        let values = reader.list(left, 2);
        reader.result(values)
    }
}

impl<'a> Values<'a> {
    /// Reads the next value, if any, into `record`; returns its type.
    pub(super) fn next_record(
        &mut self,
        record: &mut Record<'a>,
    ) -> Result<Option<ValueType>, ValueError> {
        match self.left.checked_sub(1) {
            None => Ok(None),
            Some(left) => {
                self.left = left;
                let read = self.reader.plain_record(&mut record.fields);
                self.reader.result(read).map(Some)
            }
        }
    }
}

/// The fields of a record, with lists undecoded; `None` for a value of another type.
pub(super) fn fields(bytes: &[u8]) -> Result<Option<Vec<Named<'_>>>, ValueError> {
    if bytes.len() > MAX_VALUE_BYTES || bytes.first() != Some(&RECORD) {
        return Ok(None);
    }
    let mut reader = Reader::new(bytes);
    let fields = reader.kind().and_then(|_| reader.fields());
    let fields = fields.filter(|_| reader.rest.is_empty());
    reader.result(fields).map(Some)
}

impl Value {
    /// Encodes the value: kind byte and contents.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        append(self, &mut bytes);
        bytes
    }

    /// Decodes a value: all bytes, in canonical form only. The number of bytes and [`MAX_VALUES`]
    /// bound what it allocates.
    ///
    /// # Errors
    /// [`ValueError`] if the bytes are malformed or exceed [`MAX_VALUE_BYTES`] or
    /// [`MAX_VALUE_DEPTH`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ValueError> {
        let mut reader = Reader::new(bytes);
        let value = match bytes.len() <= MAX_VALUE_BYTES {
            true => reader.value(0),
            false => reader.fail(format!("at most {MAX_VALUE_BYTES} bytes")),
        };
        let value = value.filter(|_| reader.rest.is_empty());
        reader.result(value)
    }
}
