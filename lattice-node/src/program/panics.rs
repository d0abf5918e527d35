//! Panics: none reaches the user as a trace of calls.
//!
//! The engine underneath panics over some damage. The library makes errors of such panics, and the
//! program prints the error, once. Any other panic is a mistake of the program's own.

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Mutex, PoisonError};

use super::failure::Failure;

/// Where the last panic was, and what it said.
static LAST: Mutex<String> = Mutex::new(String::new());

/// Runs something; a panic that nobody made an error of becomes a failure.
pub(super) fn contain<T>(run: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    // Set to print a trace, the standard library still does.
    if std::env::var_os("LATTICE_BACKTRACE").is_none() {
        panic::set_hook(Box::new(|info| {
            *LAST.lock().unwrap_or_else(PoisonError::into_inner) = info.to_string();
        }));
    }
    panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        let last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        Err(Failure::failed(format!(
            "the program made a mistake; please report it: {}",
            last.replace('\n', " ")
        )))
    })
}
