//! The space that a store takes.

use crate::backend::{ReadTx, Result, Table, TableUsage};
use crate::engine::read::Snapshot;

/// The space that a store's tables take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StoreUsage {
    /// The rows of the state machine.
    pub state: TableUsage,
    /// The ops: applied ones, held ones, and the index by author.
    pub history: TableUsage,
    /// What describes the store: id, type, tips, ledger.
    pub records: TableUsage,
}

impl StoreUsage {
    /// What all tables take.
    pub const fn total(&self) -> TableUsage {
        self.state.and(self.history).and(self.records)
    }

    fn read(tx: &dyn ReadTx) -> Result<Option<Self>> {
        let mut all = Self::default();
        for table in Table::ALL {
            let Some(usage) = tx.usage(table)? else {
                return Ok(None);
            };
            let part = match table {
                Table::Data => &mut all.state,
                Table::Ops | Table::Applied | Table::Held => &mut all.history,
                Table::Meta | Table::System => &mut all.records,
            };
            *part = part.and(usage);
        }
        Ok(Some(all))
    }
}

impl Snapshot {
    /// The space that the store takes; `None` if the backend does not know it. The time is
    /// proportional to the size of the store.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn usage(&self) -> Result<Option<StoreUsage>> {
        StoreUsage::read(self.tx())
    }
}
