//! The sequences of a block: copies of literals and of data before them.

use super::bits::Backward;
use super::fse::{State, Table};
use super::huffman::split_first;
use super::{Result, ensure};

/// The smallest length of each code, and how many bits are added.
const LITERALS: [(usize, usize); 36] = [
    (0, 0),
    (1, 0),
    (2, 0),
    (3, 0),
    (4, 0),
    (5, 0),
    (6, 0),
    (7, 0),
    (8, 0),
    (9, 0),
    (10, 0),
    (11, 0),
    (12, 0),
    (13, 0),
    (14, 0),
    (15, 0),
    (16, 1),
    (18, 1),
    (20, 1),
    (22, 1),
    (24, 2),
    (28, 2),
    (32, 3),
    (40, 3),
    (48, 4),
    (64, 6),
    (128, 7),
    (256, 8),
    (512, 9),
    (1024, 10),
    (2048, 11),
    (4096, 12),
    (8192, 13),
    (16384, 14),
    (32768, 15),
    (65536, 16),
];
const MATCHES: [(usize, usize); 53] = [
    (3, 0),
    (4, 0),
    (5, 0),
    (6, 0),
    (7, 0),
    (8, 0),
    (9, 0),
    (10, 0),
    (11, 0),
    (12, 0),
    (13, 0),
    (14, 0),
    (15, 0),
    (16, 0),
    (17, 0),
    (18, 0),
    (19, 0),
    (20, 0),
    (21, 0),
    (22, 0),
    (23, 0),
    (24, 0),
    (25, 0),
    (26, 0),
    (27, 0),
    (28, 0),
    (29, 0),
    (30, 0),
    (31, 0),
    (32, 0),
    (33, 0),
    (34, 0),
    (35, 1),
    (37, 1),
    (39, 1),
    (41, 1),
    (43, 2),
    (47, 2),
    (51, 3),
    (59, 3),
    (67, 4),
    (83, 4),
    (99, 5),
    (131, 7),
    (259, 8),
    (515, 9),
    (1027, 10),
    (2051, 11),
    (4099, 12),
    (8195, 13),
    (16387, 14),
    (32771, 15),
    (65539, 16),
];
/// The greatest code of an offset.
const MAX_OFFSET: u8 = 31;
/// Distributions that the format defines.
const LITERAL_SHARES: [i8; 36] = [
    4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1,
    -1, -1, -1, -1,
];
const MATCH_SHARES: [i8; 53] = [
    1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1,
];
const OFFSET_SHARES: [i8; 29] = [
    1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1,
];

/// What a block leaves for the next one of its frame.
pub(super) struct Tables {
    literals: Option<Table>,
    offsets: Option<Table>,
    matches: Option<Table>,
    /// The last three offsets.
    recent: [usize; 3],
}

/// One of the three kinds of codes.
struct Kind {
    max_log: usize,
    max_symbol: u8,
    defined_log: usize,
    shares: &'static [i8],
}

const LITERAL_CODES: Kind = Kind {
    max_log: 9,
    max_symbol: 35,
    defined_log: 6,
    shares: &LITERAL_SHARES,
};
const OFFSET_CODES: Kind = Kind {
    max_log: 8,
    max_symbol: MAX_OFFSET,
    defined_log: 5,
    shares: &OFFSET_SHARES,
};
const MATCH_CODES: Kind = Kind {
    max_log: 9,
    max_symbol: 52,
    defined_log: 6,
    shares: &MATCH_SHARES,
};

impl Tables {
    pub(super) const fn new() -> Self {
        Self {
            literals: None,
            offsets: None,
            matches: None,
            recent: [1, 4, 8],
        }
    }

    /// Executes the sequences of a block: appends at most `most` bytes to `out`, whose last
    /// `window` bytes before them can be copied.
    pub(super) fn execute(
        &mut self,
        data: &[u8],
        mut literals: &[u8],
        out: &mut Vec<u8>,
        most: usize,
        window: usize,
    ) -> Result<()> {
        let end = out.len() + most;
        let (count, data) = count_of(data)?;
        if count == 0 {
            ensure(data.is_empty(), "a block has bytes after its sequences")?;
            out.extend_from_slice(literals);
            return Ok(());
        }
        let (&modes, data) = split_first(data)?;
        ensure(modes & 0b11 == 0, "a reserved bit is set")?;
        let data = update(&mut self.literals, modes >> 6, &LITERAL_CODES, data)?;
        let data = update(&mut self.offsets, modes >> 4 & 0b11, &OFFSET_CODES, data)?;
        let data = update(&mut self.matches, modes >> 2 & 0b11, &MATCH_CODES, data)?;
        let (Some(literal_table), Some(offset_table), Some(match_table)) =
            (&self.literals, &self.offsets, &self.matches)
        else {
            return ensure(false, "sequences have no table");
        };
        let mut input = Backward::new(data)?;
        let mut literal_state = State::begin(literal_table, &mut input);
        let mut offset_state = State::begin(offset_table, &mut input);
        let mut match_state = State::begin(match_table, &mut input);
        for left in (0..count).rev() {
            let code = usize::from(offset_state.symbol());
            let offset = (1 << code) + input.take(code);
            let (least, bits) = MATCHES[usize::from(match_state.symbol())];
            let match_length = least + input.take(bits);
            let (least, bits) = LITERALS[usize::from(literal_state.symbol())];
            let literal_length = least + input.take(bits);
            if left > 0 {
                literal_state.advance(&mut input);
                match_state.advance(&mut input);
                offset_state.advance(&mut input);
            }
            ensure(input.before() == 0, "sequences are cut short")?;
            ensure(
                literal_length <= literals.len(),
                "a sequence has too many literals",
            )?;
            let (these, rest) = literals.split_at(literal_length);
            literals = rest;
            let length = literal_length + match_length;
            ensure(length <= end - out.len(), "a block has too much data")?;
            out.extend_from_slice(these);
            let offset = next_offset(&mut self.recent, offset, literal_length == 0)?;
            ensure(
                offset <= out.len().min(window),
                "a copy begins before the data",
            )?;
            copy(out, offset, match_length);
        }
        ensure(
            input.is_at_start(),
            "sequences do not end where their stream does",
        )?;
        ensure(
            literals.len() <= end - out.len(),
            "a block has too much data",
        )?;
        out.extend_from_slice(literals);
        Ok(())
    }
}

/// Appends bytes that stand `offset` before the end; they can overlap with what they make.
fn copy(out: &mut Vec<u8>, offset: usize, mut length: usize) {
    while length > 0 {
        let start = out.len() - offset;
        let part = length.min(offset);
        out.extend_from_within(start..start + part);
        length -= part;
    }
}

/// The number of sequences, and what follows it.
fn count_of(data: &[u8]) -> Result<(usize, &[u8])> {
    let (&first, data) = split_first(data)?;
    if first < 128 {
        return Ok((first.into(), data));
    }
    let (&second, data) = split_first(data)?;
    if first < 255 {
        return Ok((
            ((usize::from(first) - 128) << 8) + usize::from(second),
            data,
        ));
    }
    let (&third, data) = split_first(data)?;
    let count = usize::from(second) + (usize::from(third) << 8) + 0x7f00;
    Ok((count, data))
}

/// Takes the table of one kind of codes from a block, and returns what follows it.
fn update<'a>(
    table: &mut Option<Table>,
    mode: u8,
    kind: &Kind,
    data: &'a [u8],
) -> Result<&'a [u8]> {
    match mode {
        0 => {
            *table = Some(Table::defined(kind.defined_log, kind.shares)?);
            Ok(data)
        }
        1 => {
            let (&symbol, rest) = split_first(data)?;
            ensure(symbol <= kind.max_symbol, "a code is not defined")?;
            *table = Some(Table::single(symbol));
            Ok(rest)
        }
        2 => {
            let (read, rest) = Table::read(data, kind.max_log, kind.max_symbol)?;
            *table = Some(read);
            Ok(rest)
        }
        _ => Ok(data),
    }
}

/// The offset of a sequence. Its value 1 to 3 repeats a recent one, which moves to the front.
fn next_offset(recent: &mut [usize; 3], value: usize, no_literals: bool) -> Result<usize> {
    let place = match value {
        1..=3 => value - 1 + usize::from(no_literals),
        _ => {
            *recent = [value - 3, recent[0], recent[1]];
            return Ok(value - 3);
        }
    };
    let offset = match place {
        3 => recent[0] - 1,
        place => recent[place],
    };
    ensure(offset > 0, "an offset is 0")?;
    match place {
        0 => {}
        1 => *recent = [offset, recent[0], recent[2]],
        _ => *recent = [offset, recent[0], recent[1]],
    }
    Ok(offset)
}
