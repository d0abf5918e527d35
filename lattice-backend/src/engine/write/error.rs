//! Why a command did not become an op.

use lattice_meta::{Hlc, PubKey, StoreId};

use crate::backend::BackendError;
use crate::clock::Time;
use crate::machine::{LogicFault, MachineError};
use crate::op::{OpError, OpRef};

/// Why a command did not become an op. Nothing has changed, except where a variant says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError<R> {
    /// The state machine refused the command.
    #[error(transparent)]
    Refused(R),
    /// The op's timestamp would be too far ahead of the local clock. Either this clock or another
    /// author's clock is or was wrong.
    #[error(
        "the store's newest op is dated {}, {} s ahead of this machine's clock and more than {} s; \
         set the clock right, or write again from {} on, or move the state to a new store with \
         `lattice migrate STORE --to TYPE` if the op is misdated",
        Time::from_ms(newest.ms()),
        ahead_ms / 1000,
        allowed_ms / 1000,
        Time::from_ms(newest.ms().saturating_sub(*allowed_ms))
    )]
    ClockBehind {
        /// The timestamp of the newest op.
        newest: Hlc,
        /// How far ahead of the local clock the op would be, in milliseconds.
        ahead_ms: u64,
        /// The greatest lead allowed, in milliseconds.
        allowed_ms: u64,
    },
    /// No timestamp exceeds the greatest one applied.
    #[error("the store's history has used the last possible timestamp")]
    ClockExhausted,
    /// The author has used its last sequence number.
    #[error("the author has used the last possible sequence number")]
    SeqExhausted,
    /// The payload is too long for an op.
    #[error("an op has at most {limit} bytes of payload, found {found}")]
    TooLong {
        /// The length of the longest payload, in bytes.
        limit: usize,
        /// The payload's length, in bytes.
        found: usize,
    },
    /// The state machine made a payload that no op can have, or that it does not accept itself.
    #[error("the state machine prepared an invalid op")]
    Invalid(#[source] Option<OpError>),
    /// The code of the store type failed. Nothing was written for the command, and the handle stays
    /// usable.
    #[error("the command failed")]
    Fault(#[source] LogicFault),
    /// An op of this author is held. The next op must follow it and could not be applied either.
    #[error(
        "op {held} of this author is held, because the store type's code could not apply it; open \
         the store with code that can apply it before you write"
    )]
    OwnOpHeld {
        /// The author's last held op.
        held: OpRef,
    },
    /// The store is a copy that nothing has confirmed: this author may have written ops that the
    /// copy lacks, and the next op would then fork the author. Nothing was written.
    #[error(
        "store {store_id} is a copy, and author {author} may have written ops that it lacks; the \
         next op would then fork the author. If there are none, write with --continue (in a \
         program: `continue_copy`). Otherwise get them from a replica: `lattice bundle tips STORE` \
         here, `bundle create STORE FILE --since TIPS` there, `lattice bundle apply FILE` here"
    )]
    CopyUnconfirmed {
        /// The store.
        store_id: StoreId,
        /// The author.
        author: PubKey,
    },
    /// The handle has no identity to sign with.
    #[error("the store was opened without an identity; open it with one to write")]
    NoIdentity,
    /// The storage failed. If the commit failed, only reopening the store shows whether the op was
    /// written.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// Why none of many commands became an op. `R` is the state machine's refusal, `E` the error of the
/// source of the commands.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendAllError<R, E> {
    /// The source of the commands failed.
    #[error(transparent)]
    Source(E),
    /// A command could not be carried out.
    #[error("command {index} failed, and all commands before it were undone")]
    Command {
        /// The position of the command, from 0.
        index: u64,
        /// Why it failed.
        #[source]
        source: AppendError<R>,
    },
}

impl<R> From<MachineError<R>> for AppendError<R> {
    fn from(error: MachineError<R>) -> Self {
        match error {
            MachineError::Refused(refusal) => Self::Refused(refusal),
            MachineError::Backend(BackendError::Fault(fault)) => Self::Fault(fault),
            MachineError::Backend(error) => Self::Backend(error),
        }
    }
}
