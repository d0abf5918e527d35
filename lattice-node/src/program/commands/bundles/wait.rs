//! Waiting until deferred ops can be applied.
//!
//! While the command waits, the store is closed, so that others can write to it: the deferred ops
//! are in the bundle, which is applied again when they are due.

use std::sync::Arc;
use std::time::Duration;

use lattice_backend::clock::{Clock, SystemClock, Time};

use super::counts::Deferred;
use crate::program::bulk::plural;
use crate::program::context::Context;
use crate::program::failure::Failure;
use crate::program::interrupt::Interruption;

/// The least time between two attempts, in milliseconds, unless the second is the last. A bundle
/// can have as many due times as it has ops.
const MIN_PAUSE_MS: u64 = 10_000;
/// How often the clock is read, since it can be set while the command waits.
const POLL: Duration = Duration::from_secs(1);
/// How often a store that another process writes is tried again after a pause, a second apart.
const MAX_TRIES: u32 = 60;

/// What `--until-due` decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// Deferred ops are left to a later attempt.
    Leave,
    /// The command applies them when they are due.
    Wait,
}

/// Pauses of a command, which a signal ends.
pub(super) struct Waiting {
    clock: Arc<dyn Clock>,
    interruption: Arc<Interruption>,
    tries: u32,
}

impl Waiting {
    /// Prepares to wait. From then on the command checks for signals itself.
    pub(super) fn start(context: &Context<'_>) -> Self {
        context.interruption.end_by_itself();
        Self::by(Arc::new(SystemClock), &context.interruption)
    }

    fn by(clock: Arc<dyn Clock>, interruption: &Arc<Interruption>) -> Self {
        Self {
            clock,
            interruption: Arc::clone(interruption),
            tries: 0,
        }
    }

    /// Whether a signal has interrupted the command.
    pub(super) fn is_interrupted(&self) -> bool {
        self.interruption.signal().is_some()
    }

    /// Ends the command after a signal.
    ///
    /// # Errors
    /// The failure of an interrupted command.
    pub(super) fn check(&self) -> Result<(), Failure> {
        self.interruption.check()
    }

    /// Waits for the next deferred ops, and says so.
    ///
    /// # Errors
    /// If a signal interrupts the command.
    pub(super) fn for_ops(
        &mut self,
        context: &mut Context<'_>,
        deferred: &Deferred,
    ) -> Result<(), Failure> {
        self.tries = 0;
        let due_ms = next_attempt_ms(self.clock.now_ms(), deferred);
        let ops = plural(deferred.ops, ("op", "ops"));
        let last = match due_ms == deferred.last_ms {
            true => String::new(),
            false => format!(", and for the last of them until {}", at(deferred.last_ms)),
        };
        context.out.note(&format!(
            "{ops} deferred, because dated ahead of this machine's clock, or after such an op; \
             waiting until {}{last}",
            at(due_ms)
        ));
        self.until(due_ms)
    }

    /// Waits until a new replica can be created.
    ///
    /// # Errors
    /// If a signal interrupts the command.
    pub(super) fn for_store(
        &mut self,
        context: &mut Context<'_>,
        due_ms: u64,
    ) -> Result<(), Failure> {
        context.out.note(&format!(
            "the store is dated ahead of this machine's clock; waiting until {}",
            at(due_ms)
        ));
        self.until(due_ms)
    }

    /// Waits a moment for another process that writes the store, and says so once.
    ///
    /// # Errors
    /// The failure itself, if that was done often enough; and if a signal interrupts the command.
    pub(super) fn for_writer(
        &mut self,
        context: &mut Context<'_>,
        in_use: Failure,
    ) -> Result<(), Failure> {
        self.tries += 1;
        if self.tries > MAX_TRIES {
            return Err(in_use);
        }
        if self.tries == 1 {
            let note = format!("{}; trying again for {MAX_TRIES} s", in_use.message());
            context.out.note(&note);
        }
        self.until(self.clock.now_ms().saturating_add(1000))
    }

    /// Waits until the clock shows a time.
    fn until(&self, due_ms: u64) -> Result<(), Failure> {
        loop {
            self.check()?;
            let left_ms = due_ms.saturating_sub(self.clock.now_ms());
            if left_ms == 0 {
                return Ok(());
            }
            self.interruption
                .pause(POLL.min(Duration::from_millis(left_ms)))?;
        }
    }
}

/// A time for people, by the second after it.
pub(super) fn at(ms: u64) -> Time {
    Time::from_ms(ms.div_ceil(1000).saturating_mul(1000))
}

/// When the next attempt begins.
fn next_attempt_ms(now_ms: u64, deferred: &Deferred) -> u64 {
    let soon = now_ms.saturating_add(MIN_PAUSE_MS);
    deferred.first_ms.max(soon.min(deferred.last_ms))
}

#[cfg(test)]
mod tests {
    use lattice_backend::clock::ManualClock;

    use super::*;
    use crate::program::interrupt::Signal;

    fn deferred(first_ms: u64, last_ms: u64) -> Deferred {
        Deferred {
            ops: 2,
            first_ms,
            last_ms,
        }
    }

    #[test]
    fn attempts_are_apart_unless_one_is_the_last() {
        assert_eq!(next_attempt_ms(0, &deferred(500, 500)), 500);
        assert_eq!(next_attempt_ms(0, &deferred(500, 900)), 900);
        assert_eq!(next_attempt_ms(0, &deferred(500, 20_000)), 10_000);
        assert_eq!(next_attempt_ms(0, &deferred(15_000, 20_000)), 15_000);
        assert_eq!(next_attempt_ms(0, &deferred(u64::MAX, u64::MAX)), u64::MAX);
    }

    #[test]
    fn it_waits_for_the_clock_and_not_for_a_duration() {
        let clock = Arc::new(ManualClock::new(1000));
        let waiting = Waiting::by(clock.clone(), &Arc::default());
        std::thread::scope(|scope| {
            let waited = scope.spawn(|| waiting.until(5_000_000).is_ok());
            assert!(!waited.is_finished());
            clock.set(5_000_000);
            assert!(waited.join().unwrap_or(false));
        });
    }

    #[test]
    fn a_signal_ends_a_wait() {
        let waiting = Waiting::by(Arc::new(ManualClock::new(0)), &Arc::default());
        std::thread::scope(|scope| {
            let waited = scope.spawn(|| waiting.until(u64::MAX).map_err(|failure| failure.code()));
            waiting.interruption.raise(Signal::Int);
            assert!(matches!(waited.join(), Ok(Err(130))));
        });
        assert!(waiting.check().is_err());
    }
}
