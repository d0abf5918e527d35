//! The error of the host, as a module sees it: it has no value, since a call of the host that fails
//! ends the module, and so does a row that is damaged. The compiler therefore leaves out all code
//! for errors, which would be a tenth of a module.

use alloc::string::String;
use core::convert::Infallible;

use crate::backend::Table;

/// A failure of the storage below a store. In a module there is no value of this type.
// Not an empty enum, whose constructors the compiler reports as code that ends.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BackendError(Infallible);

impl BackendError {
    /// Ends the module: a row does not have the required form.
    ///
    /// # Panics
    /// Always.
    #[cold]
    #[inline(never)]
    #[track_caller]
    pub fn row(table: Table, expected: &'static str, found: impl Into<String>) -> Self {
        let found = found.into();
        panic!("table `{table}` is damaged: expected {expected}, found {found}")
    }
}
