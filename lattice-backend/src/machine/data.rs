//! A state machine's view of a store: its own rows, and the history that they come from.

use crate::backend::{Direction, Result, Rows, Span};
use crate::op::{ApplyIndex, OpRef, OpView, Stamp};
use alloc::vec::Vec;

/// Read access of a state machine, to its own rows only.
pub trait DataRead {
    /// The value under a key.
    ///
    /// # Errors
    /// What the backend reports while it reads.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// Passes the value under a key to `see`, if there is one, without a copy where the host can
    /// avoid it. Returns whether there is one.
    ///
    /// # Errors
    /// What the backend reports while it reads.
    fn show(&self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let value = self.get(key)?;
        Ok(value.inspect(|value| see(value)).is_some())
    }

    /// The rows in a range, in either direction.
    ///
    /// # Errors
    /// What the backend reports while it reads.
    fn range(&self, span: Span<'_>, direction: Direction) -> Result<Rows<'_>>;
}

/// Write access of a state machine, to its own rows. The writes go to a buffer that the host keeps
/// or drops.
pub trait DataWrite: DataRead {
    /// Writes a row. Replaces a row with the same key.
    ///
    /// # Errors
    /// What the backend reports.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()>;

    /// Removes a row, if it is there.
    ///
    /// # Errors
    /// What the backend reports.
    fn remove(&mut self, key: &[u8]) -> Result<()>;
}

/// What a state machine may ask about history.
///
/// An applied op has an [`ApplyIndex`]. Rows may hold it; elements and payloads may not.
pub trait History {
    /// The number of applied ops; their apply indexes are the numbers below it. The op being
    /// applied is not counted.
    ///
    /// # Errors
    /// What the backend reports while it reads; this holds for all methods here.
    fn count(&self) -> Result<u64>;

    /// The apply index of exactly this op (author, sequence number and id), if it has been applied.
    /// The op being applied does not count as applied.
    fn index_of(&self, op: &OpRef) -> Result<Option<ApplyIndex>>;

    /// The op at an apply index, and when it was made. The op being applied is included.
    ///
    /// # Errors
    /// [`BackendError::Row`](crate::backend::BackendError::Row) if there is no such op: the row
    /// that names it is damaged.
    fn stamp(&self, index: ApplyIndex) -> Result<Stamp>;

    /// Passes the op at an apply index to `see`, as [`StateMachine::apply`] sees it. The op being
    /// applied is included.
    ///
    /// # Errors
    /// [`BackendError::Row`](crate::backend::BackendError::Row) if there is no such op.
    ///
    /// [`StateMachine::apply`]: super::StateMachine::apply
    fn show(&self, index: ApplyIndex, see: &mut dyn FnMut(&OpView<'_>)) -> Result<()>;

    /// The BLAKE3 hash of some bytes. For a module the host computes it, which takes a hundredth of
    /// the time and saves the module 6 KB of code.
    fn hash(&self, bytes: &[u8]) -> [u8; 32] {
        *blake3::hash(bytes).as_bytes()
    }

    /// Whether exactly this op has been applied.
    fn is_applied(&self, op: &OpRef) -> Result<bool> {
        Ok(self.index_of(op)?.is_some())
    }
}
