//! Transactions.

use std::fmt;
use std::sync::OnceLock;

use redb::{
    AccessGuard, ReadOnlyTable, ReadTransaction, ReadableTable, TableDefinition, TableError,
    WriteTransaction,
};

use super::error::{contain_call, storage_error, wrapped_error};
use crate::tx::{
    Direction, NoRows, ReadTx, Result, Row, RowCursor, Rows, Span, Table, WriteTx, is_empty_span,
};

type Bytes = &'static [u8];

/// Every table maps bytes to bytes: redb's typed keys have changed their encoding before.
pub(super) fn definition(table: Table) -> TableDefinition<'static, Bytes, Bytes> {
    TableDefinition::new(table.name())
}

/// A snapshot. Tables are opened when they are first asked for and stay open; one that is not
/// there reads as empty, so that whoever asked says which rows are missing.
pub(super) struct RedbReadTx {
    tx: ReadTransaction,
    tables: [OnceLock<Option<ReadOnlyTable<Bytes, Bytes>>>; Table::ALL.len()],
}

impl RedbReadTx {
    pub(super) fn new(tx: ReadTransaction) -> Self {
        Self {
            tx,
            tables: Default::default(),
        }
    }

    fn table(&self, table: Table) -> Result<Option<&ReadOnlyTable<Bytes, Bytes>>> {
        let cell = &self.tables[table.position()];
        if let Some(opened) = cell.get() {
            return Ok(opened.as_ref());
        }
        let opened = contain_call(|| match self.tx.open_table(definition(table)) {
            Ok(opened) => Ok(Some(opened)),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(wrapped_error("opening a table", error)),
        })?;
        // Another thread may have been faster with the same table; either will do.
        Ok(cell.get_or_init(|| opened).as_ref())
    }
}

impl fmt::Debug for RedbReadTx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbReadTx").finish_non_exhaustive()
    }
}

impl ReadTx for RedbReadTx {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        match self.table(table)? {
            Some(table) => get(table, key),
            None => Ok(None),
        }
    }

    fn range(&self, table: Table, span: Span<'_>, direction: Direction) -> Result<Rows<'_>> {
        match self.table(table)? {
            Some(table) => range(table, span, direction),
            None => Ok(Box::new(NoRows)),
        }
    }
}

/// A write transaction with all tables open.
pub(super) struct RedbWriteTx<'tx> {
    tables: [redb::Table<'tx, Bytes, Bytes>; Table::ALL.len()],
}

impl<'tx> RedbWriteTx<'tx> {
    pub(super) fn open(tx: &'tx WriteTransaction) -> Result<Self> {
        let open = |table| {
            contain_call(|| {
                tx.open_table(definition(table))
                    .map_err(|error| wrapped_error("opening a table", error))
            })
        };
        let [meta, system, ops, applied, data] = Table::ALL;
        Ok(Self {
            tables: [
                open(meta)?,
                open(system)?,
                open(ops)?,
                open(applied)?,
                open(data)?,
            ],
        })
    }
}

impl ReadTx for RedbWriteTx<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        get(&self.tables[table.position()], key)
    }

    fn range(&self, table: Table, span: Span<'_>, direction: Direction) -> Result<Rows<'_>> {
        range(&self.tables[table.position()], span, direction)
    }
}

impl WriteTx for RedbWriteTx<'_> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<()> {
        contain_call(|| {
            let written = self.tables[table.position()].insert(key, value);
            written
                .map(drop)
                .map_err(|error| storage_error("writing a row", error))
        })
    }

    fn replace(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>> {
        contain_call(|| {
            let before = self.tables[table.position()].insert(key, value);
            owned(before.map_err(|error| storage_error("writing a row", error))?)
        })
    }

    fn remove(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        contain_call(|| {
            let before = self.tables[table.position()].remove(key);
            owned(before.map_err(|error| storage_error("removing a row", error))?)
        })
    }
}

fn owned(value: Option<AccessGuard<'_, Bytes>>) -> Result<Option<Vec<u8>>> {
    Ok(value.map(|guard| guard.value().to_vec()))
}

fn get(table: &impl ReadableTable<Bytes, Bytes>, key: &[u8]) -> Result<Option<Vec<u8>>> {
    contain_call(|| {
        let found = table.get(key);
        owned(found.map_err(|error| storage_error("reading a row", error))?)
    })
}

fn range<'a>(
    table: &'a impl ReadableTable<Bytes, Bytes>,
    span: Span<'_>,
    direction: Direction,
) -> Result<Rows<'a>> {
    if is_empty_span(span) {
        return Ok(Box::new(NoRows));
    }
    let rows = contain_call(|| {
        table
            .range::<&[u8]>(span)
            .map_err(|error| storage_error("reading rows", error))
    })?;
    Ok(Box::new(RedbCursor {
        rows,
        direction,
        lent: None,
    }))
}

struct RedbCursor<'a> {
    rows: redb::Range<'a, Bytes, Bytes>,
    direction: Direction,
    /// The row that the caller holds now.
    lent: Option<(AccessGuard<'a, Bytes>, AccessGuard<'a, Bytes>)>,
}

impl RowCursor for RedbCursor<'_> {
    fn next(&mut self) -> Result<Option<Row<'_>>> {
        let Self {
            rows,
            direction,
            lent,
        } = self;
        contain_call(|| {
            let next = match direction {
                Direction::Forward => rows.next(),
                Direction::Backward => rows.next_back(),
            };
            *lent = next
                .transpose()
                .map_err(|error| storage_error("reading rows", error))?;
            Ok(lent.as_ref().map(|(key, value)| Row {
                key: key.value(),
                value: value.value(),
            }))
        })
    }
}
