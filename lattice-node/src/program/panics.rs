//! Panics: none reaches the user as a backtrace.
//!
//! The backend panics on some kinds of damage. The library converts such panics to errors, which
//! the program prints once. Any other panic is a bug in the program.

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Mutex, PoisonError};

use super::failure::Failure;

/// The location and the message of the last panic.
static LAST: Mutex<String> = Mutex::new(String::new());

/// Calls `run`; converts a panic that the library did not convert to a failure.
pub(super) fn contain<T>(run: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    // With `LATTICE_BACKTRACE` set, the default hook prints the backtrace.
    if std::env::var_os("LATTICE_BACKTRACE").is_none() {
        panic::set_hook(Box::new(|info| {
            *LAST.lock().unwrap_or_else(PoisonError::into_inner) = info.to_string();
        }));
    }
    panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        let last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        Err(Failure::failed(format!(
            "internal error; please report it: {}",
            last.replace('\n', " ")
        )))
    })
}
