//! Compaction of a database.

use redb::{CompactionError, Database, TableDefinition, TableError, WriteTransaction};

use crate::backend::{BackendError, CountedRows, Direction, EVERYTHING, Result, Table};
use crate::progress::{Counted, ProgressSink, Stage};
use crate::redb::error::{storage_error, wrapped_error};
use crate::redb::tx::{Bytes, definition, range, row_count};
use crate::redb::write::append;

/// A copy may leave this share of its file unused.
const MAX_UNUSED: u64 = 16;

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

/// Shrinks the file of a copy, unless hardly any of its space is unused: rows that are written in
/// order leave few gaps, and moving pages reads the whole file several times.
pub(super) fn shrink_copy(database: &mut Database, file_bytes: u64) -> Result<()> {
    let tx = database
        .begin_write()
        .map_err(|error| wrapped_error("beginning to write", error))?;
    let stats = tx.stats();
    let stats = stats.map_err(|error| storage_error("measuring the file", error))?;
    tx.abort()
        .map_err(|error| storage_error("dropping a write", error))?;
    let page_bytes = u64::try_from(stats.page_size()).expect("a page is small");
    let used = stats.allocated_pages().saturating_mul(page_bytes);
    if file_bytes.saturating_sub(used) <= file_bytes / MAX_UNUSED {
        return Ok(());
    }
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
        let rows = range(&from, EVERYTHING, Direction::Forward)?;
        let counted = packed_rows;
        append(&mut to, &mut CountedRows { rows, counted })?;
    }
    tx.delete_table(definition(table))
        .map_err(|error| wrapped_error("removing a table", error))?;
    tx.rename_table(packed, definition(table))
        .map_err(|error| wrapped_error("renaming a table", error))
}
