//! Streams of bits.

use super::{Result, ensure};

/// Bits from the first byte on, the lowest of a byte first.
pub(super) struct Forward<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Forward<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0 }
    }

    /// The next `count` bits, at most 16. Behind the end are zeros.
    pub(super) fn peek(&self, count: usize) -> usize {
        bits(self.data, self.at, count)
    }

    pub(super) fn skip(&mut self, count: usize) {
        self.at += count;
    }

    pub(super) fn take(&mut self, count: usize) -> usize {
        let value = self.peek(count);
        self.skip(count);
        value
    }

    /// The bytes after the one with the last bit that was taken.
    pub(super) fn rest(self) -> Result<&'a [u8]> {
        let used = self.at.div_ceil(8);
        ensure(used <= self.data.len(), "a table is cut short")?;
        Ok(&self.data[used..])
    }
}

/// Bits from the last one on. The highest bit that is set ends the stream, and is not part of it.
pub(super) struct Backward<'a> {
    data: &'a [u8],
    /// How many bits are left.
    left: usize,
    /// How many bits before the first one were taken; they are zeros.
    before: usize,
}

impl<'a> Backward<'a> {
    pub(super) fn new(data: &'a [u8]) -> Result<Self> {
        let last = data.last().copied().unwrap_or(0);
        ensure(last != 0, "a stream of bits has no end mark")?;
        let padding = usize::try_from(last.leading_zeros()).unwrap_or(0) + 1;
        Ok(Self {
            data,
            left: data.len() * 8 - padding,
            before: 0,
        })
    }

    /// The next `count` bits, at most 31.
    pub(super) fn take(&mut self, count: usize) -> usize {
        if count <= self.left {
            self.left -= count;
            return bits(self.data, self.left, count);
        }
        let missing = count - self.left;
        let value = bits(self.data, 0, self.left) << missing;
        self.left = 0;
        self.before += missing;
        value
    }

    /// How many bits more than there are were taken.
    pub(super) fn before(&self) -> usize {
        self.before
    }

    /// Whether all bits were taken, and no more.
    pub(super) fn is_at_start(&self) -> bool {
        self.left == 0 && self.before == 0
    }

    /// Whether all bits were taken, and `count` more.
    pub(super) fn is_before_start(&self, count: usize) -> bool {
        self.left == 0 && self.before == count
    }
}

/// At most 31 bits from a place on; zeros behind the end.
fn bits(data: &[u8], at: usize, count: usize) -> usize {
    let first = (at / 8).min(data.len());
    let mut word = [0; 8];
    let there = &data[first..data.len().min(first + 8)];
    word[..there.len()].copy_from_slice(there);
    let word = (u64::from_le_bytes(word) >> (at % 8)) & ((1_u64 << count) - 1);
    usize::try_from(word).expect("31 bits")
}

/// The place of the highest bit that is set, from 0.
pub(super) fn highest(value: usize) -> usize {
    let place = value.checked_ilog2().unwrap_or(0);
    usize::try_from(place).expect("less than 64")
}
