//! Positions of entries in a log.

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use lattice_meta::{Hlc, OpId};

use crate::run::Run;

/// The position of an entry: logs are ordered by the time of the op, its id, and the index of the
/// entry in it. An entry's position never changes, while its ordinal changes as soon as an older
/// entry arrives from another replica.
///
/// As text it is the timestamp in hexadecimal, the op's id and the index:
///
/// ```
/// use lattice_logstore::Position;
/// use lattice_meta::{Hlc, OpId};
///
/// let op = OpId::from_bytes([0xab; 32]);
/// let position = Position { hlc: Hlc::from_u64(0x18bcfe568000007), op, index: 3 };
/// let text = position.to_string();
/// assert!(text.starts_with("018bcfe568000007-abab"));
/// assert!(text.ends_with("abab-3"));
/// assert_eq!(text.parse(), Ok(position));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// When the op was made, by its author's hybrid clock.
    pub hlc: Hlc,
    /// The op that carries the entry.
    pub op: OpId,
    /// The entry's index in the op, from 0.
    pub index: u32,
}

impl Position {
    /// Length of [`Self::to_key`], in bytes.
    pub const KEY_LEN: usize = 8 + 32 + 4;

    /// After every possible entry: no op holds this many.
    pub(crate) const END: Self = Self {
        hlc: Hlc::from_u64(u64::MAX),
        op: OpId::from_bytes([0xff; 32]),
        index: u32::MAX,
    };

    /// Before every entry of this millisecond or later; [`Self::END`] for a time that no entry can
    /// have.
    pub(crate) fn at_ms(ms: u64) -> Self {
        Hlc::from_parts(ms, 0).map_or(Self::END, |hlc| Self {
            hlc,
            op: OpId::ZERO,
            index: 0,
        })
    }

    /// The position as a key whose byte order is that of positions: timestamp, op id, index, with
    /// integers in big endian.
    pub fn to_key(&self) -> [u8; Self::KEY_LEN] {
        let mut key = [0; Self::KEY_LEN];
        key[..8].copy_from_slice(&self.hlc.to_u64().to_be_bytes());
        key[8..40].copy_from_slice(self.op.as_bytes());
        key[40..].copy_from_slice(&self.index.to_be_bytes());
        key
    }

    /// The first part of the key, which all entries of an op share.
    pub(crate) fn run_key(&self) -> [u8; Run::KEY_LEN] {
        *self
            .to_key()
            .first_chunk()
            .expect("a key begins with that of its run")
    }

    /// Parses the result of [`Self::to_key`]; `None` for any other length.
    pub fn from_key(key: &[u8]) -> Option<Self> {
        let (hlc, rest) = key.split_first_chunk::<8>()?;
        let (op, index) = rest.split_first_chunk::<32>()?;
        Some(Self {
            hlc: Hlc::from_u64(u64::from_be_bytes(*hlc)),
            op: OpId::from_bytes(*op),
            index: u32::from_be_bytes(index.try_into().ok()?),
        })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}-{}", self.hlc.to_u64(), self.op, self.index)
    }
}

/// Error of a text that is not a position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PositionError {
    /// The text does not have the three parts of a position.
    #[error("expected a position (16 digits, an op id, an index, with hyphens), found {found:?}")]
    Form {
        /// The beginning of the text.
        found: String,
    },
}

/// Parses only the output of `Display`, so that every position has one text.
impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (hlc, rest) = text.split_once('-')?;
            let (op, index) = rest.split_once('-')?;
            let hlc = Hlc::from_u64(u64::from_str_radix(hlc, 16).ok()?);
            Some(Self {
                hlc,
                op: op.parse().ok()?,
                index: index.parse().ok()?,
            })
        };
        let is_its_text = |position: &Self| alloc::format!("{position}") == text;
        read()
            .filter(is_its_text)
            .ok_or_else(|| PositionError::Form {
                found: text.chars().take(120).collect(),
            })
    }
}
