//! Whether a history is made of the ops that were applied.

use crate::backend::{BackendError, Result, Table};
use crate::engine::Engine;
use crate::history::system::Ledger;
use crate::history::{Forks, missing, read_op, read_place};
use crate::machine::StateMachine;

impl<M: StateMachine> Engine<M> {
    /// Reads every op, and looks whether it is the one that the index by author names, by the id that
    /// its bytes hash to; of the last few, which are in no index yet, whether the signature holds. That
    /// takes about as long as copying the ops: [`verify`](Self::verify) looks at every signature, too.
    ///
    /// # Errors
    /// [`BackendError::Row`] for the first op that is another, and what the engine underneath reports.
    pub fn check_ops(&self) -> Result<()> {
        self.inner.check_usable()?;
        let tx = self.inner.db.snapshot()?;
        let ledger = Ledger::read(&*tx)?;
        for place in 0..ledger.applied {
            let op = read_op(&*tx, &self.inner.hasher, place)?.ok_or_else(|| missing(place))?;
            let is_known = match place < ledger.indexed {
                true => {
                    let found = read_place(&*tx, &op.reference(), Forks::Some)?;
                    found.is_some_and(|found| found.index == place)
                }
                false => op.verify().is_ok(),
            };
            if !is_known {
                let found = format!("another as number {place}");
                return Err(BackendError::row(
                    Table::Ops,
                    "the op that was applied",
                    found,
                ));
            }
        }
        Ok(())
    }
}
