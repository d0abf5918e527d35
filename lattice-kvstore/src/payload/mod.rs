//! The payload of an op, format 1.
//!
//! Encoded as every stored record: `{ format: u8, refs: [OpRef], writes: [{ key: bytes,
//! supersedes: [u32], value: bytes or none }] }`, where `supersedes` are places in `refs`. A write
//! with a value is a put, one without is a delete.
//!
//! Whether a payload is valid depends on its bytes alone. Each meaning has one encoding: keys, refs
//! and places are in strictly ascending order, and each ref is used.

mod bytes;

use alloc::vec;
use alloc::vec::Vec;

use lattice_backend::op::{MAX_OP_BYTES, OpRef};

use crate::MAX_KEY_BYTES;

/// The only known format.
pub(crate) const FORMAT: u8 = 1;

/// Upper bound of the number of refs that fit into an op.
const MAX_REFS: usize = MAX_OP_BYTES / OpRef::KEY_LEN;
/// Upper bound of superseded siblings in an op, at four bytes each.
const MAX_SUPERSEDES: usize = MAX_OP_BYTES / 4;

/// Maximum number of values that one op may supersede. Each can become a mark, a row of 65 bytes
/// for at least 4 bytes of payload, so this bounds the memory that applying an op takes.
pub(crate) const MAX_SUPERSEDED: usize = 1 << 18;
/// Limit on the keys of superseded values, in payload lengths. A key counts each time it is
/// superseded: sibling rows are looked up by key, and a place takes 4 bytes.
pub(crate) const MAX_KEY_WEIGHT: usize = 64;
/// Maximum bytes of these keys, which bounds the memory that removing their rows takes.
pub(crate) const MAX_SUPERSEDED_KEY_BYTES: usize = 32 << 20;

/// Bytes of a payload without refs and writes.
pub(crate) const EMPTY_LEN: usize = 1 + 8 + 8;
/// Bytes of a write apart from its key, supersedes and value. A write without a value has eight
/// bytes less.
pub(crate) const WRITE_LEN: usize = 8 + 8 + 1 + 8;
/// Maximum bytes of one more superseded sibling: a ref of its own, and its place.
pub(crate) const SUPERSEDED_LEN: usize = OpRef::KEY_LEN + 4;

/// A payload as it is encoded; it is valid if `KvMachine` decoded it.
#[derive(Debug, PartialEq, Eq)]
pub struct Payload<'a> {
    pub(crate) refs: Vec<OpRef>,
    pub(crate) writes: Vec<Write<'a>>,
}

/// The write of a payload to one key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Write<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) supersedes: Vec<u32>,
    pub(crate) value: Option<&'a [u8]>,
}

/// Why bytes are not a valid payload. An op with such a payload has no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PayloadError {
    #[error("at most {MAX_OP_BYTES} bytes are allowed, found {found}")]
    TooLong { found: usize },
    #[error("not the encoding of a payload, at byte {at}: expected {expected}")]
    Bytes { at: usize, expected: &'static str },
    #[error("expected payload format {}, found {found}", u32::from(FORMAT))]
    Format { found: u32 },
    #[error("a payload writes to 1 key or more, found none")]
    NoWrites,
    #[error("an empty key")]
    EmptyKey,
    #[error("a key has at most {MAX_KEY_BYTES} bytes, found {found}")]
    KeyTooLong { found: usize },
    #[error("keys are not in strictly ascending order")]
    KeyOrder,
    #[error("refs are not in strictly ascending order")]
    RefOrder,
    #[error("a write's supersedes are not in strictly ascending order")]
    SupersedesOrder,
    #[error("place {found} in {refs} refs")]
    Place { found: u32, refs: usize },
    #[error("ref {place} is not used")]
    UnusedRef { place: usize },
    #[error("an op supersedes at most {MAX_SUPERSEDED} values, found {found} or more")]
    TooManySuperseded { found: usize },
    #[error(
        "the keys of superseded values have at most {MAX_KEY_WEIGHT} times as many bytes as the \
         payload, and at most {MAX_SUPERSEDED_KEY_BYTES}; found {found}, with a payload of {len}"
    )]
    TooHeavy { found: usize, len: usize },
}

/// Maximum bytes of keys of superseded values for a payload of `len` bytes. A key counts as often
/// as it is superseded.
pub(crate) fn max_key_bytes(len: usize) -> usize {
    MAX_SUPERSEDED_KEY_BYTES.min(MAX_KEY_WEIGHT.saturating_mul(len))
}

impl<'a> Payload<'a> {
    /// Parses a payload and checks every rule.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, PayloadError> {
        if bytes.len() > MAX_OP_BYTES {
            return Err(PayloadError::TooLong { found: bytes.len() });
        }
        let payload = bytes::read(bytes)?;
        payload.check_keys()?;
        payload.check_refs()?;
        payload.check_weight(bytes.len())?;
        Ok(payload)
    }

    fn check_keys(&self) -> Result<(), PayloadError> {
        let Some(first) = self.writes.first() else {
            return Err(PayloadError::NoWrites);
        };
        // In strictly ascending order, only the first key can be empty.
        if first.key.is_empty() {
            return Err(PayloadError::EmptyKey);
        }
        if !self.writes.is_sorted_by(|a, b| a.key < b.key) {
            return Err(PayloadError::KeyOrder);
        }
        match self
            .writes
            .iter()
            .find(|write| write.key.len() > MAX_KEY_BYTES)
        {
            Some(write) => Err(PayloadError::KeyTooLong {
                found: write.key.len(),
            }),
            None => Ok(()),
        }
    }

    fn check_refs(&self) -> Result<(), PayloadError> {
        if !self.refs.is_sorted_by(|a, b| a.cmp(b).is_lt()) {
            return Err(PayloadError::RefOrder);
        }
        let mut used = vec![false; self.refs.len()];
        let mut superseded = 0;
        for write in &self.writes {
            if !write.supersedes.is_sorted_by(|a, b| a < b) {
                return Err(PayloadError::SupersedesOrder);
            }
            for &found in &write.supersedes {
                let place = usize::try_from(found)
                    .ok()
                    .and_then(|place| used.get_mut(place));
                *place.ok_or(PayloadError::Place {
                    found,
                    refs: self.refs.len(),
                })? = true;
            }
            superseded += write.supersedes.len();
            if superseded > MAX_SUPERSEDED {
                return Err(PayloadError::TooManySuperseded { found: superseded });
            }
        }
        match used.iter().position(|used| !used) {
            Some(place) => Err(PayloadError::UnusedRef { place }),
            None => Ok(()),
        }
    }

    fn check_weight(&self, len: usize) -> Result<(), PayloadError> {
        // Neither factor can overflow: a key has at most 4,096 bytes, places must fit in an op.
        let weights = self.writes.iter();
        let found = weights
            .map(|write| write.supersedes.len() * write.key.len())
            .sum();
        match found > max_key_bytes(len) {
            true => Err(PayloadError::TooHeavy { found, len }),
            false => Ok(()),
        }
    }
}

/// Converts a place in the refs that [`Payload::decode`] has checked.
pub(crate) fn place_of(place: u32) -> usize {
    usize::try_from(place).expect("decode has found this place in refs")
}

#[cfg(test)]
mod tests;
