//! Reads over the rows of a store, from any source.

use alloc::vec::Vec;
use core::ops::{Bound, ControlFlow};

use lattice_backend::backend::{Direction, PrefixSpan, Result, Row};
use lattice_backend::machine::{DataRead, History};
use lattice_backend::op::{ApplyIndex, OpRef, Stamp};
use lattice_meta::Hlc;

use crate::range::KeyRange;
use crate::rows::{self, Cell, SiblingRow};

/// One of the concurrent values of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sibling {
    /// The value.
    pub value: Vec<u8>,
    /// The op that put it.
    pub op: OpRef,
    /// When that op was made, by its author's hybrid clock.
    pub hlc: Hlc,
}

impl Sibling {
    fn new(stamp: Stamp, value: &[u8]) -> Self {
        Self {
            value: value.to_vec(),
            op: stamp.op,
            hlc: stamp.hlc,
        }
    }
}

/// A key's current value.
pub(crate) fn value(data: &dyn DataRead, key: &[u8]) -> Result<Option<Vec<u8>>> {
    show(data, key, <[u8]>::to_vec)
}

/// Passes a key's current value to `see`, if it has one.
pub(crate) fn show<T>(
    data: &dyn DataRead,
    key: &[u8],
    see: impl FnOnce(&[u8]) -> T,
) -> Result<Option<T>> {
    let (mut see, mut seen, mut apart) = (Some(see), None, None);
    rows::with_cell_key(key, |cell_key| {
        data.show(cell_key, &mut |row| match Cell::decode(row) {
            Ok(Cell::Inside { value, .. }) => seen = see.take().map(|see| Ok(see(value))),
            Ok(cell) => apart = Some(cell.current()),
            Err(error) => seen = Some(Err(error)),
        })
    })?;
    if let (Some(index), Some(see)) = (apart, see) {
        return show_apart(data, key, index, see).map(Some);
    }
    seen.transpose()
}

/// Passes a value that has a row of its own to `see`.
fn show_apart<T>(
    data: &dyn DataRead,
    key: &[u8],
    index: ApplyIndex,
    see: impl FnOnce(&[u8]) -> T,
) -> Result<T> {
    let (mut see, mut seen) = (Some(see), None);
    data.show(&rows::value_key(key, index), &mut |value| {
        seen = see.take().map(|see| see(value));
    })?;
    seen.ok_or_else(|| rows::damaged("a row for the value of a cell", key))
}

/// Whether a key has a value.
pub(crate) fn contains(data: &dyn DataRead, key: &[u8]) -> Result<bool> {
    rows::with_cell_key(key, |key| data.show(key, &mut |_| ()))
}

/// The concurrent values of a key, the current one first.
pub(crate) fn conflicts(
    data: &dyn DataRead,
    history: &dyn History,
    key: &[u8],
) -> Result<Vec<Sibling>> {
    let Some(row) = data.get(&rows::cell_key(key))? else {
        return Ok(Vec::new());
    };
    match Cell::decode(&row)? {
        Cell::Inside { index, value } => {
            Ok(Vec::from([Sibling::new(history.stamp(index)?, value)]))
        }
        Cell::Apart { index } => {
            let stamp = history.stamp(index)?;
            let sibling = show_apart(data, key, index, |value| Sibling::new(stamp, value))?;
            Ok(Vec::from([sibling]))
        }
        Cell::Siblings { .. } => {
            let mut siblings = Vec::new();
            for SiblingRow { stamp, index } in sibling_rows(data, key)? {
                siblings.push(show_apart(data, key, index, |value| {
                    Sibling::new(stamp, value)
                })?);
            }
            Ok(siblings)
        }
    }
}

/// The siblings of a key with several values, the current one first.
fn sibling_rows(data: &dyn DataRead, key: &[u8]) -> Result<Vec<SiblingRow>> {
    let span = rows::sibling_span(key);
    let mut cursor = data.range(span.span(), Direction::Backward)?;
    let mut siblings = Vec::new();
    while let Some(row) = cursor.next()? {
        siblings.push(rows::decode_sibling(row.key, row.value)?);
    }
    Ok(siblings)
}

/// The ops that put a key's concurrent values, that of the current one first. Reads no value that
/// has a row of its own.
pub(crate) fn head_ops(
    data: &dyn DataRead,
    history: &dyn History,
    key: &[u8],
) -> Result<Vec<OpRef>> {
    let Some(row) = rows::with_cell_key(key, |cell_key| data.get(cell_key))? else {
        return Ok(Vec::new());
    };
    match Cell::decode(&row)? {
        Cell::Siblings { .. } => {
            let siblings = sibling_rows(data, key)?.into_iter();
            Ok(siblings.map(|sibling| sibling.stamp.op).collect())
        }
        cell => Ok(Vec::from([history.stamp(cell.current())?.op])),
    }
}

/// Passes the keys of a range to `each`, one after another.
pub(crate) fn scan_keys(
    data: &dyn DataRead,
    range: &KeyRange,
    direction: Direction,
    mut each: impl FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<()> {
    scan_cells(data, range, direction, |key, _| Ok(each(key)))
}

/// Passes the keys of a range and their current values to `each`, one after another.
pub(crate) fn scan(
    data: &dyn DataRead,
    range: &KeyRange,
    direction: Direction,
    mut each: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
) -> Result<()> {
    scan_cells(data, range, direction, |key, cell| match cell {
        Cell::Inside { value, .. } => Ok(each(key, value)),
        cell => show_apart(data, key, cell.current(), |value| each(key, value)),
    })
}

/// The same with the time of the op that put the current value.
#[cfg(feature = "std")]
pub(crate) fn scan_times(
    data: &dyn DataRead,
    history: &dyn History,
    range: &KeyRange,
    direction: Direction,
    mut each: impl FnMut(&[u8], &[u8], Hlc) -> ControlFlow<()>,
) -> Result<()> {
    scan_cells(data, range, direction, |key, cell| {
        let Stamp { hlc, .. } = history.stamp(cell.current())?;
        match cell {
            Cell::Inside { value, .. } => Ok(each(key, value, hlc)),
            cell => show_apart(data, key, cell.current(), |value| each(key, value, hlc)),
        }
    })
}

fn scan_cells(
    data: &dyn DataRead,
    range: &KeyRange,
    direction: Direction,
    mut each: impl FnMut(&[u8], Cell<'_>) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let span = range.cell_span();
    let mut cursor = data.range(span.span(), direction)?;
    let mut failed = None;
    let mut one = |row: Row<'_>| each(rows::key_of_cell(row.key)?, Cell::decode(row.value)?);
    cursor.visit(&mut |row| {
        one(row).unwrap_or_else(|error| {
            failed = Some(error);
            ControlFlow::Break(())
        })
    })?;
    failed.map_or(Ok(()), Err)
}

/// The next key after `last` that has more than one value. Keys come in the order of their lengths,
/// and keys of the same length in the order of their bytes.
pub(crate) fn next_conflicted(data: &dyn DataRead, last: Option<&[u8]>) -> Result<Option<Vec<u8>>> {
    let all = PrefixSpan::new(&rows::SIBLING_PREFIX);
    let before = last.map(rows::sibling_span);
    let (first, end) = all.span();
    let start = match &before {
        // The next key's range starts at or after the end of the last one's.
        Some(before) => match before.span().1 {
            Bound::Excluded(end) => Bound::Included(end),
            other => other,
        },
        None => first,
    };
    let mut cursor = data.range((start, end), Direction::Forward)?;
    match cursor.next()? {
        Some(row) => Ok(Some(rows::key_of_sibling(row.key)?.to_vec())),
        None => Ok(None),
    }
}
