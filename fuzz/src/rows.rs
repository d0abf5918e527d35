//! The rows of a state, in memory.

use std::collections::{BTreeMap, BTreeSet, btree_map};

use lattice_backend::{DataRead, Direction, History, OpRef, Result, Row, RowCursor, Rows, Span};
use std::ops::Bound;

/// Rows of `data`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct State(pub(crate) BTreeMap<Vec<u8>, Vec<u8>>);

impl DataRead for State {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.0.get(key).cloned())
    }

    fn range(&self, span: Span<'_>, direction: Direction) -> Result<Rows<'_>> {
        let is_empty = match span {
            (Bound::Included(start), Bound::Included(end)) => start > end,
            (Bound::Included(start) | Bound::Excluded(start), Bound::Excluded(end))
            | (Bound::Excluded(start), Bound::Included(end)) => start >= end,
            _ => false,
        };
        let rows = match is_empty {
            true => self
                .0
                .range::<[u8], _>((Bound::Included(&[][..]), Bound::Excluded(&[][..]))),
            false => self.0.range::<[u8], _>(span),
        };
        Ok(Box::new(Cursor { rows, direction }))
    }
}

struct Cursor<'a> {
    rows: btree_map::Range<'a, Vec<u8>, Vec<u8>>,
    direction: Direction,
}

impl RowCursor for Cursor<'_> {
    fn next(&mut self) -> Result<Option<Row<'_>>> {
        let row = match self.direction {
            Direction::Forward => self.rows.next(),
            Direction::Backward => self.rows.next_back(),
        };
        Ok(row.map(|(key, value)| Row { key, value }))
    }
}

/// Ops that count as applied.
#[derive(Debug, Default)]
pub(crate) struct Applied(pub(crate) BTreeSet<OpRef>);

impl History for Applied {
    fn is_applied(&self, op: &OpRef) -> Result<bool> {
        Ok(self.0.contains(op))
    }
}
