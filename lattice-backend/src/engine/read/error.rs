//! Why reading a store or calling its methods failed.

use crate::backend::{BackendError, Cause, PeekError};
use crate::engine::write::AppendError;
use crate::machine::{CallError, MachineError, MethodKind};

/// Why the `meta` table of an open store cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InfoError {
    /// The `meta` table is damaged.
    #[error(transparent)]
    Meta(PeekError),
    /// Reading failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// Why a call by name failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MethodError {
    /// The call itself is wrong.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The method is a stream, which callers follow instead of calling it once.
    #[error("method `{method}` is a stream and cannot be called")]
    Stream {
        /// The method.
        method: String,
    },
    /// The method reads, where a command was expected.
    #[error("method `{method}` is a {}, expected a command", kind.name())]
    NotACommand {
        /// The method.
        method: String,
        /// What it is.
        kind: MethodKind,
    },
    /// The command was refused or could not be recorded.
    #[error(transparent)]
    Append(Cause),
    /// The storage failed, or the code of the store type did.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl From<MachineError<CallError>> for MethodError {
    fn from(error: MachineError<CallError>) -> Self {
        match error {
            MachineError::Refused(error) => Self::Call(error),
            MachineError::Backend(error) => Self::Backend(error),
        }
    }
}

impl<R: std::error::Error + Send + Sync + 'static> From<AppendError<R>> for MethodError {
    fn from(error: AppendError<R>) -> Self {
        match error {
            AppendError::Backend(error) => Self::Backend(error),
            error => Self::Append(Box::new(error)),
        }
    }
}
