//! The rows of a state, in memory.

use std::collections::{BTreeMap, btree_map};

use lattice_backend::backend::{BackendError, Direction, Result, Row, RowCursor, Rows, Span};
use lattice_backend::machine::{DataRead, History};
use lattice_backend::op::{ApplyIndex, OpRef, OpView, Stamp};
use lattice_meta::{Hlc, OpId, PubKey};
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

/// A history of a few ops of one author, all with this payload.
#[derive(Debug)]
pub(crate) struct Past<'a>(pub(crate) &'a [u8]);

/// Number of ops in the history.
const OPS: u8 = 4;

impl Past<'_> {
    fn op(index: u8) -> Stamp {
        // Distinct ids and times, so that several ops can be siblings under one key.
        let mut id = [5; 32];
        id[31] ^= index;
        Stamp {
            hlc: Hlc::from_u64((1 << 32) + u64::from(index)),
            op: OpRef {
                author: PubKey::from_bytes([3; 32]),
                seq: index.into(),
                id: OpId::from_bytes(id),
            },
        }
    }
}

impl History for Past<'_> {
    fn count(&self) -> Result<u64> {
        Ok(OPS.into())
    }

    fn index_of(&self, op: &OpRef) -> Result<Option<ApplyIndex>> {
        let found = (0..OPS).find(|index| *op == Self::op(*index).op);
        Ok(found.map(|index| ApplyIndex::new(index.into())))
    }

    fn stamp(&self, index: ApplyIndex) -> Result<Stamp> {
        match u8::try_from(index.get()) {
            Ok(known) if known < OPS => Ok(Self::op(known)),
            _ => Err(BackendError::Damaged {
                detail: format!("no op {index}"),
            }),
        }
    }

    fn show(&self, index: ApplyIndex, see: &mut dyn FnMut(&OpView<'_>)) -> Result<()> {
        let stamp = self.stamp(index)?;
        see(&OpView {
            index,
            reference: stamp.op,
            hlc: stamp.hlc,
            payload: self.0,
        });
        Ok(())
    }
}
