//! The state of a store at one moment, in a few words.

use lattice_meta::{GenesisHash, StateHash};

use crate::backend::{BackendError, ReadTx, Result, Table};
use crate::history::system::{LOGIC, Ledger, read_frontier};
use crate::machine::LogicVersion;
use crate::op::OpRef;

/// What identifies the state of a store at one moment. Replicas with equal frontiers have applied
/// the same ops, so their state hashes are equal, unless the code of one computes something else.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreState {
    /// The version of the logic that the store records.
    pub logic: LogicVersion,
    /// The hash of the whole state.
    pub state_hash: StateHash,
    /// The frontier, ascending.
    pub frontier: Vec<OpRef>,
}

impl StoreState {
    pub(crate) fn read(tx: &dyn ReadTx, genesis: &GenesisHash) -> Result<Self> {
        let expected = "the version of the store's logic";
        let row = tx.get(Table::System, LOGIC)?;
        let row = row.ok_or_else(|| BackendError::row(Table::System, expected, "none"))?;
        let text = str::from_utf8(&row).ok();
        let logic = text.and_then(|text| LogicVersion::new(text).ok());
        let logic = logic.ok_or_else(|| {
            let found = format!("\"{}\"", row.escape_ascii());
            BackendError::row(Table::System, expected, found)
        })?;
        let frontier = read_frontier(tx)?.into_iter();
        Ok(Self {
            logic,
            state_hash: Ledger::read(tx)?.state.state_hash(genesis),
            frontier: frontier.map(|(op, _)| op).collect(),
        })
    }
}
