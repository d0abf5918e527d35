//! Silences the panics that the suite repeatedly provokes while it shrinks a failure.

use std::cell::Cell;
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

thread_local! {
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

static INSTALL: Once = Once::new();
/// The number of suites in this process that are shrinking a failure.
static SHRINKING: AtomicUsize = AtomicUsize::new(0);

/// While this value lives, panics of this thread print nothing.
pub(super) struct Quiet {
    before: bool,
    counts: bool,
}

fn on_this_thread(is_quiet: bool, counts: bool) -> Quiet {
    let before = IS_QUIET.replace(is_quiet);
    Quiet { before, counts }
}

/// Silences this thread, and threads that call [`here`].
pub(super) fn shrinking() -> Quiet {
    INSTALL.call_once(|| {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !IS_QUIET.get() {
                hook(panic);
            }
        }));
    });
    SHRINKING.fetch_add(1, Ordering::SeqCst);
    on_this_thread(true, true)
}

/// Silences a helper thread while a failure is being shrunk.
pub(super) fn here() -> Quiet {
    on_this_thread(SHRINKING.load(Ordering::SeqCst) > 0, false)
}

impl Drop for Quiet {
    fn drop(&mut self) {
        IS_QUIET.set(self.before);
        if self.counts {
            SHRINKING.fetch_sub(1, Ordering::SeqCst);
        }
    }
}
