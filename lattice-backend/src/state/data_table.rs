//! The `data` table of a transaction, as a state machine sees it.

use crate::backend::{Direction, ReadTx, Result, Rows, Span, Table, WriteTx};
use crate::machine::{DataRead, DataWrite};

/// The `data` table of a transaction, as a state machine sees it.
pub(crate) struct DataTable<'a, T: ?Sized>(pub(crate) &'a T);

impl<T: ReadTx + ?Sized> DataRead for DataTable<'_, T> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.0.get(Table::Data, key)
    }

    fn show(&self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        self.0.show(Table::Data, key, see)
    }

    fn range(&self, span: Span<'_>, direction: Direction) -> Result<Rows<'_>> {
        self.0.range(Table::Data, span, direction)
    }
}

/// The `data` table of a write transaction, without a buffer: for changes that are committed or
/// rolled back together with the transaction.
pub(crate) struct DataTableMut<'a>(pub(crate) &'a mut dyn WriteTx);

impl DataRead for DataTableMut<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.0.get(Table::Data, key)
    }

    fn range(&self, span: Span<'_>, direction: Direction) -> Result<Rows<'_>> {
        self.0.range(Table::Data, span, direction)
    }
}

impl DataWrite for DataTableMut<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.0.put(Table::Data, key, value)
    }

    fn remove(&mut self, key: &[u8]) -> Result<()> {
        self.0.remove(Table::Data, key).map(drop)
    }
}
