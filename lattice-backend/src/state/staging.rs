//! The buffer that an op's writes go to before anything of them is real.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::ops::Bound;

use crate::backend::tx::{NoRows, is_empty_span};
use crate::backend::{Direction, Result, Row, RowCursor, Rows, Span};
use crate::machine::{DataRead, DataWrite, History, Limits};
use crate::op::{ApplyIndex, OpRef, OpView, Stamp};

/// What was written: a value, or nothing where a row was removed.
pub(crate) type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Rows as they are underneath, seen through the writes of one op. It counts what the op uses of
/// its host and stops an op that uses too much.
pub struct Staged<'a> {
    base: &'a dyn DataRead,
    limits: &'a Limits,
    writes: Writes,
}

impl<'a> Staged<'a> {
    /// A buffer over `base`, empty at first.
    pub fn new(base: &'a dyn DataRead, limits: &'a Limits) -> Self {
        Self {
            base,
            limits,
            writes: Writes::new(),
        }
    }

    /// Takes out everything written.
    pub(crate) fn into_writes(self) -> Writes {
        self.writes
    }
}

impl DataRead for Staged<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.limits.call()?;
        let value = match self.writes.get(key) {
            Some(written) => written.clone(),
            None => self.base.get(key)?,
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
        let is_there = match self.writes.get(key) {
            Some(written) => written.as_deref().map(&mut see).is_some(),
            None => self.base.show(key, &mut see)?,
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
        self.writes.insert(key.to_vec(), Some(value.to_vec()));
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) -> Result<()> {
        self.limits.call()?;
        self.limits.row_written(key.len())?;
        self.writes.insert(key.to_vec(), None);
        Ok(())
    }
}

/// Rows of a range, counted as they are given.
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

/// History whose calls count as those of the host.
pub struct CountedHistory<'a> {
    history: &'a dyn History,
    limits: &'a Limits,
}

impl<'a> CountedHistory<'a> {
    /// The same history, counted.
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

/// Two ordered sources in one: a written row replaces the base row of its key.
struct Merged<'a> {
    base: Rows<'a>,
    limits: &'a Limits,
    /// The base's next row, read ahead to compare keys; copied, since the base lends it.
    ahead: Option<(Vec<u8>, Vec<u8>)>,
    base_done: bool,
    writes: btree_map::Range<'a, Vec<u8>, Option<Vec<u8>>>,
    write: Option<(&'a [u8], Option<&'a [u8]>)>,
    /// The base row that the caller holds now.
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
            self.write = next.map(|(key, value)| (key.as_slice(), value.as_deref()));
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
            // A removed row is passed over, which is work too.
            self.limits.call()?;
        }
        self.lent = self.ahead.take();
        Ok(self.lent.as_ref().map(|(key, value)| Row { key, value }))
    }
}
