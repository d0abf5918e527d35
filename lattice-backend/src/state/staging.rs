//! Buffers an op's writes until the op is accepted.

use std::collections::BTreeMap;
use std::collections::btree_map::{self, Entry};
use std::ops::Bound;

use crate::backend::tx::{NoRows, is_empty_span};
use crate::backend::{Direction, Result, Row, RowCursor, Rows, Span};
use crate::machine::{DataRead, DataWrite, History, Limits};
use crate::op::{ApplyIndex, OpRef, OpView, Stamp};
use crate::state::reads::Reads;

/// The written rows by key.
pub(crate) type Writes = BTreeMap<Vec<u8>, Written>;

/// A row that an op writes.
#[derive(Debug)]
pub(crate) struct Written {
    /// If the op has read it before: its value, or `None` if there was no row.
    pub(crate) before: Option<Option<Vec<u8>>>,
    /// Its value, or `None` for a removed row.
    pub(crate) after: Option<Vec<u8>>,
}

/// The base rows, seen through the writes of one op. It counts the op's use of the host, and stops
/// an op that exceeds its limits.
pub struct Staged<'a> {
    base: &'a dyn DataRead,
    limits: &'a Limits,
    reads: Reads,
    writes: Writes,
}

impl<'a> Staged<'a> {
    /// An empty buffer over `base`.
    pub fn new(base: &'a dyn DataRead, limits: &'a Limits) -> Self {
        Self::after(Reads::default(), base, limits)
    }

    /// The same, with rows that were read before.
    pub(crate) fn after(reads: Reads, base: &'a dyn DataRead, limits: &'a Limits) -> Self {
        Self {
            base,
            limits,
            reads,
            writes: Writes::new(),
        }
    }

    /// Returns all writes.
    pub(crate) fn into_writes(self) -> Writes {
        self.writes
    }

    fn write(&mut self, key: &[u8], after: Option<Vec<u8>>) {
        let (key, before) = match self.reads.take(key) {
            Some((key, before)) => (key, Some(before)),
            None => (key.to_vec(), None),
        };
        match self.writes.entry(key) {
            Entry::Occupied(mut written) => written.get_mut().after = after,
            Entry::Vacant(free) => drop(free.insert(Written { before, after })),
        }
    }
}

impl DataRead for Staged<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.limits.call()?;
        let value = match self.written(key) {
            Some(written) => written.after.clone(),
            None => self.reads.over(self.base).get(key)?,
        };
        if let Some(value) = &value {
            self.limits.value_read(key.len() + value.len())?;
        }
        Ok(value)
    }

    fn show(&self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        self.limits.call()?;
        let mut bytes = key.len();
        let mut see = |value: &[u8]| {
            bytes += value.len();
            see(value);
        };
        let is_there = match self.written(key) {
            Some(written) => written.after.as_deref().map(&mut see).is_some(),
            None => self.reads.over(self.base).show(key, &mut see)?,
        };
        if is_there {
            self.limits.value_read(bytes)?;
        }
        Ok(is_there)
    }

    fn range(&self, span: Span<'_>, direction: Direction) -> Result<Rows<'_>> {
        self.limits.call()?;
        if is_empty_span(span) {
            return Ok(Box::new(NoRows));
        }
        let base = self.base.range(span, direction)?;
        let rows = match self.writes.is_empty() {
            true => base,
            false => self.merged(base, span, direction),
        };
        Ok(Box::new(Counted {
            rows,
            limits: self.limits,
            nth: 0,
        }))
    }
}

impl Staged<'_> {
    /// Most ops write keys in ascending order, and read each before they write it.
    fn written(&self, key: &[u8]) -> Option<&Written> {
        let (last, _) = self.writes.last_key_value()?;
        match last.as_slice() < key {
            true => None,
            false => self.writes.get(key),
        }
    }

    fn merged<'b>(&'b self, base: Rows<'b>, span: Span<'_>, direction: Direction) -> Rows<'b> {
        let writes = self
            .writes
            .range::<[u8], (Bound<&[u8]>, Bound<&[u8]>)>(span);
        Box::new(Merged {
            base,
            limits: self.limits,
            ahead: None,
            base_done: false,
            writes,
            write: None,
            lent: None,
            direction,
        })
    }
}

impl DataWrite for Staged<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.limits.call()?;
        self.limits.row_written(key.len() + value.len())?;
        self.write(key, Some(value.to_vec()));
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) -> Result<()> {
        self.limits.call()?;
        self.limits.row_written(key.len())?;
        self.write(key, None);
        Ok(())
    }
}

/// Rows of a range; each row that is returned counts towards the limits.
struct Counted<'a> {
    rows: Rows<'a>,
    limits: &'a Limits,
    nth: u64,
}

impl RowCursor for Counted<'_> {
    fn next(&mut self) -> Result<Option<Row<'_>>> {
        let row = self.rows.next()?;
        if let Some(row) = row {
            self.nth += 1;
            self.limits
                .row_read(self.nth, row.key.len() + row.value.len())?;
        }
        Ok(row)
    }
}

/// History; each call counts as a host call.
pub struct CountedHistory<'a> {
    history: &'a dyn History,
    limits: &'a Limits,
}

impl<'a> CountedHistory<'a> {
    /// Counts the calls to `history`.
    pub fn new(history: &'a dyn History, limits: &'a Limits) -> Self {
        Self { history, limits }
    }
}

impl History for CountedHistory<'_> {
    fn count(&self) -> Result<u64> {
        self.limits.call()?;
        self.history.count()
    }

    fn index_of(&self, op: &OpRef) -> Result<Option<ApplyIndex>> {
        self.limits.call()?;
        self.history.index_of(op)
    }

    fn stamp(&self, index: ApplyIndex) -> Result<Stamp> {
        self.limits.call()?;
        self.history.stamp(index)
    }

    fn show(&self, index: ApplyIndex, see: &mut dyn FnMut(&OpView<'_>)) -> Result<()> {
        self.limits.call()?;
        self.history.show(index, see)
    }
}

/// Merges two ordered sources: a written row replaces the base row with its key.
struct Merged<'a> {
    base: Rows<'a>,
    limits: &'a Limits,
    /// The base's next row, read ahead to compare keys. It is a copy, since the base only lends it.
    ahead: Option<(Vec<u8>, Vec<u8>)>,
    base_done: bool,
    writes: btree_map::Range<'a, Vec<u8>, Written>,
    write: Option<(&'a [u8], Option<&'a [u8]>)>,
    /// The base row that the caller borrows.
    lent: Option<(Vec<u8>, Vec<u8>)>,
    direction: Direction,
}

impl Merged<'_> {
    fn fill(&mut self) -> Result<()> {
        if self.ahead.is_none() && !self.base_done {
            self.ahead = self
                .base
                .next()?
                .map(|row| (row.key.to_vec(), row.value.to_vec()));
            self.base_done = self.ahead.is_none();
        }
        if self.write.is_none() {
            let next = match self.direction {
                Direction::Forward => self.writes.next(),
                Direction::Backward => self.writes.next_back(),
            };
            self.write = next.map(|(key, row)| (key.as_slice(), row.after.as_deref()));
        }
        Ok(())
    }
}

impl RowCursor for Merged<'_> {
    fn next(&mut self) -> Result<Option<Row<'_>>> {
        use std::cmp::Ordering;
        loop {
            self.fill()?;
            let order = match (&self.ahead, &self.write) {
                (None, None) => return Ok(None),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((base, _)), Some((written, _))) => {
                    let order = base.as_slice().cmp(written);
                    if self.direction == Direction::Forward {
                        order
                    } else {
                        order.reverse()
                    }
                }
            };
            if order == Ordering::Less {
                break;
            }
            if order == Ordering::Equal {
                self.ahead = None;
            }
            if let Some((key, Some(value))) = self.write.take() {
                return Ok(Some(Row { key, value }));
            }
            // Skipping a removed row is work too.
            self.limits.call()?;
        }
        self.lent = self.ahead.take();
        Ok(self.lent.as_ref().map(|(key, value)| Row { key, value }))
    }
}
