//! The rows of a store's `data`, schema 2.
//!
//! | row | key | value |
//! | --- | --- | --- |
//! | cell | `c`, key | twice the number of the winner's op (varint), value |
//! | cell of several heads | `c`, key | twice that number and 1 (varint), number of further heads (varint), value |
//! | further head | `h`, key length (u16 BE), key, hlc (u64 BE), op id | author, seq (u64), value |
//! | index | `i`, key length (u16 BE), key, author, seq (u64 BE), op id | hlc (u64) |
//! | mark | `m`, author, seq (u64 BE), op id, key | empty |
//!
//! Integers are little endian where nothing else is said; big endian ones stand where the order of
//! rows is to be that of numbers. A key's cell holds its winner, the head with the greatest
//! `(hlc, op id)`; a key without heads has no rows but marks. Each further head has a row of its
//! own and one in the index, which finds it by the op that a later op names: so superseding one of
//! ten thousand heads, or one that is a head no more, costs a lookup and not a scan.
//!
//! A varint is the shortest unsigned LEB128. The number of an op is its place in the order of application,
//! which is another on every replica: a cell's leaf says in full which op it is, as its row did in schema 1
//! (see [`cell`]). All other rows are their own leaves, but for the index.
//!
//! A mark says that an applied op supersedes the put that another op makes at a key, and that this
//! other op has not been applied yet.

mod cell;

pub(crate) use cell::{Cell, FullCell};

use alloc::format;
use alloc::vec::Vec;

use lattice_backend::{BackendError, OpRef, PrefixSpan, Result, Stamp, Table};
use lattice_meta::{Hlc, OpId, PubKey};

const CELL: u8 = b'c';
const FURTHER: u8 = b'h';
const INDEX: u8 = b'i';
const MARK: u8 = b'm';

/// The range of all cells: from here ...
pub(crate) const FIRST_CELL: [u8; 1] = [CELL];
/// ... to before here.
pub(crate) const AFTER_CELLS: [u8; 1] = [CELL + 1];
/// What the keys of further heads start with.
pub(crate) const FURTHER_PREFIX: [u8; 1] = [FURTHER];
/// What the keys of marks start with.
#[cfg(feature = "std")]
pub(crate) const MARK_PREFIX: [u8; 1] = [MARK];

/// Bytes in front of the value in a further head.
const FURTHER_HEADER_LEN: usize = 32 + 8;
/// Bytes behind the user's key in the key of a further head.
const FURTHER_SUFFIX_LEN: usize = 8 + 32;
/// Bytes in front of the user's key in the key of a mark.
pub(crate) const MARK_HEADER_LEN: usize = 1 + OpRef::KEY_LEN;

/// The key of a cell's row.
pub(crate) fn cell_key(key: &[u8]) -> Vec<u8> {
    [&[CELL], key].concat()
}

/// Does something with the key of a cell's row, which is on the stack if it is short.
pub(crate) fn with_cell_key<T>(key: &[u8], work: impl FnOnce(&[u8]) -> T) -> T {
    let mut short = [CELL; 64];
    match short.get_mut(1..=key.len()) {
        Some(place) => {
            place.copy_from_slice(key);
            work(&short[..=key.len()])
        }
        None => work(&cell_key(key)),
    }
}

/// The user's key of a cell's row.
#[inline]
pub(crate) fn key_of_cell(row_key: &[u8]) -> Result<&[u8]> {
    row_key
        .strip_prefix(&[CELL])
        .ok_or_else(|| damaged("the key of a cell", row_key))
}

/// The range of a key's further heads, the least first.
pub(crate) fn further_span(key: &[u8]) -> PrefixSpan {
    PrefixSpan::new(&with_length(FURTHER, key, &[]))
}

/// The key of a further head's row.
pub(crate) fn further_key(key: &[u8], stamp: &Stamp) -> Vec<u8> {
    let mut suffix = [0; FURTHER_SUFFIX_LEN];
    suffix[..8].copy_from_slice(&stamp.hlc.to_u64().to_be_bytes());
    suffix[8..].copy_from_slice(stamp.op.id.as_bytes());
    with_length(FURTHER, key, &suffix)
}

/// The row of a further head.
pub(crate) fn further_value(op: &OpRef, value: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(FURTHER_HEADER_LEN + value.len());
    row.extend_from_slice(op.author.as_bytes());
    row.extend_from_slice(&op.seq.to_le_bytes());
    row.extend_from_slice(value);
    row
}

/// Reads the row of a further head: its stamp and its value.
pub(crate) fn decode_further<'a>(row_key: &[u8], row: &'a [u8]) -> Result<(Stamp, &'a [u8])> {
    let (_, mut suffix) = split_further_key(row_key)?;
    let mut rest = row;
    let stamp = (|| {
        let hlc = Hlc::from_u64(u64::from_be_bytes(take(&mut suffix)?));
        let id = OpId::from_bytes(take(&mut suffix)?);
        let author = PubKey::from_bytes(take(&mut rest)?);
        let seq = u64::from_le_bytes(take(&mut rest)?);
        Some(Stamp {
            hlc,
            op: OpRef { author, seq, id },
        })
    })();
    let stamp = stamp.ok_or_else(|| damaged("a further head of 40 bytes and more", row))?;
    Ok((stamp, rest))
}

/// The user's key in the key of a further head's row.
pub(crate) fn key_of_further(row_key: &[u8]) -> Result<&[u8]> {
    split_further_key(row_key).map(|(key, _)| key)
}

fn split_further_key(row_key: &[u8]) -> Result<(&[u8], &[u8])> {
    let parts = (|| {
        let mut rest = row_key.strip_prefix(&[FURTHER])?;
        let key_len = usize::from(u16::from_be_bytes(take(&mut rest)?));
        let (key, suffix) = rest.split_at_checked(key_len)?;
        (suffix.len() == FURTHER_SUFFIX_LEN).then_some((key, suffix))
    })();
    parts.ok_or_else(|| damaged("the key of a further head", row_key))
}

/// The range of a key's rows in the index.
pub(crate) fn index_span(key: &[u8]) -> PrefixSpan {
    PrefixSpan::new(&with_length(INDEX, key, &[]))
}

/// The key of a further head's row in the index.
pub(crate) fn index_key(key: &[u8], op: &OpRef) -> Vec<u8> {
    with_length(INDEX, key, &op.to_key())
}

/// The op that a row of the index is about.
pub(crate) fn op_of_index(row_key: &[u8]) -> Result<OpRef> {
    row_key
        .last_chunk::<{ OpRef::KEY_LEN }>()
        .and_then(|op| OpRef::from_key(op))
        .ok_or_else(|| damaged("the key of an index row", row_key))
}

/// The row of a further head in the index.
pub(crate) fn index_value(hlc: Hlc) -> [u8; 8] {
    hlc.to_u64().to_le_bytes()
}

/// Reads a row of the index.
pub(crate) fn decode_index(row: &[u8]) -> Result<Hlc> {
    let hlc = row
        .try_into()
        .map_err(|_| damaged("an index row of 8 bytes", row))?;
    Ok(Hlc::from_u64(u64::from_le_bytes(hlc)))
}

/// Whether a row is a cell.
pub(crate) fn is_cell(row_key: &[u8]) -> bool {
    row_key.first() == Some(&CELL)
}

/// Whether a row is of the index: it says nothing that a further head does not, so it is no leaf
/// of the state.
pub(crate) fn is_index(row_key: &[u8]) -> bool {
    row_key.first() == Some(&INDEX)
}

/// The range of all marks of an op.
pub(crate) fn mark_span(op: &OpRef) -> PrefixSpan {
    PrefixSpan::new(&mark_key(op, &[]))
}

/// The key of a mark's row.
pub(crate) fn mark_key(op: &OpRef, key: &[u8]) -> Vec<u8> {
    [&[MARK], &op.to_key()[..], key].concat()
}

/// The user's key in the key of a mark's row.
pub(crate) fn key_of_mark(row_key: &[u8]) -> Result<&[u8]> {
    row_key
        .get(MARK_HEADER_LEN..)
        .ok_or_else(|| damaged("the key of a mark", row_key))
}

/// A row key in which the length of the user's key stands in front of it, so that no other key's
/// rows lie between.
fn with_length(tag: u8, key: &[u8], suffix: &[u8]) -> Vec<u8> {
    // No valid payload has a key this long. One that a damaged cell shows finds no rows here.
    let len = u16::try_from(key.len()).unwrap_or(u16::MAX);
    [&[tag], &len.to_be_bytes()[..], key, suffix].concat()
}

/// Takes the next `N` bytes.
fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (chunk, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*chunk)
}

fn damaged(expected: &'static str, found: &[u8]) -> BackendError {
    let shown = &found[..found.len().min(16)];
    BackendError::row(
        Table::Data,
        expected,
        format!("{} bytes: {}", found.len(), shown.escape_ascii()),
    )
}

#[cfg(test)]
mod tests;
