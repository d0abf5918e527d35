//! Cells: the form of a key's values, and where they are stored.

use alloc::vec::Vec;

use lattice_backend::backend::Result;
use lattice_backend::op::ApplyIndex;
use lattice_meta::varint;

use super::{MAX_INSIDE, damaged};

/// A cell as its row encodes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cell<'a> {
    /// The key has one value, inline in the cell.
    Inside {
        /// The apply index of the op that put it.
        index: ApplyIndex,
        value: &'a [u8],
    },
    /// The key has one value, in a row of its own.
    Apart {
        /// The apply index of the op that put it.
        index: ApplyIndex,
    },
    /// The key has several values, each in a row of its own.
    Siblings {
        /// The apply index of the op that put the current value.
        current: ApplyIndex,
        /// The number of values, at least 2.
        count: u64,
    },
}

const INSIDE: u64 = 0;
const APART: u64 = 1;
const SIBLINGS: u64 = 2;

impl<'a> Cell<'a> {
    /// Decodes a cell's row.
    #[inline]
    pub(crate) fn decode(row: &'a [u8]) -> Result<Self> {
        let read = || {
            let mut rest = row;
            let first = varint::take(&mut rest)?;
            let index = ApplyIndex::new(first >> 2);
            match first & 3 {
                INSIDE if rest.len() <= MAX_INSIDE => Some(Self::Inside { index, value: rest }),
                APART if rest.is_empty() => Some(Self::Apart { index }),
                SIBLINGS => {
                    let count = varint::take(&mut rest)?;
                    let current = index;
                    let is_one = rest.is_empty() && count >= 2;
                    is_one.then_some(Self::Siblings { current, count })
                }
                _ => None,
            }
        };
        read().ok_or_else(|| damaged("a cell of a key-value store", row))
    }

    /// Makes `row` the cell's row.
    pub(crate) fn encode_to(&self, row: &mut Vec<u8>) {
        let (first, count, value) = match *self {
            Self::Inside { index, value } => (index.get() << 2 | INSIDE, None, value),
            Self::Apart { index } => (index.get() << 2 | APART, None, &[][..]),
            Self::Siblings { current, count } => {
                (current.get() << 2 | SIBLINGS, Some(count), &[][..])
            }
        };
        row.clear();
        varint::append(first, row);
        if let Some(count) = count {
            varint::append(count, row);
        }
        row.extend_from_slice(value);
    }

    /// The cell's row.
    #[cfg(test)]
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut row = Vec::new();
        self.encode_to(&mut row);
        row
    }

    /// The apply index of the op that put the current value.
    pub(crate) fn current(&self) -> ApplyIndex {
        match *self {
            Self::Inside { index, .. } | Self::Apart { index } => index,
            Self::Siblings { current, .. } => current,
        }
    }
}
