//! The literals of a block.

use super::huffman::Codes;
use super::{Result, ensure};

/// Reads the literals of a block, at most `most`, into `to`. Returns what follows them.
pub(super) fn read<'a>(
    data: &'a [u8],
    codes: &mut Option<Codes>,
    most: usize,
    to: &mut Vec<u8>,
) -> Result<&'a [u8]> {
    to.clear();
    let header = little_endian(data, 5.min(data.len()))?;
    let number = |shift: u32, bits: u32| {
        let number = (header >> shift) & ((1 << bits) - 1);
        usize::try_from(number).expect("18 bits")
    };
    let (kind, format) = (number(0, 2), number(2, 2));
    let is_coded = kind >= 2;
    let (length, count, packed) = match (is_coded, format) {
        (false, 0 | 2) => (1, number(3, 5), 0),
        (false, 1) => (2, number(4, 12), 0),
        (false, _) => (3, number(4, 20), 0),
        (true, 0 | 1) => (3, number(4, 10), number(14, 10)),
        (true, 2) => (4, number(4, 14), number(18, 14)),
        (true, _) => (5, number(4, 18), number(22, 18)),
    };
    ensure(length <= data.len(), "a block is cut short")?;
    ensure(count <= most, "a block has too many literals")?;
    let data = &data[length..];
    let stored = match kind {
        0 => count,
        1 => 1,
        _ => packed,
    };
    ensure(stored <= data.len(), "literals are cut short")?;
    let (mut data, rest) = data.split_at(stored);
    match kind {
        0 => to.extend_from_slice(data),
        1 => to.resize(count, data[0]),
        _ => {
            if kind == 2 {
                let (read, after) = Codes::read(data)?;
                *codes = Some(read);
                data = after;
            }
            let Some(codes) = codes else {
                ensure(false, "literals have no codes")?;
                return Ok(rest);
            };
            match format {
                0 => codes.decode(data, count, to)?,
                _ => four_streams(codes, data, count, to)?,
            }
        }
    }
    Ok(rest)
}

fn four_streams(codes: &Codes, data: &[u8], count: usize, to: &mut Vec<u8>) -> Result<()> {
    ensure(data.len() >= 6, "literals are cut short")?;
    let (lengths, mut data) = data.split_at(6);
    let each = count.div_ceil(4);
    ensure(
        3 * each <= count,
        "there are too few literals for four streams",
    )?;
    for length in lengths.chunks_exact(2) {
        let length = usize::from(u16::from_le_bytes([length[0], length[1]]));
        ensure(length <= data.len(), "literals are cut short")?;
        let (stream, rest) = data.split_at(length);
        codes.decode(stream, each, to)?;
        data = rest;
    }
    codes.decode(data, count - 3 * each, to)
}

/// The first bytes as a number.
fn little_endian(data: &[u8], count: usize) -> Result<u64> {
    ensure(count > 0, "a block is cut short")?;
    let mut bytes = [0; 8];
    bytes[..count].copy_from_slice(&data[..count]);
    Ok(u64::from_le_bytes(bytes))
}
