//! A consistent view of a store's state.

use std::fmt;
use std::sync::Arc;

use lattice_meta::{GenesisHash, StateHash};

use crate::backend::{Direction, ReadTx, Result, Rows, Span, Table};
use crate::engine::read::StoreState;
use crate::history::View;
use crate::history::system::Ledger;
use crate::machine::{DataRead, History};
use crate::op::OpHasher;

/// The state at one moment; later writes do not change it. Clones share the view.
///
/// While a snapshot lives, the backend cannot reuse the space that it shows, so writes make the
/// file grow.
#[derive(Clone)]
pub struct Snapshot {
    tx: Arc<dyn ReadTx + Send + Sync>,
    genesis: GenesisHash,
}

impl Snapshot {
    pub(crate) fn new(tx: Arc<dyn ReadTx + Send + Sync>, genesis: GenesisHash) -> Self {
        Self { tx, genesis }
    }

    pub(crate) fn tx(&self) -> &dyn ReadTx {
        &*self.tx
    }

    /// What identifies this state.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn state(&self) -> Result<StoreState> {
        StoreState::read(self.tx(), &self.genesis)
    }

    /// The history that led to this state. It caches the ops that it looks up.
    pub fn history(&self) -> impl History + '_ {
        View::new(&*self.tx, OpHasher::new(&self.genesis))
    }

    /// The number of elements in the state.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn element_count(&self) -> Result<u64> {
        Ok(Ledger::read(&*self.tx)?.state.element_count())
    }

    /// The number of ops that led to this state.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn op_count(&self) -> Result<u64> {
        Ok(Ledger::read(&*self.tx)?.applied)
    }

    /// The hash of the whole state.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn state_hash(&self) -> Result<StateHash> {
        Ok(Ledger::read(&*self.tx)?.state.state_hash(&self.genesis))
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").finish_non_exhaustive()
    }
}

impl DataRead for Snapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.tx.get(Table::Data, key)
    }

    fn show(&self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        self.tx.show(Table::Data, key, see)
    }

    fn range(&self, span: Span<'_>, direction: Direction) -> Result<Rows<'_>> {
        self.tx.range(Table::Data, span, direction)
    }
}
