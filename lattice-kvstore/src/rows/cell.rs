//! Cells: who put a key's value, and the value.

use alloc::vec::Vec;

use lattice_backend::{OpRef, Result, Stamp};
use lattice_meta::{Hlc, OpId, PubKey, varint};

use super::{damaged, take};

/// A cell as it stands in its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cell<'a> {
    /// How many further heads the key has.
    pub(crate) others: u32,
    /// The number of the op that put the value.
    pub(crate) number: u64,
    pub(crate) value: &'a [u8],
}

impl<'a> Cell<'a> {
    /// Reads a cell's row.
    #[inline]
    pub(crate) fn decode(row: &'a [u8]) -> Result<Self> {
        let read = || {
            let mut rest = row;
            let first = varint::take(&mut rest)?;
            // A count that stands there is not 0: every cell has one form.
            let others = match first & 1 {
                0 => 0,
                _ => u32::try_from(varint::take(&mut rest)?)
                    .ok()
                    .filter(|others| *others > 0)?,
            };
            Some(Self {
                others,
                number: first >> 1,
                value: rest,
            })
        };
        read().ok_or_else(|| damaged("a cell that begins with the number of an op", row))
    }

    /// The row of a cell.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut row = Vec::with_capacity(2 * varint::MAX_LEN + self.value.len());
        varint::append(self.number << 1 | u64::from(self.others > 0), &mut row);
        if self.others > 0 {
            varint::append(self.others.into(), &mut row);
        }
        row.extend_from_slice(self.value);
        row
    }
}

/// A cell as its leaf has it, and as its row had it in schema 1: the same on every replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FullCell<'a> {
    pub(crate) others: u32,
    pub(crate) winner: Stamp,
    pub(crate) value: &'a [u8],
}

impl<'a> FullCell<'a> {
    /// Bytes in front of the value.
    pub(crate) const HEADER_LEN: usize = 4 + 8 + 32 + 8 + 32;

    /// Reads a cell's row of schema 1.
    pub(crate) fn decode(row: &'a [u8]) -> Result<Self> {
        let mut rest = row;
        let cell = (|| {
            let others = u32::from_le_bytes(take(&mut rest)?);
            let hlc = Hlc::from_u64(u64::from_le_bytes(take(&mut rest)?));
            let author = PubKey::from_bytes(take(&mut rest)?);
            let seq = u64::from_le_bytes(take(&mut rest)?);
            let id = OpId::from_bytes(take(&mut rest)?);
            let op = OpRef { author, seq, id };
            Some((others, Stamp { hlc, op }))
        })();
        let (others, winner) = cell.ok_or_else(|| damaged("a cell of 84 bytes and more", row))?;
        Ok(Self {
            others,
            winner,
            value: rest,
        })
    }

    /// The value of the leaf.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut leaf = Vec::with_capacity(Self::HEADER_LEN + self.value.len());
        leaf.extend_from_slice(&self.others.to_le_bytes());
        leaf.extend_from_slice(&self.winner.hlc.to_u64().to_le_bytes());
        leaf.extend_from_slice(self.winner.op.author.as_bytes());
        leaf.extend_from_slice(&self.winner.op.seq.to_le_bytes());
        leaf.extend_from_slice(self.winner.op.id.as_bytes());
        leaf.extend_from_slice(self.value);
        leaf
    }
}
