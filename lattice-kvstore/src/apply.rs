//! Applies one op to the state.
//!
//! What a reader sees is a function of the set of applied ops: a key's values are those that valid
//! applied ops put there and no valid applied op supersedes. A mark identifies a value that arrives
//! after an op that supersedes it.
//!
//! The order of arrival therefore cannot matter. A reference need not be plausible: it may name an
//! op that its author cannot have seen, or a wrong author or sequence number. References are
//! compared as (author, seq, id). A mark for an op that never arrives stays.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Bound;

use lattice_backend::backend::{BackendError, Direction, PrefixSpan, Result, Span, Table};
use lattice_backend::machine::{DataWrite, History};
use lattice_backend::op::{ApplyIndex, OpRef, OpView, Stamp};
use lattice_meta::readable_start;

use crate::payload::{Payload, place_of};
use crate::rows::{self, Cell, KeyHash, MAX_INSIDE, OpHash, SiblingRow};

/// Applies an op's payload.
pub(crate) fn apply(
    op: &OpView<'_>,
    payload: &Payload<'_>,
    data: &mut dyn DataWrite,
    history: &dyn History,
) -> Result<()> {
    let put_by = SiblingRow {
        stamp: Stamp {
            hlc: op.hlc,
            op: op.reference,
        },
        index: op.index,
    };
    let marked = marked(&op.reference, data, history)?;
    let mut refs = Refs::new(history, &payload.refs);
    // Used again for each write: to allocate takes a module longer than to copy.
    let (mut cell_key, mut row) = (Vec::new(), Vec::new());
    for write in &payload.writes {
        if write.supersedes.is_empty() && write.value.is_none() {
            // The write changes nothing, but it must take its mark.
            if let Some(op) = marked {
                take_mark(op, write.key, data, history)?;
            }
            continue;
        }
        rows::set_cell_key(&mut cell_key, write.key);
        let mut values = Values::read(write.key, &cell_key, data)?;
        let mut key_hash = None;
        for &place in &write.supersedes {
            let place = place_of(place);
            if !values.supersede(place, &mut refs, data)? && refs.index(place)?.is_none() {
                let key = *key_hash.get_or_insert_with(|| KeyHash::of(write.key, history));
                data.put(&rows::mark_key(refs.hash(place), key), &[])?;
            }
        }
        let is_marked = match marked {
            Some(op) => take_mark(op, write.key, data, history)?,
            None => false,
        };
        if let Some(value) = write.value.filter(|_| !is_marked) {
            values.put(&put_by, value, data, history)?;
        }
        values.finish(&mut row, data)?;
    }
    Ok(())
}

/// The op's name in marks, if an applied op supersedes its value at any key. Most stores have no
/// marks, and looking for any mark is cheaper than hashing the op's name.
fn marked(op: &OpRef, data: &dyn DataWrite, history: &dyn History) -> Result<Option<OpHash>> {
    let has_rows = |span: Span<'_>| -> Result<bool> {
        let mut rows = data.range(span, Direction::Forward)?;
        Ok(rows.next()?.is_some())
    };
    let first = Bound::Included(&rows::MARK_PREFIX[..]);
    if !has_rows((first, Bound::Excluded(&rows::AFTER_MARKS[..])))? {
        return Ok(None);
    }
    let op = OpHash::of(op, history);
    let marks = PrefixSpan::new(&rows::mark_prefix(op));
    Ok(has_rows(marks.span())?.then_some(op))
}

/// Removes an op's mark at a key, if it exists.
fn take_mark(
    op: OpHash,
    key: &[u8],
    data: &mut dyn DataWrite,
    history: &dyn History,
) -> Result<bool> {
    let mark = rows::mark_key(op, KeyHash::of(key, history));
    let is_marked = data.get(&mark)?.is_some();
    if is_marked {
        data.remove(&mark)?;
    }
    Ok(is_marked)
}

/// The ops that a payload names. Index, stamp and hash of each are computed once, and only on
/// demand: a place in a payload takes four bytes, a look-up reads more than a thousand.
struct Refs<'a> {
    history: &'a dyn History,
    ops: &'a [OpRef],
    known: Vec<Option<Option<ApplyIndex>>>,
    stamps: Vec<Option<Stamp>>,
    hashes: Vec<Option<OpHash>>,
}

impl<'a> Refs<'a> {
    fn new(history: &'a dyn History, ops: &'a [OpRef]) -> Self {
        Self {
            history,
            ops,
            known: vec![None; ops.len()],
            stamps: Vec::new(),
            hashes: Vec::new(),
        }
    }

    /// The apply index of an op, if it is applied.
    fn index(&mut self, place: usize) -> Result<Option<ApplyIndex>> {
        if let Some(known) = self.known[place] {
            return Ok(known);
        }
        let found = self.history.index_of(&self.ops[place])?;
        self.known[place] = Some(found);
        Ok(found)
    }

    /// The stamp of an applied op, given its apply index.
    fn stamp(&mut self, place: usize, index: ApplyIndex) -> Result<Stamp> {
        if self.stamps.is_empty() {
            self.stamps.resize(self.ops.len(), None);
        }
        if let Some(known) = self.stamps[place] {
            return Ok(known);
        }
        let found = self.history.stamp(index)?;
        self.stamps[place] = Some(found);
        Ok(found)
    }

    /// The hash of the reference, for marks.
    fn hash(&mut self, place: usize) -> OpHash {
        if self.hashes.is_empty() {
            self.hashes.resize(self.ops.len(), None);
        }
        *self.hashes[place].get_or_insert_with(|| OpHash::of(&self.ops[place], self.history))
    }
}

/// A key's values while an op changes them. Rows of values and siblings change immediately, the
/// cell's own row at the end.
struct Values<'a> {
    key: &'a [u8],
    /// The key of the cell's row.
    cell_key: &'a [u8],
    /// The cell's row as it is stored; empty if it has no row.
    row: Vec<u8>,
    held: Held<'a>,
    /// Whether the stored row of the cell equals `held`.
    is_stored: bool,
}

#[derive(Clone, Copy)]
enum Held<'a> {
    None,
    /// One value, inline in the stored cell.
    Inside {
        index: ApplyIndex,
    },
    /// The op's own value, for the cell.
    New {
        index: ApplyIndex,
        value: &'a [u8],
    },
    /// One value, in its own row.
    Apart {
        index: ApplyIndex,
    },
    /// Several values, or the rest of them; `current` is `None` once that one is removed.
    Siblings {
        current: Option<ApplyIndex>,
        count: u64,
    },
}

impl Held<'_> {
    fn of(cell: Cell<'_>) -> Self {
        match cell {
            Cell::Inside { index, .. } => Self::Inside { index },
            Cell::Apart { index } => Self::Apart { index },
            Cell::Siblings { current, count } => Self::Siblings {
                current: Some(current),
                count,
            },
        }
    }
}

impl<'a> Values<'a> {
    fn read(key: &'a [u8], cell_key: &'a [u8], data: &dyn DataWrite) -> Result<Self> {
        // Not by `show`: the host keeps the rows that an op gets, and compares its puts with them.
        let (held, row) = match data.get(cell_key)? {
            None => (Held::None, Vec::new()),
            Some(row) => (Held::of(Cell::decode(&row)?), row),
        };
        Ok(Self {
            key,
            cell_key,
            row,
            held,
            is_stored: true,
        })
    }

    /// Removes the value that an op has put, if the key has it. Returns whether it had.
    fn supersede(
        &mut self,
        place: usize,
        refs: &mut Refs<'_>,
        data: &mut dyn DataWrite,
    ) -> Result<bool> {
        self.held = match self.held {
            Held::None | Held::New { .. } => return Ok(false),
            held @ (Held::Inside { index } | Held::Apart { index }) => {
                if refs.index(place)? != Some(index) {
                    return Ok(false);
                }
                if let Held::Apart { .. } = held {
                    self.remove_value(index, data)?;
                }
                Held::None
            }
            Held::Siblings { current, count } => {
                let Some(index) = refs.index(place)? else {
                    return Ok(false);
                };
                let sibling = rows::sibling_key(self.key, &refs.stamp(place, index)?);
                if data.get(&sibling)?.is_none() {
                    return Ok(false);
                }
                data.remove(&sibling)?;
                self.remove_value(index, data)?;
                Held::Siblings {
                    current: current.filter(|current| *current != index),
                    count: count
                        .checked_sub(1)
                        .ok_or_else(|| miscounted(self.key, count))?,
                }
            }
        };
        self.is_stored = false;
        Ok(true)
    }

    /// Writes the cell.
    fn finish(mut self, row: &mut Vec<u8>, data: &mut dyn DataWrite) -> Result<()> {
        self.settle(data)?;
        if self.is_stored {
            return Ok(());
        }
        let cell = match self.held {
            Held::None => return data.remove(self.cell_key),
            Held::Inside { .. } => return Ok(()),
            Held::New { index, value } => Cell::Inside { index, value },
            Held::Apart { index } => Cell::Apart { index },
            Held::Siblings { current, count } => Cell::Siblings {
                current: current.ok_or_else(|| miscounted(self.key, count))?,
                count,
            },
        };
        cell.encode_to(row);
        data.put(self.cell_key, row)
    }

    /// Adds the op's own value.
    fn put(
        &mut self,
        put_by: &SiblingRow,
        value: &'a [u8],
        data: &mut dyn DataWrite,
        history: &dyn History,
    ) -> Result<()> {
        self.is_stored = false;
        let index = put_by.index;
        let (current, count) = match self.held {
            Held::None | Held::Siblings { count: 0, .. } => {
                self.held = match value.len() {
                    0..=MAX_INSIDE => Held::New { index, value },
                    _ => {
                        self.put_value(index, value, data)?;
                        Held::Apart { index }
                    }
                };
                return Ok(());
            }
            Held::Inside { index } => {
                match Cell::decode(&self.row)? {
                    Cell::Inside { value, .. } => self.put_value(index, value, data)?,
                    _ => return Err(miscounted(self.key, 1)),
                }
                (self.join(index, data, history)?, 1)
            }
            Held::Apart { index } => (self.join(index, data, history)?, 1),
            Held::Siblings { count, .. } => (self.greatest(count, data)?, count),
            Held::New { .. } => return Err(miscounted(self.key, 1)),
        };
        self.put_value(index, value, data)?;
        self.add_sibling(put_by, data)?;
        let is_current = put_by.stamp.rank() > current.stamp.rank();
        self.held = Held::Siblings {
            current: Some(if is_current { index } else { current.index }),
            count: count
                .checked_add(1)
                .ok_or_else(|| miscounted(self.key, count))?,
        };
        Ok(())
    }

    /// Makes the only value a sibling.
    fn join(
        &self,
        index: ApplyIndex,
        data: &mut dyn DataWrite,
        history: &dyn History,
    ) -> Result<SiblingRow> {
        let stamp = history.stamp(index)?;
        let sibling = SiblingRow { stamp, index };
        self.add_sibling(&sibling, data)?;
        Ok(sibling)
    }

    fn put_value(&self, index: ApplyIndex, value: &[u8], data: &mut dyn DataWrite) -> Result<()> {
        data.put(&rows::value_key(self.key, index), value)
    }

    fn remove_value(&self, index: ApplyIndex, data: &mut dyn DataWrite) -> Result<()> {
        data.remove(&rows::value_key(self.key, index))
    }

    fn add_sibling(&self, sibling: &SiblingRow, data: &mut dyn DataWrite) -> Result<()> {
        data.put(
            &rows::sibling_key(self.key, &sibling.stamp),
            &rows::sibling_row(sibling),
        )
    }

    /// Finds the current value again, and removes the sibling row of an only value.
    fn settle(&mut self, data: &mut dyn DataWrite) -> Result<()> {
        match self.held {
            Held::Siblings { count: 0, .. } => self.held = Held::None,
            Held::Siblings { count: 1, .. } => {
                let last = self.greatest(1, data)?;
                data.remove(&rows::sibling_key(self.key, &last.stamp))?;
                self.held = Held::Apart { index: last.index };
            }
            Held::Siblings {
                current: None,
                count,
            } => {
                let current = self.greatest(count, data)?.index;
                self.held = Held::Siblings {
                    current: Some(current),
                    count,
                };
            }
            _ => {}
        }
        Ok(())
    }

    fn greatest(&self, count: u64, data: &dyn DataWrite) -> Result<SiblingRow> {
        let span = rows::sibling_span(self.key);
        let mut siblings = data.range(span.span(), Direction::Backward)?;
        match siblings.next()? {
            Some(row) => rows::decode_sibling(row.key, row.value),
            None => Err(miscounted(self.key, count)),
        }
    }
}

#[cold]
#[inline(never)]
fn miscounted(key: &[u8], count: u64) -> BackendError {
    let shown = readable_start(key, 16);
    let found = format!("{count} counted at {shown}, and other rows");
    BackendError::row(Table::Data, "a cell that counts its siblings", found)
}
