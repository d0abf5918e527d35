//! The ops that cells name by their numbers.

use alloc::format;

use lattice_backend::{BackendError, History, OpRef, Result, Row, Table};

use crate::rows::{Cell, FullCell};

/// The number of an op that has a row of its own, and so has been applied.
pub(crate) fn number(op: &OpRef, history: &dyn History) -> Result<u64> {
    history.number(op)?.ok_or_else(|| {
        let found = format!("{op}, which is not");
        BackendError::row(Table::Data, "a head of an op that is applied", found)
    })
}

/// Gives a cell's leaf.
pub(crate) fn leaf(
    row: Row<'_>,
    history: &dyn History,
    leaf: &mut dyn FnMut(&[u8], &[u8]),
) -> Result<()> {
    let Cell {
        others,
        number,
        value,
    } = Cell::decode(row.value)?;
    let full = FullCell {
        others,
        winner: history.stamp(number)?,
        value,
    };
    leaf(row.key, &full.encode());
    Ok(())
}
