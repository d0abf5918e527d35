//! The rows of the backend, without the journal's own row.

use std::ops::{Bound, ControlFlow};

use crate::backend::{Direction, ReadTx, Result, Row, RowCursor, Rows, Span, Table};
use crate::journal::layout::MARK;

/// Two ranges of rows, one after the other.
struct Chained<'a> {
    first: Rows<'a>,
    second: Rows<'a>,
}

impl RowCursor for Chained<'_> {
    fn next(&mut self) -> Result<Option<Row<'_>>> {
        if let Some(row) = self.first.next()? {
            return Ok(Some(row));
        }
        self.second.next()
    }

    fn visit(&mut self, each: &mut dyn FnMut(Row<'_>) -> ControlFlow<()>) -> Result<()> {
        let mut flow = ControlFlow::Continue(());
        self.first.visit(&mut |row| {
            flow = each(row);
            flow
        })?;
        match flow {
            ControlFlow::Continue(()) => self.second.visit(each),
            ControlFlow::Break(()) => Ok(()),
        }
    }
}

/// The rows of a snapshot of the backend in a range, without the journal's own row.
pub(super) fn backend_rows<'a>(
    base: &'a dyn ReadTx,
    table: Table,
    span: Span<'_>,
    direction: Direction,
) -> Result<Rows<'a>> {
    let (start, end) = span;
    let is_before = match start {
        Bound::Included(start) => start <= MARK,
        Bound::Excluded(start) => start < MARK,
        Bound::Unbounded => true,
    };
    let is_after = match end {
        Bound::Included(end) => end >= MARK,
        Bound::Excluded(end) => end > MARK,
        Bound::Unbounded => true,
    };
    if table != Table::System || !is_before || !is_after {
        return base.range(table, span, direction);
    }
    let spans = [(start, Bound::Excluded(MARK)), (Bound::Excluded(MARK), end)];
    let [first, second] = match direction {
        Direction::Forward => spans,
        Direction::Backward => [spans[1], spans[0]],
    };
    Ok(Box::new(Chained {
        first: base.range(table, first, direction)?,
        second: base.range(table, second, direction)?,
    }))
}
