//! The host's side of a call: what the module sees of the store, and what it has used.

mod gas;
mod growth;
mod imports;

use lattice_backend::backend::BackendError;
use lattice_backend::machine::{DataRead, DataWrite, History, LogicFault};
use wasmi::Memory;

pub(crate) use gas::Gas;
pub(crate) use growth::{Growth, Refused};
pub(crate) use imports::function;

/// What a module may do with the rows of the store.
pub(crate) enum Data<'a> {
    None,
    Read(&'a dyn DataRead),
    Write(&'a mut dyn DataWrite),
}

/// Receives elements: the row's number, key and value.
pub(crate) type Each<'a> = &'a mut dyn FnMut(u32, &[u8], &[u8]);

/// What belongs to one instance.
pub(crate) struct Context<'a> {
    pub(crate) data: Data<'a>,
    pub(crate) history: Option<&'a dyn History>,
    pub(crate) elements: Option<Elements<'a>>,
    pub(crate) gas: Gas,
    /// Why the call was ended, if the host did it.
    pub(crate) error: Option<BackendError>,
    pub(crate) memory: Option<Memory>,
    pub(crate) growth: Growth,
    /// What did not fit into the module's buffer.
    parked: Option<Vec<u8>>,
    /// Keys, while the memory that they come from is written to.
    scratch: Vec<u8>,
    log_lines: u32,
}

/// The elements of a page of rows, while the module gives them.
pub(crate) struct Elements<'a> {
    pub(crate) each: Each<'a>,
    /// Rows of the page.
    pub(crate) rows: u32,
    /// The row that the last element was of, and how many it has.
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
