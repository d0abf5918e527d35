//! Why the store refuses a command.

use alloc::vec::Vec;
use core::fmt;

use lattice_backend::op::{MAX_PAYLOAD_BYTES, OpRef};

use lattice_meta::readable_start;

use crate::{Expectation, MAX_BATCH, MAX_KEY_BYTES};

/// Why a batch is refused. Nothing of it was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KvRefusal {
    /// The batch has no writes.
    #[error("the batch writes to no key")]
    EmptyBatch,
    /// The batch has more writes than one op takes.
    #[error("a batch writes to at most {MAX_BATCH} keys, found {found}; split it")]
    TooManyWrites {
        /// Keys written.
        found: usize,
    },
    /// A key is empty.
    #[error("a key has at least 1 byte, found an empty one")]
    EmptyKey,
    /// A key is too long.
    #[error("a key has at most {MAX_KEY_BYTES} bytes, found {len}")]
    KeyTooLong {
        /// Bytes of the key.
        len: usize,
    },
    /// The batch does not fit into one op.
    #[error("a batch takes at most {MAX_PAYLOAD_BYTES} bytes in all, found {len}; split it")]
    TooLarge {
        /// Bytes of the payload that the batch would make.
        len: usize,
    },
    /// A deleted key has more values than one op can remove.
    #[error(
        "key {} has {siblings} concurrent values, more than one batch removes; put a value first, \
         which replaces as many as fit",
        Shown(key)
    )]
    TooManySiblings {
        /// The key.
        key: Vec<u8>,
        /// How many values it has.
        siblings: usize,
    },
    /// A condition does not hold.
    #[error("expected key {} to have {expected}, found {found}", Shown(key))]
    Expectation {
        /// The key.
        key: Vec<u8>,
        /// What the batch expected.
        expected: Expectation,
        /// What the key holds.
        found: Found,
    },
}

/// What a key held when an expectation failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found {
    /// No value.
    Absent,
    /// This current value.
    Value(Vec<u8>),
    /// The puts of these ops, that of the current value first; for [`Expectation::Siblings`].
    Siblings(Vec<OpRef>),
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("no value"),
            Self::Present => f.write_str("a value"),
            Self::Value(value) => write!(f, "value {}", Shown(value)),
            Self::Siblings(ops) => show_siblings(f, ops),
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("no value"),
            Self::Value(value) => write!(f, "value {}", Shown(value)),
            Self::Siblings(ops) => show_siblings(f, ops),
        }
    }
}

/// Shows only the first few: a key can have thousands.
fn show_siblings(f: &mut fmt::Formatter<'_>, ops: &[OpRef]) -> fmt::Result {
    const SHOWN: usize = 3;
    write!(f, "{} siblings", ops.len())?;
    for (place, op) in ops.iter().take(SHOWN).enumerate() {
        write!(f, "{}{op}", if place == 0 { ": " } else { ", " })?;
    }
    if ops.len() > SHOWN {
        f.write_str(", ...")
    } else {
        Ok(())
    }
}

/// Bytes in a message: escaped, quoted, and truncated.
struct Shown<'a>(&'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 40;
        let shown = readable_start(self.0, SHOWN);
        match shown.strip_suffix("...") {
            Some(start) if self.0.len() > SHOWN => {
                write!(f, "\"{start}\"... ({} bytes)", self.0.len())
            }
            _ => write!(f, "\"{shown}\""),
        }
    }
}
