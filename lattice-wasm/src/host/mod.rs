//! The host's side of a call: the data that the module can access, and the resources it has used.

mod gas;
mod growth;
mod imports;

use lattice_backend::backend::BackendError;
use lattice_backend::machine::{DataRead, DataWrite, History, LogicFault};
use wasmi::Memory;

pub(crate) use gas::Gas;
pub(crate) use growth::{Growth, Refused};
pub(crate) use imports::function;

/// The module's access to the rows of the store.
pub(crate) enum Data<'a> {
    None,
    Read(&'a dyn DataRead),
    Write(&'a mut dyn DataWrite),
}

/// Receives elements: the row's number, key and value.
pub(crate) type Each<'a> = &'a mut dyn FnMut(u32, &[u8], &[u8]);

/// The state of one instance.
pub(crate) struct Context<'a> {
    pub(crate) data: Data<'a>,
    pub(crate) history: Option<&'a dyn History>,
    pub(crate) elements: Option<Elements<'a>>,
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

/// The elements of a page of rows, while the module passes them.
pub(crate) struct Elements<'a> {
    pub(crate) each: Each<'a>,
    /// The number of rows of the page.
    pub(crate) rows: u32,
    /// The row of the last element, and how many elements it has.
    row: u32,
    count: u64,
}

impl<'a> Elements<'a> {
    pub(crate) fn new(rows: u32, each: Each<'a>) -> Self {
        Self {
            each,
            rows,
            row: 0,
            count: 0,
        }
    }
}

impl<'a> Context<'a> {
    pub(crate) fn new(data: Data<'a>, history: Option<&'a dyn History>, gas: Gas) -> Self {
        Self {
            data,
            history,
            elements: None,
            gas,
            error: None,
            memory: None,
            growth: Growth::default(),
            parked: None,
            scratch: Vec::new(),
            log_lines: 0,
        }
    }
}

/// A fault of the code, with a message.
pub(crate) fn trap(message: impl Into<String>) -> BackendError {
    BackendError::Fault(LogicFault::Trap {
        message: message.into(),
    })
}
