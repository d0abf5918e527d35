//! The bytes of a payload, equal to those of the codec of stored records: integers in full width,
//! little endian; lengths and counts of 64 bits; a byte that says whether a value follows.
//!
//! The codec reads a reference byte by byte, through a chain of generic calls, which takes ten
//! times as long in a module. This code therefore reads slices; a test compares it with the codec.

use alloc::vec::Vec;

use lattice_backend::op::OpRef;
use lattice_meta::{OpId, PubKey};

use super::{EMPTY_LEN, FORMAT, MAX_REFS, MAX_SUPERSEDES, Payload, PayloadError, WRITE_LEN, Write};
use crate::MAX_BATCH;

/// Capacity reserved before the first element is read, whatever a count claims.
const FIRST_CAPACITY: usize = 64;

impl Payload<'_> {
    /// The payload's bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let writes = self.writes.iter().map(|write| {
            let value = write.value.map_or(0, <[u8]>::len);
            WRITE_LEN + write.key.len() + 4 * write.supersedes.len() + value
        });
        let len = EMPTY_LEN + OpRef::KEY_LEN * self.refs.len() + writes.sum::<usize>();
        let mut bytes = Vec::with_capacity(len);
        bytes.push(FORMAT);
        append_len(self.refs.len(), &mut bytes);
        for op in &self.refs {
            bytes.extend_from_slice(op.author.as_bytes());
            bytes.extend_from_slice(&op.seq.to_le_bytes());
            bytes.extend_from_slice(op.id.as_bytes());
        }
        append_len(self.writes.len(), &mut bytes);
        for write in &self.writes {
            append_bytes(write.key, &mut bytes);
            append_len(write.supersedes.len(), &mut bytes);
            for place in &write.supersedes {
                bytes.extend_from_slice(&place.to_le_bytes());
            }
            match write.value {
                None => bytes.push(0),
                Some(value) => {
                    bytes.push(1);
                    append_bytes(value, &mut bytes);
                }
            }
        }
        bytes
    }
}

fn append_len(len: usize, bytes: &mut Vec<u8>) {
    let len = u64::try_from(len).expect("a length has at most 64 bits");
    bytes.extend_from_slice(&len.to_le_bytes());
}

fn append_bytes(content: &[u8], bytes: &mut Vec<u8>) {
    append_len(content.len(), bytes);
    bytes.extend_from_slice(content);
}

/// Parses a payload; the caller checks its rules.
pub(super) fn read(bytes: &[u8]) -> Result<Payload<'_>, PayloadError> {
    let mut reader = Reader {
        rest: bytes,
        expected: "no more bytes",
    };
    let payload = reader.payload();
    if let Some(payload) = payload
        && reader.rest.is_empty()
    {
        return Ok(payload);
    }
    Err(match bytes.first() {
        Some(&found) if found != FORMAT => PayloadError::Format {
            found: found.into(),
        },
        _ => PayloadError::Bytes {
            at: bytes.len() - reader.rest.len(),
            expected: reader.expected,
        },
    })
}

/// Reads bytes from the front. A read that fails returns `None` and keeps what it expected: a
/// result that holds an error is larger, and a module would move it from call to call.
struct Reader<'a> {
    rest: &'a [u8],
    expected: &'static str,
}

impl<'a> Reader<'a> {
    #[cold]
    #[inline(never)]
    fn fail<T>(&mut self, expected: &'static str) -> Option<T> {
        self.expected = expected;
        None
    }

    #[inline]
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        match self.rest.split_at_checked(len) {
            Some((taken, rest)) => {
                self.rest = rest;
                Some(taken)
            }
            None => self.fail("more bytes after here"),
        }
    }

    #[inline]
    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn number(&mut self) -> Option<u64> {
        let taken = self.take(8)?;
        Some(u64::from_le_bytes(taken.try_into().ok()?))
    }

    /// A length or a count, at most `most`.
    fn len(&mut self, most: usize) -> Option<usize> {
        match usize::try_from(self.number()?) {
            Ok(len) if len <= most => Some(len),
            _ => self.fail("a smaller number before here"),
        }
    }

    fn content(&mut self, most: usize) -> Option<&'a [u8]> {
        let len = self.len(most)?;
        self.take(len)
    }

    fn payload(&mut self) -> Option<Payload<'a>> {
        let most = self.rest.len();
        if self.byte()? != FORMAT {
            return None;
        }
        let count = self.len(MAX_REFS)?;
        let mut refs = Vec::with_capacity(count.min(FIRST_CAPACITY));
        for _ in 0..count {
            refs.push(OpRef {
                author: PubKey::from_slice(self.take(PubKey::LEN)?)?,
                seq: self.number()?,
                id: OpId::from_slice(self.take(OpId::LEN)?)?,
            });
        }
        let count = self.len(MAX_BATCH)?;
        let mut writes = Vec::with_capacity(count.min(FIRST_CAPACITY));
        for _ in 0..count {
            writes.push(Write {
                key: self.content(most)?,
                supersedes: self.places()?,
                value: match self.byte()? {
                    0 => None,
                    1 => Some(self.content(most)?),
                    _ => return self.fail("a byte 0 or 1 before here"),
                },
            });
        }
        Some(Payload { refs, writes })
    }

    fn places(&mut self) -> Option<Vec<u32>> {
        let count = self.len(MAX_SUPERSEDES)?;
        let mut places = Vec::with_capacity(count.min(FIRST_CAPACITY));
        for _ in 0..count {
            places.push(u32::from_le_bytes(self.take(4)?.try_into().ok()?));
        }
        Some(places)
    }
}
