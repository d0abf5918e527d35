//! Write transactions, and when what they wrote is durable.

use std::fmt;

use crate::backend::{Result, WriteTx};

/// One write transaction, from [`StateDb::begin_write`](crate::backend::StateDb::begin_write) to
/// [`commit`](Self::commit). Dropping it without a commit undoes everything that it wrote, also when
/// a panic drops it.
///
/// Reads inside see what the transaction has written; snapshots and other processes do not. This
/// holds whatever the transaction's size: a backend may write rows to its file before the commit,
/// when they outgrow its memory.
///
/// A thread that has a transaction open must end it before it begins another one, or closes or
/// compacts the store: each of these waits for the open transaction.
///
/// After a call on a transaction has failed, drop the transaction; committing it then is an error or
/// gives one. What was committed before is not touched.
pub trait Transaction: WriteTx {
    /// Makes everything that was written visible to the transactions after this one, and ends the
    /// transaction. The next one can begin as soon as this returns. What was committed is durable
    /// when the ticket's [`wait`](Ticket::wait) returns; snapshots show it from then on at the latest,
    /// and never before it is durable.
    ///
    /// # Errors
    /// After [`BackendError::ReadOnly`](crate::backend::BackendError::ReadOnly) and
    /// [`BackendError::Closed`](crate::backend::BackendError::Closed) the store is as it was. After
    /// any other error it is unknown whether the commit is on disk: the store must be opened again
    /// before it is written to.
    fn commit(self: Box<Self>) -> Result<Ticket>;
}

/// What a commit gives: a way to wait until it is durable.
///
/// A commit does not depend on its ticket. One whose ticket is dropped stays committed, and is
/// durable at the latest when a later ticket has been waited for, or the store is closed.
#[must_use = "what was committed may be lost until its ticket has been waited for"]
pub struct Ticket(Option<Box<dyn FnOnce() -> Result<()> + Send>>);

impl Ticket {
    /// The ticket of a commit that was durable when it returned.
    pub const fn durable() -> Self {
        Self(None)
    }

    /// The ticket of a commit that is durable once `wait` has returned without an error.
    pub fn new(wait: impl FnOnce() -> Result<()> + Send + 'static) -> Self {
        Self(Some(Box::new(wait)))
    }

    /// Waits until the commit, and every commit before it, is durable. Snapshots taken from then on
    /// show it. Other transactions may be open in the meantime, also on this thread.
    ///
    /// # Errors
    /// What the storage reports. It is then unknown whether the commit is on disk: the store must be
    /// opened again before it is written to.
    pub fn wait(self) -> Result<()> {
        self.0.map_or(Ok(()), |wait| wait())
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("is_durable", &self.0.is_none())
            .finish_non_exhaustive()
    }
}
