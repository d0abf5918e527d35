//! Write transactions.

use std::cell::OnceCell;
use std::ops::{Bound, ControlFlow};

use redb::{CursorError, WriteTransaction};
use self_cell::self_cell;

use crate::backend::{
    Direction, ReadTx, Result, RowCursor, Rows, Span, Table, Ticket, Transaction, WriteTx,
};
use crate::redb::error::{contain, storage_error, wrapped_error};
use crate::redb::tx::{Bytes, definition, get, owned, range, row_count, show};

/// The tables of a transaction. The first use of a table opens it, or creates it if it is missing.
/// An unused table costs nothing.
#[derive(Default)]
struct Tables<'tx>([OnceCell<redb::Table<'tx, Bytes, Bytes>>; Table::ALL.len()]);

self_cell!(
    /// A transaction and the tables that borrow it. The tables stay open between calls.
    struct Open {
        owner: WriteTransaction,

        #[not_covariant]
        dependent: Tables,
    }
);

impl<'tx> Tables<'tx> {
    fn table(
        &self,
        tx: &'tx WriteTransaction,
        table: Table,
    ) -> Result<&redb::Table<'tx, Bytes, Bytes>> {
        let cell = &self.0[table.position()];
        if let Some(opened) = cell.get() {
            return Ok(opened);
        }
        let opened = contain(|| {
            tx.open_table(definition(table))
                .map_err(|error| wrapped_error("opening a table", error))
        })?;
        Ok(cell.get_or_init(|| opened))
    }

    fn table_mut(
        &mut self,
        tx: &'tx WriteTransaction,
        table: Table,
    ) -> Result<&mut redb::Table<'tx, Bytes, Bytes>> {
        self.table(tx, table)?;
        let opened = self.0[table.position()].get_mut();
        Ok(opened.expect("it has just been opened"))
    }

    /// Closes the tables one by one. If redb panics on a damaged file, it poisons a lock of the
    /// transaction that every table takes when it is dropped. A second panic in one drop would
    /// abort the process.
    fn close(&mut self) -> Result<()> {
        let mut closed = Ok(());
        for cell in &mut self.0 {
            let table = cell.take();
            let dropped = contain(|| {
                drop(table);
                Ok(())
            });
            closed = closed.and(dropped);
        }
        closed
    }
}

/// Closes the tables. Returns the transaction, and whether closing succeeded.
fn close_tables(mut open: Open) -> (WriteTransaction, Result<()>) {
    let closed = open.with_dependent_mut(|_, tables| tables.close());
    (open.into_owner(), closed)
}

/// Rolls a transaction back. redb's own drop does not do so during a panic: it would leave the
/// pages allocated, and the next open would have to repair the file.
fn abort(tx: WriteTransaction) -> Result<()> {
    contain(|| {
        tx.abort()
            .map_err(|error| wrapped_error("dropping a write", error))
    })
}

pub(super) struct RedbTransaction<G> {
    /// `None` after the transaction has ended.
    open: Option<Open>,
    follows_others: bool,
    quick_repair: bool,
    /// Dropped last, so that the next transaction begins after this one has ended.
    _writing: G,
}

impl<G> RedbTransaction<G> {
    /// The transaction releases `writing` when it has ended.
    pub(super) fn new(tx: WriteTransaction, writing: G, follows_others: bool) -> Self {
        Self {
            open: Some(Open::new(tx, |_| Tables::default())),
            follows_others,
            quick_repair: false,
            _writing: writing,
        }
    }

    fn open(&self) -> &Open {
        self.open.as_ref().expect(NOT_ENDED)
    }

    fn write<T>(
        &mut self,
        table: Table,
        call: impl FnOnce(&mut redb::Table<'_, Bytes, Bytes>) -> Result<T>,
    ) -> Result<T> {
        let open = self.open.as_mut().expect(NOT_ENDED);
        open.with_dependent_mut(|tx, tables| {
            let table = tables.table_mut(tx, table)?;
            contain(|| call(table))
        })
    }
}

const NOT_ENDED: &str = "a transaction ends when it is consumed";

impl<G> ReadTx for RedbTransaction<G> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.open()
            .with_dependent(|tx, tables| get(tables.table(tx, table)?, key))
    }

    fn show(&self, table: Table, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        self.open()
            .with_dependent(|tx, tables| show(tables.table(tx, table)?, key, see))
    }

    fn range(&self, table: Table, span: Span<'_>, direction: Direction) -> Result<Rows<'_>> {
        self.open()
            .with_dependent(|tx, tables| range(tables.table(tx, table)?, span, direction))
    }

    fn row_count(&self, table: Table) -> Result<Option<u64>> {
        self.open()
            .with_dependent(|tx, tables| row_count(tables.table(tx, table)?).map(Some))
    }
}

impl<G> WriteTx for RedbTransaction<G> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<()> {
        self.write(table, |table| {
            let written = table.insert(key, value);
            written
                .map(drop)
                .map_err(|error| storage_error("writing a row", error))
        })
    }

    fn replace(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>> {
        self.write(table, |table| {
            let before = table.insert(key, value);
            owned(before.map_err(|error| storage_error("writing a row", error))?)
        })
    }

    fn remove(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.write(table, |table| {
            let before = table.remove(key);
            owned(before.map_err(|error| storage_error("removing a row", error))?)
        })
    }

    fn append(&mut self, table: Table, rows: &mut dyn RowCursor) -> Result<()> {
        self.write(table, |table| append(table, rows))
    }
}

/// Writes rows after all rows of a table. redb's cursor fills whole pages with them.
pub(super) fn append(
    table: &mut redb::Table<'_, Bytes, Bytes>,
    rows: &mut dyn RowCursor,
) -> Result<()> {
    let failed = |error: CursorError| wrapped_error("writing rows", error);
    let end = table.upper_bound_mut(Bound::<&[u8]>::Unbounded);
    let mut end = end.map_err(|error| storage_error("writing rows", error))?;
    let mut written = Ok(());
    rows.visit(&mut |row| match end.insert_before(row.key, row.value) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            written = Err(failed(error));
            ControlFlow::Break(())
        }
    })?;
    written?;
    end.close()
        .map_err(|error| storage_error("writing rows", error))
}

impl<G> Transaction for RedbTransaction<G> {
    fn follows_others(&self) -> bool {
        self.follows_others
    }

    fn allow_quick_repair(&mut self) {
        self.quick_repair = true;
    }

    fn commit(mut self: Box<Self>) -> Result<Ticket> {
        let (mut tx, closed) = close_tables(self.open.take().expect(NOT_ENDED));
        if let Err(error) = closed {
            // Report the error of the tables, not that of the abort.
            let _ = abort(tx);
            return Err(error);
        }
        tx.set_quick_repair(self.quick_repair);
        contain(|| {
            tx.commit()
                .map_err(|error| wrapped_error("committing", error))
        })?;
        Ok(Ticket::durable())
    }
}

impl<G> Drop for RedbTransaction<G> {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            let (tx, _) = close_tables(open);
            // If the storage cannot roll back, it refuses the next transaction.
            let _ = abort(tx);
        }
    }
}
