//! What a state machine sees of a store: its own rows, and the history that they come from.

use crate::backend::{Direction, Result, Rows, Span};
use crate::op::{ApplyIndex, OpRef, OpView, Stamp};
use alloc::vec::Vec;

/// What a state machine may read: its own rows, and nothing else.
pub trait DataRead {
    /// The value under a key.
    ///
    /// # Errors
    /// What the backend reports while it reads.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// Shows the value under a key, if there is one, without copying it where the host can; whether
    /// there is one.
    ///
    /// # Errors
    /// What the backend reports while it reads.
    fn show(&self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let value = self.get(key)?;
        Ok(value.inspect(|value| see(value)).is_some())
    }

    /// The rows in a range, from either end.
    ///
    /// # Errors
    /// What the backend reports while it reads.
    fn range(&self, span: Span<'_>, direction: Direction) -> Result<Rows<'_>>;
}

/// What a state machine may write: its own rows, into a buffer that the host keeps or drops.
pub trait DataWrite: DataRead {
    /// Writes a row, over whatever stood there.
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
    /// How many ops have been applied: their apply indexes are those below. The op that is being
    /// applied is not counted.
    ///
    /// # Errors
    /// What the backend reports while it reads; so for all of these.
    fn count(&self) -> Result<u64>;

    /// The apply index of exactly this op (author, sequence number and id), if it has been applied.
    /// The op that is being applied has not been.
    fn index_of(&self, op: &OpRef) -> Result<Option<ApplyIndex>>;

    /// Which op has an apply index, and when it was made; the op that is being applied is known,
    /// too.
    ///
    /// # Errors
    /// [`BackendError::Row`](crate::backend::BackendError::Row) if no op has it: the row that names
    /// it is damaged.
    fn stamp(&self, index: ApplyIndex) -> Result<Stamp>;

    /// Shows the op that has an apply index as [`StateMachine::apply`] sees it; the one that is
    /// being applied, too.
    ///
    /// # Errors
    /// [`BackendError::Row`](crate::backend::BackendError::Row) if no op has it.
    ///
    /// [`StateMachine::apply`]: super::StateMachine::apply
    fn show(&self, index: ApplyIndex, see: &mut dyn FnMut(&OpView<'_>)) -> Result<()>;

    /// Whether exactly this op has been applied.
    fn is_applied(&self, op: &OpRef) -> Result<bool> {
        Ok(self.index_of(op)?.is_some())
    }
}
