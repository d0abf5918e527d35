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
use alloc::vec::Vec;
use core::str::from_utf8;

use lattice_meta::{readable, varint};
use unsigned_varint::decode;

use crate::machine::record::{Field, Record};
use crate::machine::{Fields, Value};

/// The longest encoding of a value, in bytes.
pub const MAX_VALUE_BYTES: usize = 64 << 20;
/// The most values in a value: itself and all values in lists and records.
pub const MAX_VALUES: usize = 1 << 20;
/// How deep lists and records may be nested.
pub const MAX_VALUE_DEPTH: usize = 32;

/// Capacity that is allocated before the first value of a list is read.
const FIRST_CAPACITY: usize = 256;

/// The longest encoding of a number of 128 bits, and the greatest last byte of one.
const MAX_NUMBER_LEN: usize = 19;
const MAX_LAST_BYTE: u8 = 3;

pub(super) const NULL: u8 = 0;
pub(super) const FALSE: u8 = 1;
pub(super) const TRUE: u8 = 2;
pub(super) const INTEGER: u8 = 3;
pub(super) const BYTES: u8 = 4;
pub(super) const TEXT: u8 = 5;
pub(super) const LIST: u8 = 6;
pub(super) const RECORD: u8 = 7;

/// Why bytes are not the encoding of a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the encoding of a value, at byte {at}: expected {expected}")]
pub struct ValueError {
    /// Where decoding stopped.
    pub at: usize,
    /// What was expected there.
    pub expected: Cow<'static, str>,
}

/// Appends a number in LEB128.
fn append_number(mut number: u128, bytes: &mut Vec<u8>) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            return bytes.push(low);
        }
        bytes.push(low | 0x80);
    }
}

pub(super) fn append_len(len: usize, bytes: &mut Vec<u8>) {
    varint::append(u64::try_from(len).unwrap_or(u64::MAX), bytes);
}

pub(super) fn append_bytes(content: &[u8], bytes: &mut Vec<u8>) {
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
            append_number(zigzag(*number), bytes);
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
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    rest: &'a [u8],
    values: usize,
    error: Option<ValueError>,
}

impl<'a> Reader<'a> {
    #[inline(always)]
    fn fail<T>(&mut self, expected: &'static str) -> Option<T> {
        self.keep_error(expected, None);
        None
    }

    /// Fails at a limit, which the text names between `expected` and `what`.
    #[inline(always)]
    fn beyond<T>(&mut self, expected: &'static str, most: usize, what: &'static str) -> Option<T> {
        self.keep_error(expected, Some((most, what)));
        None
    }

    #[cold]
    #[inline(never)]
    fn keep_error(&mut self, expected: &'static str, most: Option<(usize, &'static str)>) {
        self.error = Some(ValueError {
            at: self.bytes.len() - self.rest.len(),
            expected: match most {
                None => expected.into(),
                Some((most, what)) => format!("{expected} {most} {what}").into(),
            },
        });
    }

    /// The kind of the next value.
    #[inline]
    fn kind(&mut self) -> Option<u8> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return self.beyond("at most", MAX_VALUES, "values");
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
        if used.len() == MAX_NUMBER_LEN && used.last() > Some(&MAX_LAST_BYTE) {
            return self.fail("a number of at most 128 bits");
        }
        self.rest = rest;
        Some(number)
    }

    /// A length or a count, at most the number of remaining bytes.
    #[inline(never)]
    fn len(&mut self) -> Option<usize> {
        let len = match self.short() {
            Some(byte) => byte.into(),
            // A number that exceeds `usize` is too long in any case.
            None => usize::try_from(self.number()?).unwrap_or(usize::MAX),
        };
        let most = self.rest.len();
        match len <= most {
            true => Some(len),
            false => self.beyond("a length of at most", most, "before here"),
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
        match from_utf8(self.content()?) {
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
            return self.beyond("at most", MAX_VALUE_DEPTH, "levels");
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
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            rest: bytes,
            values: 0,
            error: None,
        }
    }

    /// Turns a failed read into its stored error.
    pub(super) fn result<T>(&mut self, read: Option<T>) -> Result<T, ValueError> {
        read.ok_or_else(|| {
            let error = self.error.take();
            error.unwrap_or_else(|| ValueError {
                at: self.bytes.len() - self.rest.len(),
                expected: "no more bytes".into(),
            })
        })
    }

    /// Skips what comes after the kind of a value that is nested in `depth` others, and returns it.
    #[inline(never)]
    fn skip(&mut self, kind: u8, depth: usize) -> Option<&'a [u8]> {
        let from = self.rest;
        match kind {
            NULL | FALSE | TRUE => {}
            INTEGER => {
                self.number()?;
            }
            BYTES | TEXT => return self.content(),
            LIST | RECORD => {
                if depth == MAX_VALUE_DEPTH {
                    return self.beyond("at most", MAX_VALUE_DEPTH, "levels");
                }
                for _ in 0..self.len()? {
                    if kind == RECORD {
                        self.content()?;
                    }
                    let kind = self.kind()?;
                    self.skip(kind, depth + 1)?;
                }
            }
            _ => return self.fail("a value of a known kind before here"),
        }
        Some(&from[..from.len() - self.rest.len()])
    }

    /// The fields of a record that is nested in `depth` others. Their values stay undecoded.
    fn fields(&mut self, depth: usize, record: &mut Record<'a>) -> Option<()> {
        record.fields.clear();
        for _ in 0..self.len()? {
            let name = self.content()?;
            if record.fields.last().is_some_and(|(last, _)| *last >= name) {
                return self.fail("names in ascending order before here");
            }
            let kind = self.kind()?;
            let content = self.skip(kind, depth + 1)?;
            record.fields.push((name, Field { kind, content }));
        }
        Some(())
    }

    /// The fields of a whole record, as the host of a module encodes it. A list or record that is
    /// the last value is not read before it is taken: it is the rest of the bytes.
    fn checked_fields(&mut self, record: &mut Record<'a>) -> Option<()> {
        let count = self.len()?;
        for number in 1..=count {
            let name = self.content()?;
            let kind = self.kind()?;
            let content = match kind {
                LIST | RECORD if number == count => core::mem::take(&mut self.rest),
                _ => self.skip(kind, 1)?,
            };
            record.fields.push((name, Field { kind, content }));
        }
        Some(())
    }
}

/// The records of a list that is an argument.
pub(super) struct Records<'a> {
    reader: Reader<'a>,
    left: usize,
}

impl<'a> Records<'a> {
    /// Reads an encoded list without its kind.
    pub(super) fn new(list: &'a [u8]) -> Result<Self, ValueError> {
        let mut reader = Reader::new(list);
        let left = reader.len();
        let left = reader.result(left)?;
        Ok(Self { reader, left })
    }

    /// Reads the next value of the list, if any: the fields of a record into `record`. Returns its
    /// kind.
    pub(super) fn next(&mut self, record: &mut Record<'a>) -> Result<Option<u8>, ValueError> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(None);
        };
        self.left = left;
        let reader = &mut self.reader;
        let read = reader.kind().and_then(|kind| {
            match kind {
                RECORD => reader.fields(2, record)?,
                _ => drop(reader.skip(kind, 2)?),
            }
            Some(kind)
        });
        reader.result(read).map(Some)
    }
}

impl<'a> Field<'a> {
    /// The decoded number, if the field is an integer.
    pub(super) fn number(self) -> Result<i128, ValueError> {
        let mut reader = Reader::new(self.content);
        let number = reader.number();
        reader.result(number).map(unzigzag)
    }

    /// Decodes the value of an argument.
    pub(super) fn decode(self) -> Result<Value, ValueError> {
        match self.kind {
            BYTES => return Ok(Value::Bytes(self.content.to_vec())),
            TEXT => return Ok(Value::Text(self.text_of()?.into())),
            _ => {}
        }
        let mut reader = Reader::new(self.content);
        let value = match self.kind {
            LIST | RECORD => reader.nested(self.kind, 1),
            kind => reader.scalar(kind),
        };
        reader.result(value)
    }

    /// The content as a text.
    pub(super) fn text_of(self) -> Result<&'a str, ValueError> {
        from_utf8(self.content).map_err(|_| ValueError {
            at: 0,
            expected: "a text in UTF-8".into(),
        })
    }
}

/// The values of an encoded list without its kind, which is an argument.
pub(super) fn list(bytes: &[u8]) -> Result<Vec<Value>, ValueError> {
    let mut reader = Reader::new(bytes);
    let values = reader.len().and_then(|count| reader.list(count, 2));
    reader.result(values)
}

/// The fields of an encoded record, undecoded; `None` for a value of another type.
pub(super) fn record(bytes: &[u8], is_checked: bool) -> Result<Option<Record<'_>>, ValueError> {
    if bytes.len() > MAX_VALUE_BYTES || bytes.first() != Some(&RECORD) {
        return Ok(None);
    }
    let (mut reader, mut record) = (Reader::new(bytes), Record::default());
    let read = reader.kind().and_then(|_| match is_checked {
        true => reader.checked_fields(&mut record),
        false => reader.fields(0, &mut record),
    });
    if !is_checked
        && let Some((name, _)) = record.fields().find(|(name, _)| from_utf8(name).is_err())
    {
        return Err(ValueError {
            at: 0,
            expected: format!("names in UTF-8, found {}", readable(name)).into(),
        });
    }
    let read = read.filter(|()| reader.rest.is_empty());
    reader.result(read)?;
    Ok(Some(record))
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
            false => reader.beyond("at most", MAX_VALUE_BYTES, "bytes"),
        };
        let value = value.filter(|_| reader.rest.is_empty());
        reader.result(value)
    }
}
