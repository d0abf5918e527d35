//! Reads over the rows of a store, wherever they come from.

use alloc::vec::Vec;
use core::ops::{Bound, ControlFlow};

use lattice_backend::{DataRead, Direction, History, OpRef, PrefixSpan, Result, Row, Stamp};
use lattice_meta::Hlc;

use crate::range::KeyRange;
use crate::rows::{self, Cell};

/// One of the concurrent values of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The value.
    pub value: Vec<u8>,
    /// The op that put it.
    pub op: OpRef,
    /// When that op was made, by its author's hybrid clock.
    pub hlc: Hlc,
}

impl Head {
    fn new(stamp: Stamp, value: &[u8]) -> Self {
        Self {
            value: value.to_vec(),
            op: stamp.op,
            hlc: stamp.hlc,
        }
    }
}

/// A key's value: that of its winner.
pub(crate) fn value(data: &dyn DataRead, key: &[u8]) -> Result<Option<Vec<u8>>> {
    show(data, key, <[u8]>::to_vec)
}

/// Shows a key's value, if it has one.
pub(crate) fn show<T>(
    data: &dyn DataRead,
    key: &[u8],
    see: impl FnOnce(&[u8]) -> T,
) -> Result<Option<T>> {
    let (mut see, mut seen) = (Some(see), None);
    rows::with_cell_key(key, |key| {
        data.show(key, &mut |row| {
            let see = see.take();
            seen = see.map(|see| Cell::decode(row).map(|cell| see(cell.value)));
        })
    })?;
    seen.transpose()
}

/// Whether a key has a value.
pub(crate) fn contains(data: &dyn DataRead, key: &[u8]) -> Result<bool> {
    rows::with_cell_key(key, |key| data.show(key, &mut |_| ()))
}

/// A key's heads with their values, the winner first.
pub(crate) fn heads(data: &dyn DataRead, history: &dyn History, key: &[u8]) -> Result<Vec<Head>> {
    let Some(row) = data.get(&rows::cell_key(key))? else {
        return Ok(Vec::new());
    };
    let cell = Cell::decode(&row)?;
    let mut heads = Vec::from([Head::new(history.stamp(cell.number)?, cell.value)]);
    if cell.others > 0 {
        let span = rows::further_span(key);
        let mut cursor = data.range(span.span(), Direction::Backward)?;
        while let Some(row) = cursor.next()? {
            let (stamp, value) = rows::decode_further(row.key, row.value)?;
            heads.push(Head::new(stamp, value));
        }
    }
    Ok(heads)
}

/// The ops of a key's heads: the winner, then the others in the order of their refs.
pub(crate) fn head_ops(
    data: &dyn DataRead,
    history: &dyn History,
    key: &[u8],
) -> Result<Vec<OpRef>> {
    let Some(row) = data.get(&rows::cell_key(key))? else {
        return Ok(Vec::new());
    };
    let cell = Cell::decode(&row)?;
    let mut ops = Vec::from([history.stamp(cell.number)?.op]);
    if cell.others > 0 {
        let span = rows::index_span(key);
        let mut cursor = data.range(span.span(), Direction::Forward)?;
        while let Some(row) = cursor.next()? {
            ops.push(rows::op_of_index(row.key)?);
        }
    }
    Ok(ops)
}

/// Shows the keys of a range and their values, one after another.
pub(crate) fn scan(
    data: &dyn DataRead,
    range: &KeyRange,
    direction: Direction,
    mut each: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
) -> Result<()> {
    let span = range.cell_span();
    let mut cursor = data.range(span.span(), direction)?;
    let mut damage = None;
    let mut one = |row: Row<'_>| {
        let cell = Cell::decode(row.value)?;
        Ok(each(rows::key_of_cell(row.key)?, cell.value))
    };
    cursor.visit(&mut |row| {
        one(row).unwrap_or_else(|error| {
            damage = Some(error);
            ControlFlow::Break(())
        })
    })?;
    damage.map_or(Ok(()), Err)
}

/// The next key, after `last`, that has more than one head. Keys come in the order of their
/// lengths, and those of one length in the order of their bytes.
pub(crate) fn next_conflicted(data: &dyn DataRead, last: Option<&[u8]>) -> Result<Option<Vec<u8>>> {
    let all = PrefixSpan::new(&rows::FURTHER_PREFIX);
    let behind = last.map(rows::further_span);
    let (first, end) = all.span();
    let start = match &behind {
        // Where the range of the last key ends, that of the next one can start.
        Some(behind) => match behind.span().1 {
            Bound::Excluded(end) => Bound::Included(end),
            other => other,
        },
        None => first,
    };
    let mut cursor = data.range((start, end), Direction::Forward)?;
    match cursor.next()? {
        Some(row) => Ok(Some(rows::key_of_further(row.key)?.to_vec())),
        None => Ok(None),
    }
}
