//! The host's side of a call: the data that the module can access, and the resources it has used.

mod functions;
mod gas;
mod growth;
mod imports;
mod reach;

use lattice_backend::backend::BackendError;
use lattice_backend::machine::LogicFault;
use wasmi::Memory;

pub(crate) use functions::function;
pub(crate) use gas::Gas;
pub(crate) use growth::{Growth, Refused};
pub(crate) use reach::{Data, Each, Reach};

/// The state of one instance.
#[derive(Default)]
pub(crate) struct Context {
    pub(crate) elements: Elements,
    pub(crate) gas: Gas,
    /// Why the call ended, if the host ended it.
    pub(crate) error: Option<BackendError>,
    pub(crate) memory: Option<Memory>,
    pub(crate) growth: Growth,
    /// A result that did not fit into the module's buffer.
    parked: Option<Vec<u8>>,
    /// Buffer for a key, while the module's memory that it comes from is written to.
    scratch: Vec<u8>,
    log_lines: u32,
}

impl Context {
    /// Drops what the host has read for the module.
    pub(crate) fn drop_buffers(&mut self) {
        self.parked = None;
        self.scratch = Vec::new();
    }
}

/// Counts the elements of a page of rows, while the module passes them.
#[derive(Default)]
pub(crate) struct Elements {
    /// The number of rows of the page.
    pub(crate) rows: u32,
    /// The row of the last element, and how many elements it has.
    row: u32,
    count: u64,
}

/// A fault of the code, with a message.
pub(crate) fn trap(message: impl Into<String>) -> BackendError {
    BackendError::Fault(LogicFault::Trap {
        message: message.into(),
    })
}
