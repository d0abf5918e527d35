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
            bytes.push(u8::from(write.value.is_some()));
            if let Some(value) = write.value {
                append_bytes(value, &mut bytes);
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
    let mut reader = Reader { bytes, at: 0 };
    let [format] = reader.array()?;
    if format != FORMAT {
        return Err(PayloadError::Format { found: format });
    }
    let refs = reader.list(MAX_REFS, Reader::op)?;
    let writes = reader.list(MAX_BATCH, Reader::write)?;
    match reader.at == bytes.len() {
        true => Ok(Payload { refs, writes }),
        false => Err(reader.expected("no more bytes")),
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn expected(&self, expected: &'static str) -> PayloadError {
        PayloadError::Bytes {
            at: self.at,
            expected,
        }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], PayloadError> {
        let taken = self.bytes[self.at..].get(..len);
        let taken = taken.ok_or_else(|| self.expected("more bytes after here"))?;
        self.at += len;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PayloadError> {
        let taken = self.take(N)?;
        Ok(taken.try_into().expect("so many were taken"))
    }

    /// A length or a count, at most `most`.
    fn len(&mut self, most: usize) -> Result<usize, PayloadError> {
        let len = u64::from_le_bytes(self.array()?);
        let len = usize::try_from(len).ok().filter(|len| *len <= most);
        len.ok_or_else(|| self.expected("a smaller number before here"))
    }

    fn list<T>(
        &mut self,
        most: usize,
        one: impl Fn(&mut Self) -> Result<T, PayloadError>,
    ) -> Result<Vec<T>, PayloadError> {
        let count = self.len(most)?;
        let mut all = Vec::with_capacity(count.min(FIRST_CAPACITY));
        for _ in 0..count {
            all.push(one(self)?);
        }
        Ok(all)
    }

    fn op(&mut self) -> Result<OpRef, PayloadError> {
        Ok(OpRef {
            author: PubKey::from_bytes(self.array()?),
            seq: u64::from_le_bytes(self.array()?),
            id: OpId::from_bytes(self.array()?),
        })
    }

    fn content(&mut self) -> Result<&'a [u8], PayloadError> {
        let len = self.len(self.bytes.len())?;
        self.take(len)
    }

    fn write(&mut self) -> Result<Write<'a>, PayloadError> {
        Ok(Write {
            key: self.content()?,
            supersedes: self.list(MAX_SUPERSEDES, |reader| {
                Ok(u32::from_le_bytes(reader.array()?))
            })?,
            value: match self.array()? {
                [0] => None,
                [1] => Some(self.content()?),
                _ => return Err(self.expected("a byte 0 or 1 before here")),
            },
        })
    }
}
