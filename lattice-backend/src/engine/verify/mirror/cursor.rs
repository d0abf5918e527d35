//! Rows of a mirror in order.

use std::cmp::Ordering;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::backend::{Direction, Result, Row, RowCursor, Rows, Table};
use crate::engine::verify::mirror::marks::{KeyHasher, Marks};

/// A row that was copied from the cursor that lent it.
#[derive(Default)]
struct Copied {
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Copied {
    fn keep(&mut self, row: Row<'_>) {
        self.key.clear();
        self.key.extend_from_slice(row.key);
        self.value.clear();
        self.value.extend_from_slice(row.value);
    }

    fn row(&self) -> Row<'_> {
        Row {
            key: &self.key,
            value: &self.value,
        }
    }
}

/// The marked rows of the store.
pub(super) struct Marked<'a> {
    rows: Rows<'a>,
    table: Table,
    hasher: &'a KeyHasher,
    marks: &'a Marks,
    skipped: &'a AtomicU64,
    lent: Copied,
}

impl<'a> Marked<'a> {
    /// Adds the number of rows that are not marked to `skipped`.
    pub(super) fn new(
        rows: Rows<'a>,
        table: Table,
        (hasher, marks): (&'a KeyHasher, &'a Marks),
        skipped: &'a AtomicU64,
    ) -> Self {
        Self {
            rows,
            table,
            hasher,
            marks,
            skipped,
            lent: Copied::default(),
        }
    }
}

impl RowCursor for Marked<'_> {
    fn next(&mut self) -> Result<Option<Row<'_>>> {
        while let Some(row) = self.rows.next()? {
            let hash = self.hasher.hash(self.table, row.key);
            if self.marks.contains(self.table, hash) {
                self.lent.keep(row);
                return Ok(Some(self.lent.row()));
            }
            self.skipped.fetch_add(1, Relaxed);
        }
        Ok(None)
    }
}

/// The rows of two cursors that have no key in common.
pub(super) struct Union<'a> {
    sources: [Source<'a>; 2],
    direction: Direction,
}

struct Source<'a> {
    rows: Rows<'a>,
    next: Copied,
    state: Next,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// It must be read.
    Unread,
    Read,
    End,
}

impl Source<'_> {
    fn read(&mut self) -> Result<()> {
        if self.state == Next::Unread {
            self.state = match self.rows.next()? {
                Some(row) => {
                    self.next.keep(row);
                    Next::Read
                }
                None => Next::End,
            };
        }
        Ok(())
    }
}

impl<'a> Union<'a> {
    pub(super) fn new(rows: [Rows<'a>; 2], direction: Direction) -> Self {
        let source = |rows| Source {
            rows,
            next: Copied::default(),
            state: Next::Unread,
        };
        Self {
            sources: rows.map(source),
            direction,
        }
    }
}

impl RowCursor for Union<'_> {
    fn next(&mut self) -> Result<Option<Row<'_>>> {
        let [one, other] = &mut self.sources;
        one.read()?;
        other.read()?;
        let order = one.next.key.cmp(&other.next.key);
        let order = match self.direction {
            Direction::Forward => order,
            Direction::Backward => order.reverse(),
        };
        let next = match (one.state, other.state) {
            (Next::End, Next::End) => return Ok(None),
            (Next::End, _) => other,
            (_, Next::End) => one,
            _ if order == Ordering::Less => one,
            _ => other,
        };
        next.state = Next::Unread;
        Ok(Some(next.next.row()))
    }
}
