//! Giving back the space that a database does not use.

use std::ops::ControlFlow;

use redb::{CompactionError, Database, TableDefinition, TableError, WriteTransaction};

use crate::backend::{BackendError, Direction, EVERYTHING, Result, Table};
use crate::redb::error::{storage_error, wrapped_error};
use crate::redb::tx::{Bytes, definition, range};

/// Packs the tables of a database and makes its file as short as it can be.
///
/// Rows that came in any order leave pages that are two thirds full; redb moves such pages, and does not
/// fill them. Rows that come in their order fill them.
pub(super) fn compact(database: &mut Database) -> Result<()> {
    // First, because it is refused while there are readers.
    shrink(database)?;
    let tx = database
        .begin_write()
        .map_err(|error| wrapped_error("beginning to write", error))?;
    for table in Table::ALL {
        pack(&tx, table)?;
    }
    tx.commit()
        .map_err(|error| wrapped_error("committing packed tables", error))?;
    shrink(database)
}

/// Moves pages to the start of the file, and cuts off what comes after them.
pub(super) fn shrink(database: &mut Database) -> Result<()> {
    match database.compact() {
        Ok(_) => Ok(()),
        Err(CompactionError::TransactionInProgress) => Err(BackendError::SnapshotsLive),
        Err(error) => Err(wrapped_error("compacting", error)),
    }
}

/// Copies a table's rows in their order, and puts the copy in its place. The transaction leaves one or
/// the other.
fn pack(tx: &WriteTransaction, table: Table) -> Result<()> {
    let name = format!("{}-packed", table.name());
    let packed: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new(&name);
    {
        let opened = |error: TableError| wrapped_error("opening a table", error);
        let from = tx.open_table(definition(table)).map_err(opened)?;
        let mut to = tx.open_table(packed).map_err(opened)?;
        let mut rows = range(&from, EVERYTHING, Direction::Forward)?;
        let mut failed = Ok(());
        rows.visit(&mut |row| match to.insert(row.key, row.value) {
            Ok(_) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Err(storage_error("writing a row", error));
                ControlFlow::Break(())
            }
        })?;
        failed?;
    }
    tx.delete_table(definition(table))
        .map_err(|error| wrapped_error("removing a table", error))?;
    tx.rename_table(packed, definition(table))
        .map_err(|error| wrapped_error("renaming a table", error))
}
