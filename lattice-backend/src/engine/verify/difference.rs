//! How a state differs from what its history says.

use std::fmt;

use lattice_meta::{Hlc, StateHash};

use crate::backend::Table;
use crate::op::{ApplyIndex, OpRef};
use crate::state::EffectHash;

/// Bytes of a key or value that a message shows.
const SHOWN_BYTES: usize = 64;

/// The first op that does something else than was recorded of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpDifference {
    /// Its position in the order of application.
    pub index: ApplyIndex,
    /// The op.
    pub op: OpRef,
    /// When it was made.
    pub hlc: Hlc,
    /// The hash of what it did, as it was recorded.
    pub expected: EffectHash,
    /// The hash of what it does by the logic at hand.
    pub found: EffectHash,
    /// Keys of the state that it changes by the logic at hand; the first sixteen.
    pub keys: Vec<Vec<u8>>,
}

/// The first row of a table that is not what history makes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowDifference {
    /// The table.
    pub table: Table,
    /// The row's key.
    pub key: Vec<u8>,
    /// What history makes of it; nothing if there is to be no such row.
    pub expected: Option<Vec<u8>>,
    /// What stands there; nothing if there is no such row.
    pub found: Option<Vec<u8>>,
}

/// A state hash that is not what history, or the state itself, makes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashDifference {
    /// What was computed.
    pub expected: StateHash,
    /// What the store says.
    pub found: StateHash,
}

/// How a replay of the whole history differs from a store: nothing where they agree.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// The first op with another effect.
    pub op: Option<OpDifference>,
    /// The state hash, if it is another.
    pub state: Option<HashDifference>,
    /// The first row of the state that is another.
    pub row: Option<RowDifference>,
}

impl Difference {
    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// Bytes in a message: escaped, quoted, and not too many of them.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(SHOWN_BYTES)];
    if cut.len() < bytes.len() {
        format!("\"{}\"... ({} bytes)", cut.escape_ascii(), bytes.len())
    } else {
        format!("\"{}\"", cut.escape_ascii())
    }
}

fn row(value: &Option<Vec<u8>>) -> String {
    value.as_deref().map_or_else(|| "no row".into(), shown)
}

impl fmt::Display for OpDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.keys.iter().map(|key| shown(key)).collect();
        write!(
            f,
            "op {} (number {}, by {}, made at {} ms) has another effect than was recorded: recorded \
             {}, computed {}; it changes {}",
            self.op.id,
            self.index,
            self.op.author,
            self.hlc.ms(),
            hex(&self.expected),
            hex(&self.found),
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
            "row {} of table `{}`: computed {}, stored {}",
            shown(&self.key),
            self.table,
            row(&self.expected),
            row(&self.found)
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
