//! Many commands in one transaction.

use crate::backend::BackendError;
use crate::engine::Inner;
use crate::engine::inner::Undo;
use crate::engine::write::append::append_one;
use crate::engine::write::{AppendAllError, AppendError};
use crate::machine::StateMachine;

/// Turns each command into an op, all in one transaction, and returns their number.
pub(crate) fn append_all<M: StateMachine, E>(
    inner: &Inner<M>,
    commands: impl IntoIterator<Item = Result<M::Command, E>>,
) -> Result<u64, AppendAllError<M::Refusal, E>> {
    let mut done = 0;
    let appended = inner.transact(|recorder| {
        for command in commands {
            let command = command.map_err(|error| Undo::Refused(AppendAllError::Source(error)))?;
            match append_one(recorder, &command) {
                Ok(_) => done += 1,
                Err(AppendError::Backend(error)) => return Err(Undo::Backend(error)),
                Err(source) => {
                    let index = done;
                    let error = AppendAllError::Command { index, source };
                    return Err(Undo::Refused(error));
                }
            }
        }
        Ok(())
    });
    appended.map(|()| done).map_err(|error| match error {
        // A failed transaction is reported for the command that it had reached.
        AppendAllError::Command { source, .. } => AppendAllError::Command {
            index: done,
            source,
        },
        error => error,
    })
}

impl<R, E> From<BackendError> for AppendAllError<R, E> {
    fn from(error: BackendError) -> Self {
        Self::Command {
            index: 0,
            source: error.into(),
        }
    }
}
