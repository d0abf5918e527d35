//! Waiting for ops.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use crate::backend::{BackendError, Result};
use crate::engine::Engine;
use crate::machine::StateMachine;

/// How often a waiting thread polls a store that another process may write.
const FOREIGN_POLL: Duration = Duration::from_millis(50);

/// Waits for ops; see [`Engine::wait_for_ops`].
pub(crate) fn wait_for_ops<M: StateMachine>(
    engine: &Engine<M>,
    index: u64,
    timeout: Duration,
) -> Result<u64> {
    // `None` for a timeout beyond what the clock can represent: such a deadline is never
    // reached.
    let deadline = Instant::now().checked_add(timeout);
    loop {
        let progress = &engine.inner.progress;
        let known = || {
            let known = progress.applied.lock();
            *known.unwrap_or_else(PoisonError::into_inner)
        };
        // Long work of another process keeps readers waiting for longer than they wait.
        let applied = match engine.op_count() {
            Err(BackendError::InUse(_)) => known(),
            applied => applied?,
        };
        let left = deadline.map_or(Duration::MAX, |deadline| {
            deadline.saturating_duration_since(Instant::now())
        });
        if applied > index || left.is_zero() {
            return Ok(applied);
        }
        if engine.inner.db.is_replaced()? {
            return Err(BackendError::Replaced);
        }
        let seen = progress
            .applied
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // An op that was applied after the count was read has not notified yet in this case, so
        // the wait cannot miss it.
        if *seen <= applied {
            let pause = left.min(FOREIGN_POLL);
            drop(progress.changed.wait_timeout(seen, pause));
        }
    }
}
