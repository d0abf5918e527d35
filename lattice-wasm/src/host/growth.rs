//! Limits the growth of a module's memory and table.

use wasmi::ResourceLimiter;
use wasmi::errors::{MemoryError, TableError};
use wasmi_core::LimiterError;

use crate::abi::{MAX_PAGES, MAX_TABLE, PAGE_BYTES};

/// Why the engine does not let a memory or a table grow. A refusal ends the call, so that a module
/// cannot observe how much memory its host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The memory would exceed the limit.
    Memory,
    /// The table would exceed its limit.
    Table,
    /// There is not enough gas to clear the added part.
    Gas,
    /// The host has no memory left, which is not a fault of the code.
    Host,
}

/// Limits of one instance.
#[derive(Debug, Default)]
pub(crate) struct Growth {
    pub(crate) refused: Option<Refused>,
}

impl Growth {
    fn refuse<T>(&mut self, refused: Refused) -> Result<T, LimiterError> {
        self.refused = Some(refused);
        Err(LimiterError::ResourceLimiterDeniedAllocation)
    }
}

impl ResourceLimiter for Growth {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool, LimiterError> {
        match desired <= MAX_PAGES * PAGE_BYTES {
            true => Ok(true),
            false => self.refuse(Refused::Memory),
        }
    }

    fn memory_grow_failed(&mut self, error: &MemoryError) -> Result<(), LimiterError> {
        self.refuse(match error {
            MemoryError::OutOfFuel { .. } => Refused::Gas,
            MemoryError::OutOfSystemMemory => Refused::Host,
            _ => Refused::Memory,
        })
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool, LimiterError> {
        match u64::try_from(desired).is_ok_and(|desired| desired <= MAX_TABLE) {
            true => Ok(true),
            false => self.refuse(Refused::Table),
        }
    }

    fn table_grow_failed(&mut self, error: &TableError) -> Result<(), LimiterError> {
        self.refuse(match error {
            TableError::OutOfFuel { .. } => Refused::Gas,
            TableError::OutOfSystemMemory => Refused::Host,
            _ => Refused::Table,
        })
    }

    fn instances(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        1
    }

    fn memories(&self) -> usize {
        1
    }
}
