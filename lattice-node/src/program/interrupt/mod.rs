//! Interruption by signals: Ctrl-C (INT), termination (TERM) and the end of a terminal (HUP).
//!
//! One thread receives the signals of the process. A command ends by itself if it can: it checks
//! [`Interruption::signal`], or finishes soon. Otherwise that thread ends the process: it removes
//! the unfinished files, and prints what stands and which command goes on. A second Ctrl-C ends the
//! process at once.

mod input;
mod signals;
mod story;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use lattice_registry::files::{Stopped, has_placed, try_stop};

pub(super) use input::Input;
pub(super) use signals::{Signal, exit};
pub(super) use story::{Effect, Story, quoted, story_of};

use super::failure::{Failure, Kind};
use super::progress::Progress;

/// How long an interrupted command may take to end by itself.
const GRACE: Duration = Duration::from_millis(200);
/// The same after its work is done: it still prints the result.
const GRACE_WHEN_DONE: Duration = Duration::from_secs(3);
/// A second signal sooner than this is the first one again: `timeout` sends it twice.
const DISTINCT: Duration = Duration::from_millis(200);
/// How often the thread that ends the process checks whether the command has ended.
const POLL: Duration = Duration::from_millis(10);

static INSTALLED: OnceLock<Arc<Interruption>> = OnceLock::new();

/// The signals that the process has received, and what the command says when it is interrupted.
#[derive(Debug, Default)]
pub(super) struct Interruption {
    /// The first signal; 0 if there was none.
    signal: AtomicU8,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    story: Story,
    json: bool,
    progress: Progress,
    /// The command ends by itself when it is interrupted, however long that takes.
    ends_itself: bool,
    /// The command is printing its result.
    is_over: bool,
    /// The process is about to end.
    is_taken: bool,
    /// How many programs run to which Ctrl-C is left.
    left: usize,
}

/// Leaves Ctrl-C to a program that the user sees, until this is dropped.
#[derive(Debug)]
pub(super) struct Left(Arc<Interruption>);

impl Drop for Left {
    fn drop(&mut self) {
        self.0.state().left -= 1;
    }
}

/// Receives the signals of this process from now on. Signals that were ignored when the process
/// started stay ignored.
pub(super) fn install(json: bool) -> Arc<Interruption> {
    let interruption = Arc::new(Interruption::default());
    interruption.state().json = json;
    let installed = INSTALLED.get_or_init(|| interruption);
    signals::receive(installed);
    Arc::clone(installed)
}

/// What [`install`] has returned; without it an interruption that never comes.
pub(super) fn installed() -> Arc<Interruption> {
    INSTALLED.get().map_or_else(Arc::default, Arc::clone)
}

impl Interruption {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first signal that the process has received.
    pub(super) fn signal(&self) -> Option<Signal> {
        Signal::of(self.signal.load(Ordering::Acquire))
    }

    /// Ends the command if the process has received a signal.
    ///
    /// # Errors
    /// The failure of an interrupted command.
    pub(super) fn check(&self) -> Result<(), Failure> {
        match self.signal() {
            Some(signal) => Err(Failure::interrupted(signal)),
            None => Ok(()),
        }
    }

    /// Leaves Ctrl-C to a program that runs on the terminal.
    pub(super) fn leave(self: &Arc<Self>) -> Left {
        self.state().left += 1;
        Left(Arc::clone(self))
    }

    /// Whether a signal is for this program.
    fn takes(&self, signal: Signal) -> bool {
        signal != Signal::Int || self.state().left == 0
    }

    /// Records a signal, unless an earlier one is recorded.
    pub(super) fn raise(&self, signal: Signal) {
        let state = self.state();
        if self.signal().is_none() {
            self.signal.store(signal.number(), Ordering::Release);
        }
        self.changed.notify_all();
        drop(state);
    }

    /// Sets what the command says when it is interrupted.
    pub(super) fn tell(&self, story: Story) {
        self.state().story = story;
    }

    /// Changes what the command says when it is interrupted.
    pub(super) fn retell(&self, change: impl FnOnce(&mut Story)) {
        change(&mut self.state().story);
    }

    /// Declares that from now on the command checks for signals itself, and ends soon after one.
    pub(super) fn end_by_itself(&self) {
        self.state().ends_itself = true;
    }

    /// Sets the line of progress that is cleared before the process ends.
    pub(super) fn set_progress(&self, progress: Progress) {
        self.state().progress = progress;
    }

    /// Waits until `ready` returns a value, and returns `None` once there is a signal.
    /// [`wake`](Self::wake) makes it ask `ready` again.
    fn wait_for<T>(&self, mut ready: impl FnMut() -> Option<T>) -> Option<T> {
        let mut state = self.state();
        loop {
            if let Some(ready) = ready() {
                return Some(ready);
            }
            if self.signal().is_some() {
                return None;
            }
            let waited = self.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn wake(&self) {
        let state = self.state();
        self.changed.notify_all();
        drop(state);
    }

    /// Pauses the command.
    ///
    /// # Errors
    /// The failure of an interrupted command.
    pub(super) fn pause(&self, pause: Duration) -> Result<(), Failure> {
        let state = self.state();
        let waited = self
            .changed
            .wait_timeout_while(state, pause, |_| self.signal().is_none());
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        self.check()
    }

    /// Called once the command has ended, before its result is reported. Returns that result, or
    /// the failure of an interrupted command. Waits for ever if a signal ends the process.
    pub(super) fn over(&self, outcome: Result<(), Failure>) -> Result<(), Failure> {
        let mut state = self.state();
        if state.is_taken {
            drop(state);
            loop {
                thread::park();
            }
        }
        state.is_over = true;
        let Some(signal) = self.signal() else {
            return outcome;
        };
        match outcome {
            Ok(()) => Err(Failure::interrupted(signal).and("the command had already ended")),
            Err(failure) if failure.is_interrupted() => Err(state.story.complete(failure, None)),
            // Ctrl-C in a pipeline ends the reader of the output, too.
            Err(failure) if failure.is_closed_pipe() => {
                Err(state.story.complete(Failure::interrupted(signal), None))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Ends the process, unless the command ends by itself. `is_again` returns true once there is a
    /// second Ctrl-C.
    fn end(&self, signal: Signal, mut is_again: impl FnMut() -> bool) -> ! {
        let began = Instant::now();
        loop {
            let elapsed = began.elapsed();
            if is_twice(is_again(), elapsed) {
                self.end_at_once(signal);
            }
            if let Some((stopped, state)) = self.take(elapsed) {
                state.progress.close();
                let failure = Failure::interrupted(signal);
                let failure = state.story.complete(failure, Some(&stopped));
                failure.print(state.json);
                signals::exit(signal);
            }
            thread::sleep(POLL);
        }
    }

    /// Stops the command, if it does not end by itself.
    fn take(&self, elapsed: Duration) -> Option<(Stopped, MutexGuard<'_, State>)> {
        let mut state = self.state();
        let grace = match state.story.effect {
            Effect::Makes if has_placed() => GRACE_WHEN_DONE,
            // What it has made so far is removed, so there is nothing to wait for.
            Effect::Makes => Duration::ZERO,
            Effect::Reads | Effect::Other => GRACE,
        };
        if state.is_over || state.ends_itself || elapsed < grace {
            return None;
        }
        let stopped = try_stop()?;
        state.is_taken = true;
        Some((stopped, state))
    }

    fn end_at_once(&self, signal: Signal) -> ! {
        // The thread that holds the lock may never release it.
        let json = self.state.try_lock().is_ok_and(|state| {
            state.progress.close();
            state.json
        });
        let failure = Failure::new(
            Kind::Interrupted(signal),
            "interrupted twice, ended at once",
        );
        story::with_left(failure, &lattice_registry::files::unfinished()).print(json);
        signals::exit(signal)
    }
}

/// Whether a second Ctrl-C ends the process at once.
fn is_twice(is_again: bool, elapsed: Duration) -> bool {
    is_again && elapsed >= DISTINCT
}

/// The paths as texts.
fn shown(paths: &[PathBuf]) -> Vec<String> {
    let shown = paths.iter().map(|path| path.display().to_string());
    shown.collect()
}

#[cfg(test)]
mod tests;
