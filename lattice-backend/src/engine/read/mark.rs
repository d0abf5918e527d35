//! How far a store has come, by which a caller recognizes it later.

use lattice_meta::{Genesis, OpId, StateHash, StoreId};

use crate::backend::{BackendError, ReadTx, Result, StateDb, Table};
use crate::history::read_op;
use crate::history::system::{GENESIS, Ledger};
use crate::op::{ApplyIndex, OpHasher};
use crate::state::Accumulator;

/// How far a store has come: its number of ops, the newest of them, and the state after it. Reading
/// a mark needs no store logic, and costs two rows and the newest op, however long the history is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreMark {
    /// The store.
    pub store_id: StoreId,
    /// The number of applied ops.
    pub ops: u64,
    /// The op applied last; `None` if there are no ops.
    pub newest: Option<OpId>,
    /// The recorded state hash.
    pub state_hash: StateHash,
}

impl StoreMark {
    /// The mark of a store without ops.
    pub fn of_new(genesis: &Genesis) -> Self {
        Self {
            store_id: genesis.store_id(),
            ops: 0,
            newest: None,
            state_hash: Accumulator::default().state_hash(&genesis.hash()),
        }
    }

    /// Reads the mark of an open store.
    ///
    /// # Errors
    /// [`BackendError::Row`] for rows that Lattice did not write, and what the backend reports.
    pub fn read(db: &dyn StateDb) -> Result<Self> {
        let tx = db.snapshot()?;
        let genesis = genesis(&*tx)?;
        let ledger = Ledger::read(&*tx)?;
        let hash = genesis.hash();
        Ok(Self {
            store_id: genesis.store_id(),
            ops: ledger.applied,
            newest: newest(&*tx, &OpHasher::new(&hash), ledger.applied)?,
            state_hash: ledger.state.state_hash(&hash),
        })
    }

    /// Whether an open store has come from here: it has the same newest op at the same apply index;
    /// and if it has no op after it, its recorded state hash is the same.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub fn is_passed_by(&self, db: &dyn StateDb) -> Result<bool> {
        let tx = db.snapshot()?;
        let genesis = genesis(&*tx)?;
        if genesis.store_id() != self.store_id {
            return Ok(false);
        }
        let (hash, ledger) = (genesis.hash(), Ledger::read(&*tx)?);
        if ledger.applied < self.ops {
            return Ok(false);
        }
        if ledger.applied == self.ops && ledger.state.state_hash(&hash) != self.state_hash {
            return Ok(false);
        }
        Ok(newest(&*tx, &OpHasher::new(&hash), self.ops)? == self.newest)
    }
}

fn genesis(tx: &dyn ReadTx) -> Result<Genesis> {
    let expected = "a genesis record";
    let row = tx.get(Table::System, GENESIS)?;
    let row = row.ok_or_else(|| BackendError::row(Table::System, expected, "none"))?;
    Genesis::decode(&row)
        .map_err(|error| BackendError::row(Table::System, expected, error.to_string()))
}

/// The op after which `ops` ops are applied.
fn newest(tx: &dyn ReadTx, hasher: &OpHasher, ops: u64) -> Result<Option<OpId>> {
    let Some(last) = ops.checked_sub(1) else {
        return Ok(None);
    };
    let op = read_op(tx, hasher, ApplyIndex::new(last))?;
    Ok(op.map(|op| op.reference().id))
}
