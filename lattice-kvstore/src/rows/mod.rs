//! The rows of a store's `data`, schema 1.
//!
//! | row | key | value |
//! | --- | --- | --- |
//! | cell, value inside | `c`, key | 4 times the apply index, value (at most 1,024 bytes) |
//! | cell, value apart | `c`, key | 4 times the apply index plus 1 |
//! | cell of siblings | `c`, key | 4 times the current value's index plus 2, number of siblings |
//! | value | `v`, length (u16 BE), key, apply index (u64 BE) | value |
//! | sibling | `s`, length (u16 BE), key, hlc (u64 BE), op id | author, seq (u64), apply index |
//! | mark | `m`, BLAKE3 of author, seq (u64 BE) and op id, BLAKE3 of the key | empty |
//!
//! Integers are little endian unless the table says otherwise; big endian integers make the order
//! of rows that of the numbers. Indexes and counts in values are varints (shortest unsigned
//! LEB128). The apply index of an op is local to this replica, so elements name ops by their ids.
//!
//! A value is written once and stays in its row until it is removed, whether it is current or not.
//! One exception is bounded by 1,024 bytes: a short value is inside the cell while it is the only
//! one, and the first sibling moves it to a row of its own. The cost of another author's write to a
//! key is thus constant, however long the key's values are.
//!
//! The siblings of a key are its concurrent values; the current one has the greatest
//! `(hlc, op id)`. A key with one value has no sibling rows. A value's element has the key and the
//! op's id as key, and the value. Cells of siblings, sibling rows and marks have no elements.
//!
//! A mark says that an applied op supersedes the value that another op puts at a key, and that this
//! other op was not applied at that time. Applying that op looks for its marks. Marks at keys that
//! the op does not write are never read again, and stay.

mod cell;

pub(crate) use cell::Cell;

use alloc::format;
use alloc::vec::Vec;

use lattice_backend::backend::{BackendError, PrefixSpan, Result, Table};
use lattice_backend::machine::History;
use lattice_backend::op::{ApplyIndex, OpRef, Stamp};
use lattice_meta::{Hlc, OpId, PubKey, readable_start, varint};

const CELL: u8 = b'c';
const VALUE: u8 = b'v';
const SIBLING: u8 = b's';
const MARK: u8 = b'm';

/// Maximum length of a value inside a cell, in bytes.
pub(crate) const MAX_INSIDE: usize = 1024;

/// The start of the range of all cells, inclusive.
pub(crate) const FIRST_CELL: [u8; 1] = [CELL];
/// The end of the range of all cells, exclusive.
pub(crate) const AFTER_CELLS: [u8; 1] = [CELL + 1];
/// Prefix of the keys of marks.
pub(crate) const MARK_PREFIX: [u8; 1] = [MARK];
/// The end of the range of all marks, exclusive.
pub(crate) const AFTER_MARKS: [u8; 1] = [MARK + 1];
/// Prefix of the keys of siblings.
pub(crate) const SIBLING_PREFIX: [u8; 1] = [SIBLING];

/// Bytes after the user's key in the key of a sibling.
const SIBLING_SUFFIX_LEN: usize = 8 + 32;

/// The kind of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowKind {
    Cell,
    Value,
    Sibling,
    Mark,
}

/// The kind of a row, by its key.
pub(crate) fn kind(row_key: &[u8]) -> Result<RowKind> {
    match row_key.first() {
        Some(&CELL) => Ok(RowKind::Cell),
        Some(&VALUE) => Ok(RowKind::Value),
        Some(&SIBLING) => Ok(RowKind::Sibling),
        Some(&MARK) => Ok(RowKind::Mark),
        _ => Err(damaged("a row of a key-value store", row_key)),
    }
}

/// The key of a cell's row.
pub(crate) fn cell_key(key: &[u8]) -> Vec<u8> {
    [&[CELL], key].concat()
}

/// Makes `cell_key` the key of a cell's row.
pub(crate) fn set_cell_key(cell_key: &mut Vec<u8>, key: &[u8]) {
    cell_key.clear();
    cell_key.push(CELL);
    cell_key.extend_from_slice(key);
}

/// Calls `work` with the key of a cell's row, which is on the stack if it is short.
#[cfg_attr(target_arch = "wasm32", inline(never))]
pub(crate) fn with_cell_key(
    key: &[u8],
    work: &mut dyn FnMut(&[u8]) -> Result<bool>,
) -> Result<bool> {
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

/// The key of a value's row.
pub(crate) fn value_key(key: &[u8], index: ApplyIndex) -> Vec<u8> {
    with_length(VALUE, key, &index.get().to_be_bytes())
}

/// The user's key and the apply index in the key of a value's row.
pub(crate) fn split_value_key(row_key: &[u8]) -> Result<(&[u8], ApplyIndex)> {
    let split = split_key(VALUE, row_key).and_then(|(key, suffix)| {
        let index = ApplyIndex::new(u64::from_be_bytes(suffix.try_into().ok()?));
        Some((key, index))
    });
    split.ok_or_else(|| damaged("the key of a value", row_key))
}

/// The range of a key's sibling rows; the current one is last.
pub(crate) fn sibling_span(key: &[u8]) -> PrefixSpan {
    PrefixSpan::new(&with_length(SIBLING, key, &[]))
}

/// The key of a sibling's row.
pub(crate) fn sibling_key(key: &[u8], stamp: &Stamp) -> Vec<u8> {
    let mut suffix = [0; SIBLING_SUFFIX_LEN];
    suffix[..8].copy_from_slice(&stamp.hlc.to_u64().to_be_bytes());
    suffix[8..].copy_from_slice(stamp.op.id.as_bytes());
    with_length(SIBLING, key, &suffix)
}

/// The value of a sibling's row.
pub(crate) fn sibling_row(sibling: &SiblingRow) -> Vec<u8> {
    let mut row = Vec::with_capacity(32 + 8 + varint::MAX_LEN);
    row.extend_from_slice(sibling.stamp.op.author.as_bytes());
    row.extend_from_slice(&sibling.stamp.op.seq.to_le_bytes());
    varint::append(sibling.index.get(), &mut row);
    row
}

/// One of a key's concurrent values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SiblingRow {
    /// The op that put it.
    pub(crate) stamp: Stamp,
    /// The op's apply index.
    pub(crate) index: ApplyIndex,
}

/// Decodes the row of a sibling.
pub(crate) fn decode_sibling(row_key: &[u8], row: &[u8]) -> Result<SiblingRow> {
    let sibling = (|| {
        let (_, mut suffix) = split_sibling_key(row_key)?;
        let hlc = Hlc::from_u64(u64::from_be_bytes(take(&mut suffix)?));
        let id = OpId::from_bytes(take(&mut suffix)?);
        let mut rest = row;
        let author = PubKey::from_bytes(take(&mut rest)?);
        let seq = u64::from_le_bytes(take(&mut rest)?);
        let index = ApplyIndex::new(varint::take(&mut rest)?);
        let op = OpRef { author, seq, id };
        let stamp = Stamp { hlc, op };
        rest.is_empty().then_some(SiblingRow { stamp, index })
    })();
    sibling.ok_or_else(|| damaged("a sibling of 41 to 49 bytes", row))
}

/// The user's key in the key of a sibling's row.
pub(crate) fn key_of_sibling(row_key: &[u8]) -> Result<&[u8]> {
    split_sibling_key(row_key)
        .map(|(key, _)| key)
        .ok_or_else(|| damaged("the key of a sibling", row_key))
}

fn split_sibling_key(row_key: &[u8]) -> Option<(&[u8], &[u8])> {
    let (key, suffix) = split_key(SIBLING, row_key)?;
    (suffix.len() == SIBLING_SUFFIX_LEN).then_some((key, suffix))
}

/// The prefix of the keys of all marks of an op.
pub(crate) fn mark_prefix(op: OpHash) -> [u8; 1 + 32] {
    let mut prefix = [MARK; 1 + 32];
    prefix[1..].copy_from_slice(&op.0);
    prefix
}

/// The BLAKE3 hash of a reference, which names an op in its marks. It is computed once for all keys
/// that have marks of the op.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpHash([u8; 32]);

impl OpHash {
    pub(crate) fn of(op: &OpRef, history: &dyn History) -> Self {
        Self(history.hash(&op.to_key()))
    }
}

/// The BLAKE3 hash of a user's key, which names the key in its marks. A key is hashed once for all
/// ops that have marks there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyHash([u8; 32]);

impl KeyHash {
    pub(crate) fn of(key: &[u8], history: &dyn History) -> Self {
        Self(history.hash(key))
    }
}

/// The key of a mark's row.
pub(crate) fn mark_key(op: OpHash, key: KeyHash) -> [u8; 1 + 32 + 32] {
    let mut row_key = [MARK; 1 + 32 + 32];
    row_key[1..33].copy_from_slice(&op.0);
    row_key[33..].copy_from_slice(&key.0);
    row_key
}

/// The key of a value's element.
pub(crate) fn element_key(key: &[u8], op: &OpId) -> Vec<u8> {
    [key, op.as_bytes()].concat()
}

/// A row key with the length of the user's key before the key, so that no other key's rows are in
/// its range.
fn with_length(tag: u8, key: &[u8], suffix: &[u8]) -> Vec<u8> {
    // No valid payload has a longer key; a longer key of a damaged cell finds no rows.
    let len = u16::try_from(key.len()).unwrap_or(u16::MAX);
    [&[tag], &len.to_be_bytes()[..], key, suffix].concat()
}

/// The user's key, and the bytes after it.
fn split_key(tag: u8, row_key: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = row_key.strip_prefix(&[tag])?;
    let key_len = usize::from(u16::from_be_bytes(take(&mut rest)?));
    rest.split_at_checked(key_len)
}

/// Takes the next `N` bytes.
fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (chunk, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*chunk)
}

#[cold]
#[inline(never)]
pub(crate) fn damaged(expected: &'static str, found: &[u8]) -> BackendError {
    let shown = readable_start(found, 16);
    let found = format!("{} bytes: {shown}", found.len());
    BackendError::row(Table::Data, expected, found)
}

#[cfg(test)]
mod tests;
