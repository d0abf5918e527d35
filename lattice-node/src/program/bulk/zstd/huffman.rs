//! Huffman codes of literals.

use super::bits::{Backward, highest};
use super::fse::{State, Table};
use super::{Result, ensure};

/// The longest code, in bits.
const MAX_BITS: usize = 11;

/// A decoding table: for each `bits` bits the symbol that they begin with, and its length.
#[derive(Debug, Clone)]
pub(super) struct Codes {
    bits: usize,
    cells: Vec<(u8, usize)>,
}

impl Codes {
    /// Reads the description of codes. Returns what follows it.
    pub(super) fn read(data: &[u8]) -> Result<(Self, &[u8])> {
        let (&header, data) = split_first(data)?;
        let (weights, rest) = match header.checked_sub(127) {
            None | Some(0) => {
                let length = usize::from(header);
                ensure(length <= data.len(), "codes are cut short")?;
                let (data, rest) = data.split_at(length);
                (packed_weights(data)?, rest)
            }
            Some(count) => {
                let count = usize::from(count);
                let length = count.div_ceil(2);
                ensure(length <= data.len(), "codes are cut short")?;
                let (data, rest) = data.split_at(length);
                let halves = data.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
                (halves.take(count).map(usize::from).collect(), rest)
            }
        };
        Ok((Self::of(weights)?, rest))
    }

    fn of(mut weights: Vec<usize>) -> Result<Self> {
        let mut sum = 0;
        for weight in &weights {
            ensure(*weight <= MAX_BITS, "a code is too long")?;
            sum += (1 << weight) >> 1;
        }
        ensure(sum > 0, "there are no codes")?;
        let bits = highest(sum) + 1;
        ensure(bits <= MAX_BITS, "a code is too long")?;
        // The last weight is the one that completes the tree.
        let missing: usize = (1 << bits) - sum;
        ensure(missing.is_power_of_two(), "the codes are no tree")?;
        weights.push(highest(missing) + 1);
        ensure(weights.len() <= 256, "there are too many codes")?;
        let mut cells = Vec::with_capacity(1 << bits);
        // Low weights are long codes, which stand first.
        for rank in 1..=bits {
            for (symbol, weight) in (0_u8..=u8::MAX).zip(&weights) {
                if *weight == rank {
                    let cell = (symbol, bits + 1 - rank);
                    cells.extend(std::iter::repeat_n(cell, 1 << (rank - 1)));
                }
            }
        }
        ensure(cells.len() == 1 << bits, "the codes are no tree")?;
        Ok(Self { bits, cells })
    }

    /// Decodes a stream of exactly `count` literals.
    pub(super) fn decode(&self, data: &[u8], count: usize, to: &mut Vec<u8>) -> Result<()> {
        let mut input = Backward::new(data)?;
        let mask = (1 << self.bits) - 1;
        let mut state = input.take(self.bits);
        for _ in 0..count {
            let (symbol, bits) = self.cells[state];
            to.push(symbol);
            state = ((state << bits) & mask) | input.take(bits);
        }
        ensure(
            input.is_before_start(self.bits),
            "literals do not end where their stream does",
        )
    }
}

/// Weights that two states of one table give in turn.
fn packed_weights(data: &[u8]) -> Result<Vec<usize>> {
    let (table, data) = Table::read(data, 6, u8::MAX)?;
    let mut input = Backward::new(data)?;
    let mut states = [
        State::begin(&table, &mut input),
        State::begin(&table, &mut input),
    ];
    ensure(input.before() == 0, "codes are cut short")?;
    let mut weights = Vec::new();
    loop {
        ensure(weights.len() < 254, "there are too many codes")?;
        let [this, other] = &mut states;
        weights.push(usize::from(this.symbol()));
        this.advance(&mut input);
        if input.before() > 0 {
            weights.push(usize::from(other.symbol()));
            return Ok(weights);
        }
        states.reverse();
    }
}

pub(super) fn split_first(data: &[u8]) -> Result<(&u8, &[u8])> {
    data.split_first()
        .ok_or(super::ZstdError::Corrupt("a block is cut short"))
}
