//! The strict codec of all records that Lattice stores or signs.
//!
//! The encoding is bincode 2's fixed-width, little-endian form of a serde type: integers have their
//! full width, `Option` and enums have a tag (one byte and a `u32`), sequences and strings have a
//! `u64` length. Encoded types contain no maps, sets, floats, or zero-sized elements.
//!
//! Decoding is total and canonical. It first refuses an input that is longer than the format's
//! limit. It borrows byte strings from the input. It requires that every byte is consumed, and that
//! encoding the decoded value reproduces the input. Sequences use [`bounded_seq`], which never
//! allocates by a length that the input claims. An owned string or byte string allocates at most 1
//! KiB, or sixty-four times the input. Inputs have at most 256 MiB.
//!
//! This is the only module that names bincode.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bincode::config::{Configuration, Fixint, LittleEndian};
use bincode::enc::write::Writer;
use bincode::error::{DecodeError, EncodeError};
use bincode::serde::borrow_decode_from_slice;
use serde::{Deserialize, Serialize};

const CONFIG: Configuration<LittleEndian, Fixint> = bincode::config::standard()
    .with_little_endian()
    .with_fixed_int_encoding();

/// Why bytes are not the encoding of a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The input is longer than the format allows. Nothing was decoded.
    #[error("at most {limit} bytes are allowed, found {found}")]
    TooLong {
        /// The format's limit in bytes.
        limit: usize,
        /// The input's length in bytes.
        found: usize,
    },
    /// The bytes end early, or contain an invalid value.
    #[error("malformed bytes: {reason}")]
    Malformed {
        /// What the decoder expected and found.
        reason: String,
    },
    /// Bytes follow the value.
    #[error("the value ends after {consumed} bytes, found {found}")]
    TrailingBytes {
        /// The length of the value in bytes.
        consumed: usize,
        /// The input's length in bytes.
        found: usize,
    },
    /// The value decodes, but the input is not its canonical encoding.
    #[error("the bytes are not the canonical encoding of their value")]
    NotCanonical,
    /// The value cannot be encoded: the codec does not support its type.
    #[error("the value cannot be encoded: {reason}")]
    Unsupported {
        /// The encoder's error.
        reason: String,
    },
}

/// Encodes a value.
///
/// # Errors
/// [`CodecError::Unsupported`] if the type is outside the codec's data model; never for the types
/// of this workspace.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
    let unsupported = |error: EncodeError| CodecError::Unsupported {
        reason: error.to_string(),
    };
    // Measure first: growing a buffer while writing costs more.
    let mut length = Length(0);
    bincode::serde::encode_into_writer(value, &mut length, CONFIG).map_err(unsupported)?;
    let mut bytes = Vec::with_capacity(length.0);
    bincode::serde::encode_into_writer(value, Appender(&mut bytes), CONFIG).map_err(unsupported)?;
    Ok(bytes)
}

/// A writer that counts bytes.
struct Length(usize);

impl Writer for Length {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0 += bytes.len();
        Ok(())
    }
}

/// A writer that appends to a buffer.
struct Appender<'a>(&'a mut Vec<u8>);

impl Writer for Appender<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// Decodes a value that takes all of `bytes`, which may have at most `limit_bytes`.
///
/// # Errors
/// If [`encode`] did not produce the input; see [`CodecError`].
pub fn decode<'a, T>(bytes: &'a [u8], limit_bytes: usize) -> Result<T, CodecError>
where
    T: Deserialize<'a> + Serialize,
{
    if bytes.len() > limit_bytes {
        return Err(CodecError::TooLong {
            limit: limit_bytes,
            found: bytes.len(),
        });
    }
    let (value, consumed): (T, usize) = read(bytes).map_err(|error| CodecError::Malformed {
        reason: error.to_string(),
    })?;
    if consumed != bytes.len() {
        return Err(CodecError::TrailingBytes {
            consumed,
            found: bytes.len(),
        });
    }
    let mut comparison = Comparison { rest: bytes };
    match bincode::serde::encode_into_writer(&value, &mut comparison, CONFIG) {
        Ok(()) if comparison.rest.is_empty() => Ok(value),
        _ => Err(CodecError::NotCanonical),
    }
}

/// Decodes a value from the start of the bytes. An owned string or byte string allocates the length
/// that the input claims, so the decoder refuses lengths over a limit: the smallest of these limits
/// that the whole input fits in.
fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<(T, usize), DecodeError> {
    match bytes.len() {
        0..=0x400 => borrow_decode_from_slice(bytes, CONFIG.with_limit::<0x400>()),
        0x401..=0x1_0000 => borrow_decode_from_slice(bytes, CONFIG.with_limit::<0x1_0000>()),
        0x1_0001..=0x10_0000 => borrow_decode_from_slice(bytes, CONFIG.with_limit::<0x10_0000>()),
        0x10_0001..=0x100_0000 => {
            borrow_decode_from_slice(bytes, CONFIG.with_limit::<0x100_0000>())
        }
        _ => borrow_decode_from_slice(bytes, CONFIG.with_limit::<0x1000_0000>()),
    }
}

/// A writer that compares the bytes written with the input, without a second buffer.
struct Comparison<'a> {
    rest: &'a [u8],
}

impl Writer for Comparison<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        match self.rest.strip_prefix(bytes) {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None => Err(EncodeError::Other("differs")),
        }
    }
}

/// `#[serde(deserialize_with)]` for a sequence of at most `MAX` elements. It refuses a longer
/// sequence before it reads an element, and grows with the elements that are actually there.
pub mod bounded_seq {
    use alloc::vec::Vec;
    use core::fmt;
    use core::marker::PhantomData;

    use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

    /// Capacity allocated before the first element is read, whatever length the input claims.
    const FIRST_CAPACITY: usize = 64;

    /// Deserializes a sequence of at most `MAX` elements.
    ///
    /// # Errors
    /// If the sequence is longer or an element does not deserialize.
    pub fn deserialize<'de, D, T, const MAX: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
    where
        D: Deserializer<'de>,
        T: Deserialize<'de>,
    {
        deserializer.deserialize_seq(Bounded::<T, MAX>(PhantomData))
    }

    struct Bounded<T, const MAX: usize>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Bounded<T, MAX> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a sequence of at most {MAX} elements")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let claimed = seq.size_hint().unwrap_or(0);
            if claimed > MAX {
                return Err(A::Error::invalid_length(claimed, &self));
            }
            let mut elements = Vec::with_capacity(claimed.min(FIRST_CAPACITY));
            while let Some(element) = seq.next_element()? {
                elements.push(element);
            }
            Ok(elements)
        }
    }
}
