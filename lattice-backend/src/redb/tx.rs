//! Transactions.

use std::fmt;
use std::ops::Bound;
use std::sync::OnceLock;

use redb::{
    AccessGuard, ReadOnlyTable, ReadTransaction, ReadableTable, TableDefinition, TableError,
    WriteTransaction,
};

use super::error::{contain_call, storage_error, wrapped_error};
use crate::BackendError;
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

    fn show(&self, table: Table, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let Some(table) = self.table(table)? else {
            return Ok(false);
        };
        let found = contain_call(|| {
            let found = table.get(key);
            found.map_err(|error| storage_error("reading a row", error))
        })?;
        Ok(found.inspect(|found| see(found.value())).is_some())
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
        start: span.0.map(<[u8]>::to_vec),
        end: span.1.map(<[u8]>::to_vec),
        lent: None,
    }))
}

/// Rows of a range. A damaged tree gives rows in any order and from anywhere, and whoever reads on
/// behind the last row would read for ever: such rows are damage, and not rows.
struct RedbCursor<'a> {
    rows: redb::Range<'a, Bytes, Bytes>,
    direction: Direction,
    start: Bound<Vec<u8>>,
    end: Bound<Vec<u8>>,
    /// The row that the caller holds now.
    lent: Option<(AccessGuard<'a, Bytes>, AccessGuard<'a, Bytes>)>,
}

impl RedbCursor<'_> {
    /// Whether a row can be the next one.
    fn can_follow(&self, key: &[u8]) -> bool {
        let before = self.lent.as_ref().map(|(key, _)| key.value());
        let is_behind_start = || match &self.start {
            Bound::Included(start) => key >= &start[..],
            Bound::Excluded(start) => key > &start[..],
            Bound::Unbounded => true,
        };
        let is_before_end = || match &self.end {
            Bound::Included(end) => key <= &end[..],
            Bound::Excluded(end) => key < &end[..],
            Bound::Unbounded => true,
        };
        match self.direction {
            Direction::Forward => {
                before.map_or_else(is_behind_start, |before| before < key) && is_before_end()
            }
            Direction::Backward => {
                before.map_or_else(is_before_end, |before| before > key) && is_behind_start()
            }
        }
    }
}

impl RowCursor for RedbCursor<'_> {
    fn next(&mut self) -> Result<Option<Row<'_>>> {
        contain_call(|| {
            let next = match self.direction {
                Direction::Forward => self.rows.next(),
                Direction::Backward => self.rows.next_back(),
            };
            let next = next
                .transpose()
                .map_err(|error| storage_error("reading rows", error))?;
            if let Some((key, _)) = &next
                && !self.can_follow(key.value())
            {
                return Err(BackendError::Damaged {
                    detail: "a table has rows out of their order".into(),
                });
            }
            self.lent = next;
            Ok(self.lent.as_ref().map(|(key, value)| Row {
                key: key.value(),
                value: value.value(),
            }))
        })
    }
}
