//! Snapshots: a snapshot of the backend, and the rows of up to two generations over it.

use std::fmt;
use std::sync::Arc;

use crate::backend::merge::Merged;
use crate::backend::{Direction, ReadTx, Result, Rows, Span, Table, TableUsage};
use crate::journal::backend_rows::backend_rows;
use crate::journal::layout::MARK;
use crate::journal::memtable::{Memtable, Pin, Value};

pub(super) type Base = Arc<dyn ReadTx + Send + Sync>;

/// The rows of the generations that the backend does not hold yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Layers {
    /// The generation that is being folded.
    pub(super) frozen: Option<Arc<Memtable>>,
    /// The generation that commits go to.
    pub(super) active: Option<Arc<Memtable>>,
}

impl Layers {
    /// The layers that have rows of a table, the older one first.
    fn of(&self, table: Table) -> impl Iterator<Item = &Memtable> {
        let layers = [&self.frozen, &self.active].into_iter().flatten();
        layers
            .map(|layer| &**layer)
            .filter(move |layer| !layer.is_empty(table))
    }

    fn get(&self, table: Table, key: &[u8], seq: u64) -> Option<Value> {
        let layers = [&self.active, &self.frozen].into_iter().flatten();
        layers
            .into_iter()
            .find_map(|layer| layer.get(table, key, seq))
    }
}

/// A consistent view of a store: what the backend held at some time, and the journal's rows up to a
/// number.
pub(super) struct View {
    pub(super) base: Base,
    pub(super) layers: Layers,
    pub(super) seq: u64,
    /// Keeps the versions of rows that this view sees.
    pub(super) _pin: Option<Pin>,
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("seq", &self.seq)
            .finish_non_exhaustive()
    }
}

impl View {
    fn is_hidden(table: Table, key: &[u8]) -> bool {
        table == Table::System && key == MARK
    }
}

impl ReadTx for View {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        match self.layers.get(table, key, self.seq) {
            Some(value) => Ok(value.map(|value| value.to_vec())),
            None if Self::is_hidden(table, key) => Ok(None),
            None => self.base.get(table, key),
        }
    }

    fn show(&self, table: Table, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        match self.layers.get(table, key, self.seq) {
            Some(value) => Ok(value.inspect(|value| see(value)).is_some()),
            None if Self::is_hidden(table, key) => Ok(false),
            None => self.base.show(table, key, see),
        }
    }

    fn range(&self, table: Table, span: Span<'_>, direction: Direction) -> Result<Rows<'_>> {
        let mut rows = backend_rows(&*self.base, table, span, direction)?;
        if crate::backend::tx::is_empty_span(span) {
            return Ok(rows);
        }
        for layer in self.layers.of(table) {
            let over = layer.range(table, span, direction, self.seq);
            rows = Box::new(Merged::new(over, rows, direction));
        }
        Ok(rows)
    }

    fn row_count(&self, table: Table) -> Result<Option<u64>> {
        match self.layers.of(table).next() {
            // Rows of a layer can replace rows below it or not.
            Some(_) => Ok(None),
            None => {
                let rows = self.base.row_count(table)?;
                let has_mark = table == Table::System && self.base.get(table, MARK)?.is_some();
                Ok(rows.map(|rows| rows.saturating_sub(u64::from(has_mark))))
            }
        }
    }

    /// Of the backend: the rows in the journal get their space there with the next fold.
    fn usage(&self, table: Table) -> Result<Option<TableUsage>> {
        self.base.usage(table)
    }
}
