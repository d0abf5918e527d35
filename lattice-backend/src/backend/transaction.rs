//! Write transactions, and when what they wrote is durable.

use std::fmt;

use crate::backend::{Result, WriteTx};

/// One write transaction, from [`StateDb::begin_write`](crate::backend::StateDb::begin_write) to
/// [`commit`](Self::commit). Dropping it without a commit rolls back all its writes, also when a
/// panic drops it.
///
/// Reads through the transaction see its writes; snapshots and other processes do not. This holds
/// for any size: a backend may write rows to its file before the commit, when they outgrow its
/// memory.
///
/// A thread with an open transaction must end it before the thread begins another one, or closes or
/// compacts the store: each of these waits for the open transaction.
///
/// After a call on a transaction has failed, drop the transaction. Committing it then is a
/// programming error or returns an error. Earlier commits are not affected.
pub trait Transaction: WriteTx {
    /// Whether another handle may have committed since this handle was opened, or since its last
    /// transaction began, or whether the last transaction was not committed although its commit
    /// returned a ticket. What the caller remembers of the rows may be outdated then.
    fn follows_others(&self) -> bool {
        false
    }

    /// Makes the next open for writing quick at any size if the process is killed after this
    /// transaction, and the commit slower. Backends to which this makes no difference ignore it.
    fn allow_quick_repair(&mut self) {}

    /// Ends the transaction and makes its writes visible to later transactions. The next one can
    /// begin as soon as this returns. The writes are durable when the ticket's
    /// [`wait`](Ticket::wait) returns. Snapshots show them never before they are durable, and
    /// always after `wait`.
    ///
    /// # Errors
    /// After [`BackendError::ReadOnly`](crate::backend::BackendError::ReadOnly),
    /// [`BackendError::Closed`](crate::backend::BackendError::Closed) and
    /// [`BackendError::NotCommitted`](crate::backend::BackendError::NotCommitted) the store is
    /// unchanged. After any other error it is unknown whether the commit is on disk: the store must
    /// be opened again before the next write.
    fn commit(self: Box<Self>) -> Result<Ticket>;
}

/// Returned by a commit, to wait until it is durable.
///
/// A commit does not depend on its ticket. If the ticket is dropped, the commit stays, and is
/// durable once a later ticket has been waited for or the store is closed.
#[must_use = "what was committed may be lost until its ticket has been waited for"]
pub struct Ticket(Option<Box<dyn FnOnce() -> Result<()> + Send>>);

impl Ticket {
    /// The ticket of a commit that is already durable.
    pub const fn durable() -> Self {
        Self(None)
    }

    /// The ticket of a commit that is durable once `wait` has returned `Ok`.
    pub fn new(wait: impl FnOnce() -> Result<()> + Send + 'static) -> Self {
        Self(Some(Box::new(wait)))
    }

    /// Waits until this commit and all earlier ones are durable. Snapshots taken afterwards show
    /// it. During the wait, other transactions may be open, also on this thread.
    ///
    /// # Errors
    /// [`BackendError::NotCommitted`](crate::backend::BackendError::NotCommitted) if neither this
    /// commit nor one after it is on disk: the handle can be used on, and its next transaction
    /// [follows others](Transaction::follows_others). After what else the storage reports it is
    /// unknown whether the commit is on disk: the store must be opened again before the next write.
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
