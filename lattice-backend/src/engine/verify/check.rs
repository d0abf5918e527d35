//! Checks every op record against the index by author.

use crate::backend::{BackendError, Result, Table};
use crate::engine::Inner;
use crate::history::system::Ledger;
use crate::history::{Forks, missing, read_op, read_place};
use crate::machine::StateMachine;
use crate::op::ApplyIndex;
use crate::progress::{Counted, ProgressSink, Stage};

/// Compares every op with the index; see [`Engine::check_ops`](crate::engine::Engine::check_ops).
pub(crate) fn check_ops<M: StateMachine>(inner: &Inner<M>, progress: &ProgressSink) -> Result<()> {
    inner.check_usable()?;
    let tx = inner.db.snapshot()?;
    let ledger = Ledger::read(&*tx)?;
    let mut checked = Counted::new(progress, Stage::Ops, Some(ledger.applied));
    for place in 0..ledger.applied {
        let place = ApplyIndex::new(place);
        let op = read_op(&*tx, &inner.hasher, place)?.ok_or_else(|| missing(place))?;
        let is_known = match place.get() < ledger.indexed {
            true => {
                let found = read_place(&*tx, &op.reference(), Forks::Some)?;
                found.is_some_and(|found| found.index == place)
            }
            false => op.verify().is_ok(),
        };
        checked.one();
        if !is_known {
            let found = format!("a different op at index {place}");
            return Err(BackendError::row(
                Table::Ops,
                "the op that was applied",
                found,
            ));
        }
    }
    Ok(())
}
