//! How a state differs from the replay of its history.

use std::fmt;

use lattice_meta::{Hlc, StateHash};

use crate::backend::Table;
use crate::clock::Time;
use crate::op::{ApplyIndex, OpRef};
use crate::state::EffectHash;

/// The most bytes of a key or value that a message shows.
const SHOWN_BYTES: usize = 64;

/// The bytes shown before and after the first byte that differs.
const BEFORE_BYTES: usize = 24;
const AFTER_BYTES: usize = 40;

/// The first op whose effect differs from the recorded one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpDifference {
    /// Its apply index.
    pub index: ApplyIndex,
    /// The op.
    pub op: OpRef,
    /// Its timestamp.
    pub hlc: Hlc,
    /// The recorded hash of its effect.
    pub expected: EffectHash,
    /// The hash of its effect by the given logic.
    pub found: EffectHash,
    /// The first sixteen keys of the state that it changes by the given logic.
    pub keys: Vec<Vec<u8>>,
}

/// The first row of a table that differs from the replay of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowDifference {
    /// The table.
    pub table: Table,
    /// The row's key.
    pub key: Vec<u8>,
    /// The value that the replay yields; `None` if there should be no such row.
    pub expected: Option<Vec<u8>>,
    /// The value found; `None` if there is no such row.
    pub found: Option<Vec<u8>>,
}

impl RowDifference {
    /// The place of the first byte by which both values differ; `None` if one of them is missing.
    pub fn first_byte(&self) -> Option<usize> {
        let (expected, found) = (self.expected.as_ref()?, self.found.as_ref()?);
        let mut pairs = expected.iter().zip(found);
        let shorter = expected.len().min(found.len());
        Some(
            pairs
                .position(|(one, other)| one != other)
                .unwrap_or(shorter),
        )
    }

    /// The two values without the row that has them: what the replay yields, and what was found.
    /// Of long values the surroundings of the first byte that differs.
    pub fn values(&self) -> String {
        let long = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, Vec::len) > SHOWN_BYTES;
        let place = self.first_byte();
        match place.filter(|_| long(&self.expected) || long(&self.found)) {
            None => format!(
                "computed {}, stored {}",
                row(&self.expected),
                row(&self.found)
            ),
            Some(place) => {
                let around = |value: &Option<Vec<u8>>| {
                    value
                        .as_deref()
                        .map_or_else(String::new, |value| around(value, place))
                };
                format!(
                    "byte {place} differs: computed {}, stored {}",
                    around(&self.expected),
                    around(&self.found)
                )
            }
        }
    }
}

/// A recorded state hash that differs from the one computed from the history or the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashDifference {
    /// The computed hash.
    pub expected: StateHash,
    /// The recorded hash.
    pub found: StateHash,
}

/// How the replay of the whole history differs from a store; empty where they agree.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// The first op whose effect differs.
    pub op: Option<OpDifference>,
    /// The state hash, if it differs.
    pub state: Option<HashDifference>,
    /// The first row of the state that differs.
    pub row: Option<RowDifference>,
}

impl Difference {
    /// Whether the replay and the store agree.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// Formats bytes for a message: escaped, quoted, and shortened.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(SHOWN_BYTES)];
    if cut.len() < bytes.len() {
        format!("\"{}\"... ({} bytes)", cut.escape_ascii(), bytes.len())
    } else {
        format!("\"{}\"", cut.escape_ascii())
    }
}

/// Formats the surroundings of a place in a value.
fn around(value: &[u8], place: usize) -> String {
    let start = place.saturating_sub(BEFORE_BYTES).min(value.len());
    let end = place.saturating_add(AFTER_BYTES).min(value.len());
    let before = if start > 0 { "..." } else { "" };
    let after = if end < value.len() { "..." } else { "" };
    let shown = value[start..end].escape_ascii();
    format!("{before}\"{shown}\"{after} ({} bytes)", value.len())
}

fn row(value: &Option<Vec<u8>>) -> String {
    value.as_deref().map_or_else(|| "no row".into(), shown)
}

impl fmt::Display for OpDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.keys.iter().map(|key| shown(key)).collect();
        write!(
            f,
            "op {} (index {}, by {}, made at {}) has a different effect: computed {}, recorded {}; \
             it changes {}",
            self.op.id,
            self.index,
            self.op.author,
            Time::from_ms(self.hlc.ms()),
            hex(&self.found),
            hex(&self.expected),
            if keys.is_empty() {
                "no keys".into()
            } else {
                keys.join(", ")
            }
        )
    }
}

impl fmt::Display for RowDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "row {} of table `{}`: {}",
            shown(&self.key),
            self.table,
            self.values()
        )
    }
}

impl fmt::Display for HashDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "state hash: computed {}, recorded {}",
            self.expected, self.found
        )
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.op.as_ref().map(ToString::to_string),
            self.state.as_ref().map(ToString::to_string),
            self.row.as_ref().map(ToString::to_string),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        f.write_str(&parts.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_is_shown_around_the_byte_that_differs() {
        let value = |flipped: u8| {
            let mut value = vec![b'a'; 1407];
            value[1000] = flipped;
            Some(value)
        };
        let mut difference = RowDifference {
            table: Table::Data,
            key: b"key".to_vec(),
            expected: value(b'x'),
            found: value(b'y'),
        };
        assert_eq!(difference.first_byte(), Some(1000));
        let (before, after) = ("a".repeat(24), "a".repeat(39));
        assert_eq!(
            difference.to_string(),
            format!(
                "row \"key\" of table `data`: byte 1000 differs: computed ...\"{before}x{after}\"... \
                 (1407 bytes), stored ...\"{before}y{after}\"... (1407 bytes)"
            )
        );
        difference.found = Some(b"aaa".to_vec());
        assert_eq!(difference.first_byte(), Some(3));
        assert!(difference.to_string().ends_with("stored \"aaa\" (3 bytes)"));
        difference.found = None;
        assert!(difference.to_string().ends_with("stored no row"));
    }
}
