//! Waiting for ops.
//!
//! A commit by a handle of this process wakes the waiting threads at once. For commits of other
//! processes they poll: a thread that has just seen one polls every 5 ms, and then the less often
//! the longer there is nothing new.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::backend::{BackendError, Result};
use crate::engine::Engine;
use crate::machine::StateMachine;
use crate::op::OpsEnd;

/// The shortest and the longest time between two polls.
const MIN_POLL: Duration = Duration::from_millis(5);
const MAX_POLL: Duration = Duration::from_millis(50);
/// The time between two polls is this part of the time in which there was nothing new.
const QUIET_PART: u32 = 20;

/// Waits for ops; see [`Engine::wait_for_ops`].
pub(crate) fn wait_for_ops<M: StateMachine>(
    engine: &Engine<M>,
    index: u64,
    timeout: Duration,
) -> Result<u64> {
    // Long work of another process keeps readers waiting for longer than they wait.
    let known = &engine.inner.applied;
    let read = || match engine.op_count() {
        Err(BackendError::InUse(_)) => Ok(known.load(Ordering::Relaxed)),
        applied => applied.inspect(|applied| {
            known.fetch_max(*applied, Ordering::Relaxed);
        }),
    };
    wait(engine, timeout, read, |applied| *applied > index)
}

/// Waits for applied or held ops; see [`Engine::wait_for_change`].
pub(crate) fn wait_for_change<M: StateMachine>(
    engine: &Engine<M>,
    seen: OpsEnd,
    timeout: Duration,
) -> Result<OpsEnd> {
    let read = || match engine.ops_end() {
        Err(BackendError::InUse(_)) => Ok(seen),
        end => end,
    };
    wait(engine, timeout, read, |end| *end != seen)
}

/// Reads something until it is new, but for no longer than `timeout`.
fn wait<M: StateMachine, T>(
    engine: &Engine<M>,
    timeout: Duration,
    read: impl Fn() -> Result<T>,
    is_new: impl Fn(&T) -> bool,
) -> Result<T> {
    // `None` for a timeout beyond what the clock can represent: such a deadline is never reached.
    let deadline = Instant::now().checked_add(timeout);
    let commits = &engine.inner.commits;
    let mut checked: Option<Instant> = None;
    loop {
        // Counted before the read: a commit after it has notified, and ends the wait below.
        let count = commits.count();
        let found = read()?;
        let left = deadline.map_or(Duration::MAX, |deadline| {
            deadline.saturating_duration_since(Instant::now())
        });
        if is_new(&found) {
            commits.note_seen();
            return Ok(found);
        }
        if left.is_zero() {
            return Ok(found);
        }
        if checked.is_none_or(|checked| checked.elapsed() >= MAX_POLL) {
            if engine.inner.db.is_replaced()? {
                return Err(BackendError::Replaced);
            }
            checked = Some(Instant::now());
        }
        commits.wait(count, left.min(poll_after(commits.quiet())));
    }
}

/// The time until the next poll, if there was nothing new for so long.
fn poll_after(quiet: Option<Duration>) -> Duration {
    let poll = quiet.map_or(MAX_POLL, |quiet| quiet / QUIET_PART);
    poll.clamp(MIN_POLL, MAX_POLL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_become_rare_while_there_is_nothing_new() {
        let after = |ms: u64| poll_after(Some(Duration::from_millis(ms))).as_millis();
        assert_eq!([0, 99, 100, 200, 900].map(after), [5, 5, 5, 10, 45]);
        assert_eq!([1000, 60_000].map(after), [50, 50]);
        assert_eq!(poll_after(None), MAX_POLL);
    }
}
