//! The blocks of a frame.

use std::io::{self, Read};

use super::huffman::Codes;
use super::sequences::Tables;
use super::{ensure, literals, take};

/// Reads the blocks of a frame, and keeps what one block leaves for the next.
pub(super) struct Blocks {
    /// The most bytes of a block.
    most: usize,
    codes: Option<Codes>,
    tables: Tables,
    stored: Vec<u8>,
    literals: Vec<u8>,
}

impl Blocks {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            codes: None,
            tables: Tables::new(),
            stored: Vec::new(),
            literals: Vec::new(),
        }
    }

    /// Appends the data of the next block to `out`, of which at most `window` bytes can be copied.
    /// Returns whether the block is the last one.
    pub(super) fn next(
        &mut self,
        input: &mut impl Read,
        out: &mut Vec<u8>,
        window: usize,
    ) -> io::Result<bool> {
        let [low, middle, high] = take(input)?;
        let header = u32::from_le_bytes([low, middle, high, 0]);
        let length = usize::try_from(header >> 3).expect("21 bits");
        ensure(length <= self.most, "a block is too long")?;
        match header >> 1 & 0b11 {
            0 => {
                let begun = out.len();
                out.resize(begun + length, 0);
                input.read_exact(&mut out[begun..])?;
            }
            1 => {
                let [byte] = take(input)?;
                out.resize(out.len() + length, byte);
            }
            2 => {
                self.stored.resize(length, 0);
                input.read_exact(&mut self.stored)?;
                let literals = &mut self.literals;
                let rest = literals::read(&self.stored, &mut self.codes, self.most, literals)?;
                self.tables
                    .execute(rest, literals, out, self.most, window)?;
            }
            _ => ensure(false, "a block has no known type")?,
        }
        Ok(header & 1 == 1)
    }
}
