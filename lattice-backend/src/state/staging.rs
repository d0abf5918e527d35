//! The buffer that an op's writes go to before anything of them is real.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::collections::btree_map;
use alloc::vec::Vec;
use core::ops::Bound;

use crate::backend::tx::{NoRows, is_empty_span};
use crate::backend::{Direction, Result, Row, RowCursor, Rows, Span};
use crate::machine::{DataRead, DataWrite};

/// What was written: a value, or nothing where a row was removed.
pub(crate) type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Rows as they are underneath, seen through the writes of one op.
pub struct Staged<'a> {
    base: &'a dyn DataRead,
    writes: Writes,
}

impl<'a> Staged<'a> {
    /// A buffer over `base`, empty at first.
    pub fn new(base: &'a dyn DataRead) -> Self {
        Self {
            base,
            writes: Writes::new(),
        }
    }

    /// Drops everything written.
    pub(crate) fn clear(&mut self) {
        self.writes.clear();
    }

    /// Takes out everything written.
    pub(crate) fn into_writes(self) -> Writes {
        self.writes
    }
}

impl DataRead for Staged<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        match self.writes.get(key) {
            Some(written) => Ok(written.clone()),
            None => self.base.get(key),
        }
    }

    fn range(&self, span: Span<'_>, direction: Direction) -> Result<Rows<'_>> {
        if is_empty_span(span) {
            return Ok(Box::new(NoRows));
        }
        let base = self.base.range(span, direction)?;
        if self.writes.is_empty() {
            return Ok(base);
        }
        let writes = self
            .writes
            .range::<[u8], (Bound<&[u8]>, Bound<&[u8]>)>(span);
        Ok(Box::new(Merged {
            base,
            ahead: None,
            base_done: false,
            writes,
            write: None,
            lent: None,
            direction,
        }))
    }
}

impl DataWrite for Staged<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.writes.insert(key.to_vec(), Some(value.to_vec()));
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) -> Result<()> {
        self.writes.insert(key.to_vec(), None);
        Ok(())
    }
}

/// Two ordered sources in one: a written row stands in front of the base row of its key.
struct Merged<'a> {
    base: Rows<'a>,
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
        use core::cmp::Ordering;
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
        }
        self.lent = self.ahead.take();
        Ok(self.lent.as_ref().map(|(key, value)| Row { key, value }))
    }
}
