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

/// Receives keys.
type EachKey<'a> = &'a mut dyn FnMut(&[u8]) -> ControlFlow<()>;
/// Receives keys and their current values.
type EachValue<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>;
/// Receives keys, their current values, and the times of the ops that put these.
#[cfg(feature = "std")]
type EachTime<'a> = &'a mut dyn FnMut(&[u8], &[u8], Hlc) -> ControlFlow<()>;
/// Receives keys and their cells.
type EachCell<'a> = &'a mut dyn FnMut(&[u8], Cell<'_>) -> Result<ControlFlow<()>>;

/// A key's current value.
pub(crate) fn value(data: &dyn DataRead, key: &[u8]) -> Result<Option<Vec<u8>>> {
    let mut found = None;
    show(data, key, &mut |value| found = Some(value.to_vec()))?;
    Ok(found)
}

/// Passes a key's current value to `see`, if it has one. Returns whether it has.
pub(crate) fn show(data: &dyn DataRead, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
    let (mut apart, mut failed) = (None, None);
    let is_there = rows::with_cell_key(key, &mut |cell_key| {
        data.show(cell_key, &mut |row| match Cell::decode(row) {
            Ok(Cell::Inside { value, .. }) => see(value),
            Ok(cell) => apart = Some(cell.current()),
            Err(error) => failed = Some(error),
        })
    })?;
    match (apart, failed) {
        (_, Some(error)) => Err(error),
        (Some(index), None) => show_apart(data, key, index, see).map(|()| true),
        (None, None) => Ok(is_there),
    }
}

/// Passes a value that has a row of its own to `see`.
fn show_apart(
    data: &dyn DataRead,
    key: &[u8],
    index: ApplyIndex,
    see: &mut dyn FnMut(&[u8]),
) -> Result<()> {
    match data.show(&rows::value_key(key, index), see)? {
        true => Ok(()),
        false => Err(rows::damaged("a row for the value of a cell", key)),
    }
}

/// Whether a key has a value.
pub(crate) fn contains(data: &dyn DataRead, key: &[u8]) -> Result<bool> {
    rows::with_cell_key(key, &mut |key| data.show(key, &mut |_| ()))
}

/// The row of a key's cell.
fn cell_row(data: &dyn DataRead, key: &[u8]) -> Result<Option<Vec<u8>>> {
    let mut found = None;
    rows::with_cell_key(key, &mut |cell_key| {
        data.show(cell_key, &mut |row| found = Some(row.to_vec()))
    })?;
    Ok(found)
}

/// The concurrent values of a key, the current one first.
#[cfg(feature = "std")]
pub(crate) fn conflicts(
    data: &dyn DataRead,
    history: &dyn History,
    key: &[u8],
) -> Result<Vec<Sibling>> {
    let mut all = Vec::new();
    show_conflicts(data, history, key, &mut |stamp, value| {
        all.push(Sibling {
            value: value.to_vec(),
            op: stamp.op,
            hlc: stamp.hlc,
        });
    })?;
    Ok(all)
}

/// Passes the concurrent values of a key to `each`, the current one first.
pub(crate) fn show_conflicts(
    data: &dyn DataRead,
    history: &dyn History,
    key: &[u8],
    each: &mut dyn FnMut(&Stamp, &[u8]),
) -> Result<()> {
    let Some(row) = cell_row(data, key)? else {
        return Ok(());
    };
    let siblings = match Cell::decode(&row)? {
        Cell::Inside { index, value } => {
            each(&history.stamp(index)?, value);
            return Ok(());
        }
        Cell::Apart { index } => {
            let stamp = history.stamp(index)?;
            Vec::from([SiblingRow { stamp, index }])
        }
        Cell::Siblings { .. } => sibling_rows(data, key)?,
    };
    for SiblingRow { stamp, index } in &siblings {
        show_apart(data, key, *index, &mut |value| each(stamp, value))?;
    }
    Ok(())
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

/// Adds the ops that put a key's concurrent values to `ops`, that of the current one first. Reads no
/// value that has a row of its own.
pub(crate) fn head_ops(
    data: &dyn DataRead,
    history: &dyn History,
    key: &[u8],
    ops: &mut Vec<OpRef>,
) -> Result<()> {
    if let Some(row) = cell_row(data, key)? {
        match Cell::decode(&row)? {
            Cell::Siblings { .. } => {
                let siblings = sibling_rows(data, key)?;
                ops.extend(siblings.iter().map(|sibling| sibling.stamp.op));
            }
            cell => ops.push(history.stamp(cell.current())?.op),
        }
    }
    Ok(())
}

/// Passes the keys of a range to `each`, one after another.
pub(crate) fn scan_keys(
    data: &dyn DataRead,
    range: &KeyRange,
    direction: Direction,
    each: EachKey<'_>,
) -> Result<()> {
    scan_cells(data, range, direction, &mut |key, _| Ok(each(key)))
}

/// Passes the keys of a range and their current values to `each`, one after another.
pub(crate) fn scan(
    data: &dyn DataRead,
    range: &KeyRange,
    direction: Direction,
    each: EachValue<'_>,
) -> Result<()> {
    scan_cells(data, range, direction, &mut |key, cell| match cell {
        Cell::Inside { value, .. } => Ok(each(key, value)),
        cell => {
            let mut next = ControlFlow::Continue(());
            let mut see = |value: &[u8]| next = each(key, value);
            show_apart(data, key, cell.current(), &mut see)?;
            Ok(next)
        }
    })
}

/// The same with the time of the op that put the current value.
#[cfg(feature = "std")]
pub(crate) fn scan_times(
    data: &dyn DataRead,
    history: &dyn History,
    range: &KeyRange,
    direction: Direction,
    each: EachTime<'_>,
) -> Result<()> {
    scan_cells(data, range, direction, &mut |key, cell| {
        let Stamp { hlc, .. } = history.stamp(cell.current())?;
        match cell {
            Cell::Inside { value, .. } => Ok(each(key, value, hlc)),
            cell => {
                let mut next = ControlFlow::Continue(());
                let mut see = |value: &[u8]| next = each(key, value, hlc);
                show_apart(data, key, cell.current(), &mut see)?;
                Ok(next)
            }
        }
    })
}

fn scan_cells(
    data: &dyn DataRead,
    range: &KeyRange,
    direction: Direction,
    each: EachCell<'_>,
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
