//! Compaction of a database.

use std::ops::ControlFlow;

use redb::{CompactionError, Database, TableDefinition, TableError, WriteTransaction};

use crate::backend::{BackendError, Direction, EVERYTHING, Result, Table};
use crate::progress::{Counted, ProgressSink, Stage};
use crate::redb::error::{storage_error, wrapped_error};
use crate::redb::tx::{Bytes, definition, range, row_count};

/// Packs the tables of a database and shrinks its file as far as possible.
///
/// Rows inserted in random order leave pages two thirds full. redb's compaction moves such pages
/// but does not fill them. Rows inserted in ascending order fill their pages.
pub(super) fn compact(database: &mut Database, progress: &ProgressSink) -> Result<()> {
    // First, because redb refuses it while there are readers.
    progress.report(Stage::Shrink, 0, None);
    shrink(database)?;
    let tx = database
        .begin_write()
        .map_err(|error| wrapped_error("beginning to write", error))?;
    let mut total = 0;
    for table in Table::ALL {
        let opened = tx.open_table(definition(table));
        let opened = opened.map_err(|error| wrapped_error("opening a table", error))?;
        total += row_count(&opened)?;
    }
    let mut packed = Counted::new(progress, Stage::Pack, Some(total));
    for table in Table::ALL {
        pack(&tx, table, &mut packed)?;
    }
    progress.report(Stage::Shrink, 0, None);
    tx.commit()
        .map_err(|error| wrapped_error("committing packed tables", error))?;
    shrink(database)
}

/// Moves pages to the start of the file, and truncates the rest.
pub(super) fn shrink(database: &mut Database) -> Result<()> {
    match database.compact() {
        Ok(_) => Ok(()),
        Err(CompactionError::TransactionInProgress) => Err(BackendError::SnapshotsLive),
        Err(error) => Err(wrapped_error("compacting", error)),
    }
}

/// Copies a table's rows in order, and replaces the table by the copy. The transaction leaves
/// either the table or the copy.
fn pack(tx: &WriteTransaction, table: Table, packed_rows: &mut Counted<'_>) -> Result<()> {
    let name = format!("{}-packed", table.name());
    let packed: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new(&name);
    {
        let opened = |error: TableError| wrapped_error("opening a table", error);
        let from = tx.open_table(definition(table)).map_err(opened)?;
        let mut to = tx.open_table(packed).map_err(opened)?;
        let mut rows = range(&from, EVERYTHING, Direction::Forward)?;
        let mut failed = Ok(());
        rows.visit(&mut |row| match to.insert(row.key, row.value) {
            Ok(_) => {
                packed_rows.one();
                ControlFlow::Continue(())
            }
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
