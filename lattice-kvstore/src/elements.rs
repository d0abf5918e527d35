//! The elements of rows, over which the state hash is computed.

use lattice_backend::backend::{Result, Row};
use lattice_backend::machine::History;

use crate::rows::{self, Cell, RowKind};

/// Passes the element of the value that a row holds to `each`, if it holds one.
pub(crate) fn elements(
    row: Row<'_>,
    history: &dyn History,
    each: &mut dyn FnMut(&[u8], &[u8]),
) -> Result<()> {
    let (key, index, value) = match rows::kind(row.key)? {
        RowKind::Cell => match Cell::decode(row.value)? {
            Cell::Inside { index, value } => (rows::key_of_cell(row.key)?, index, value),
            Cell::Apart { .. } | Cell::Siblings { .. } => return Ok(()),
        },
        RowKind::Value => {
            let (key, index) = rows::split_value_key(row.key)?;
            (key, index, row.value)
        }
        RowKind::Sibling | RowKind::Mark => return Ok(()),
    };
    let op = history.stamp(index)?.op.id;
    each(&rows::element_key(key, &op), value);
    Ok(())
}
