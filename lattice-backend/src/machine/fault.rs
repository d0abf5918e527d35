//! Why the code of a store type has no result.

use alloc::borrow::Cow;
use alloc::string::String;

use crate::backend::BackendError;

/// A payload that is not one of its store type. The op stays in history and changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Invalid {
    reason: Cow<'static, str>,
}

impl Invalid {
    /// For a payload that is not valid, with what was expected and found.
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

/// Code of a store type that did not end as it should. That says nothing about the op: other code
/// may apply it. So the op is neither valid nor invalid; it is held until other code settles it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum LogicFault {
    /// Native code panicked.
    #[error("the store type's code panicked: {message}")]
    Panic {
        /// The panic's message.
        message: String,
    },
    /// The code used more of the host than an op may; see [`Limits`](super::Limits).
    #[error("the store type's code exceeded the limit of {allowed} {limit}")]
    Limit {
        /// What is limited.
        limit: Limit,
        /// How much the op may use.
        allowed: u64,
    },
    /// Foreign code trapped, or could not be run.
    #[error("the store type's code trapped: {message}")]
    Trap {
        /// What the host of the code reports.
        message: String,
    },
}

/// What is limited of the work for one op.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Limit {
    /// Calls of the host.
    Calls,
    /// Rows read by ranges.
    RowsRead,
    /// Rows written.
    RowsWritten,
    /// Bytes of keys and values written.
    BytesWritten,
    /// Gas of foreign code: an instruction takes one, or more.
    Gas,
    /// Bytes of memory of foreign code.
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

/// Why a state machine gives no payload or no answer: it refuses, for a reason of its own, or what
/// is underneath failed. `?` makes one of a [`BackendError`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MachineError<R> {
    /// The state machine refuses.
    #[error(transparent)]
    Refused(R),
    /// The backend failed, or the code of the store type did.
    #[error(transparent)]
    Backend(#[from] BackendError),
}
