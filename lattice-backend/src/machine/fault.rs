//! Why the code of a store type returned no result.

use alloc::borrow::Cow;
use alloc::string::String;

use crate::backend::BackendError;

/// The payload is not valid for its store type. The op stays in history and changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Invalid {
    reason: Cow<'static, str>,
}

impl Invalid {
    /// The error for an invalid payload, with what was expected and found.
    pub fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            reason: reason.into(),
        }
    }

    /// What was expected and found.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

/// The code of a store type failed. That says nothing about the op: other code may be able to apply
/// it. So the op is neither valid nor invalid; it is held until other code applies it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum LogicFault {
    /// Native code panicked.
    #[error("the store type's code panicked: {message}")]
    Panic {
        /// The panic's message.
        message: String,
    },
    /// The code exceeded a limit of an op; see [`Limits`](super::Limits).
    #[error("the store type's code exceeded the limit of {allowed} {limit}")]
    Limit {
        /// The limit.
        limit: Limit,
        /// How much an op may use.
        allowed: u64,
    },
    /// Foreign code trapped or could not be run.
    #[error("the store type's code trapped: {message}")]
    Trap {
        /// What the runtime of the code reports.
        message: String,
    },
}

/// The limited resources of an op.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Limit {
    /// Host calls.
    Calls,
    /// Rows read by ranges.
    RowsRead,
    /// Rows written.
    RowsWritten,
    /// Bytes of keys and values written.
    BytesWritten,
    /// Gas of foreign code: at least one per instruction.
    Gas,
    /// Bytes of foreign code's memory.
    Memory,
}

impl core::fmt::Display for Limit {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Calls => "calls of the host",
            Self::RowsRead => "rows read",
            Self::RowsWritten => "rows written",
            Self::BytesWritten => "bytes written",
            Self::Gas => "gas",
            Self::Memory => "bytes of memory",
        })
    }
}

/// Why a state machine returns no payload or answer: it refuses, for a reason of its own, or a
/// layer below failed. `?` converts a [`BackendError`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MachineError<R> {
    /// The state machine refuses.
    #[error(transparent)]
    Refused(R),
    /// The backend or the code of the store type failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
}
