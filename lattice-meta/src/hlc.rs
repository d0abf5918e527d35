//! Hybrid logical time.

use core::fmt;

use serde::{Deserialize, Serialize};

/// A hybrid logical timestamp in one `u64`: 48 bits of milliseconds since the Unix epoch, then a
/// 16-bit counter. Timestamps order by time.
///
/// The counter carries over into the milliseconds, so the successor of a timestamp is its number
/// plus one (Kulkarni, Demirbas et al., "Logical Physical Clocks", 2014).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hlc(u64);

/// A time that a timestamp cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HlcError {
    /// The milliseconds need more than 48 bits (a date after the year 10889).
    #[error(
        "a timestamp holds at most {} milliseconds, found {found_ms}",
        Hlc::MAX_MS
    )]
    Milliseconds {
        /// The given milliseconds.
        found_ms: u64,
    },
}

impl Hlc {
    /// The earliest timestamp.
    pub const ZERO: Self = Self(0);
    /// The greatest number of milliseconds a timestamp holds: `2^48 - 1`.
    pub const MAX_MS: u64 = (1 << 48) - 1;

    /// Takes the number as ops encode it.
    pub const fn from_u64(value: u64) -> Self {
        Self(value)
    }

    /// Packs milliseconds since the Unix epoch and a counter.
    pub const fn from_parts(ms: u64, counter: u16) -> Result<Self, HlcError> {
        if ms > Self::MAX_MS {
            return Err(HlcError::Milliseconds { found_ms: ms });
        }
        let [low, high] = counter.to_le_bytes();
        Ok(Self(
            ms << 16 | u64::from_le_bytes([low, high, 0, 0, 0, 0, 0, 0]),
        ))
    }

    /// The number as ops encode it.
    pub const fn to_u64(self) -> u64 {
        self.0
    }

    /// Milliseconds since the Unix epoch.
    pub const fn ms(self) -> u64 {
        self.0 >> 16
    }

    /// The next timestamp; `None` after the last one.
    pub const fn successor(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }
}

impl fmt::Debug for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hlc({}ms+{})", self.ms(), self.0 & 0xffff)
    }
}
