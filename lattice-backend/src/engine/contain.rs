//! Runs the code of a store type, whose panics say nothing about the store.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::backend::BackendError;
use crate::machine::{Invalid, LogicFault, StateMachine};
use crate::op::{Op, OpKind};

/// Runs code of a store type, and turns a panic into a [`LogicFault`].
pub(crate) fn contain<T, E: From<BackendError>>(
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let message = message(&*panic);
        Err(BackendError::Fault(LogicFault::Panic { message }).into())
    })
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}

/// The result of decoding an op's payload with the code of a store type.
pub(crate) enum Decoded<P> {
    /// The payload is valid.
    Valid(P),
    /// The payload is invalid, or the op is a merge, which has no payload.
    Nothing,
    /// The code failed.
    Failed(LogicFault),
}

/// Decodes the payload of an op.
pub(crate) fn decode<'a, M: StateMachine>(machine: &M, op: &'a Op) -> Decoded<M::Payload<'a>> {
    read(op, |payload| machine.decode(payload))
}

/// Decodes the payload of an op that this thread has just made.
pub(crate) fn decode_own<'a, M: StateMachine>(machine: &M, op: &'a Op) -> Decoded<M::Payload<'a>> {
    read(op, |payload| machine.decode_own(payload))
}

fn read<'a, P>(op: &'a Op, decode: impl FnOnce(&'a [u8]) -> Result<P, Invalid>) -> Decoded<P> {
    if op.kind() != OpKind::Application {
        return Decoded::Nothing;
    }
    match contain(|| Ok::<_, BackendError>(decode(op.payload()))) {
        Ok(Ok(payload)) => Decoded::Valid(payload),
        Ok(Err(_)) => Decoded::Nothing,
        Err(BackendError::Fault(fault)) => Decoded::Failed(fault),
        // `contain` returns no other error.
        Err(error) => Decoded::Failed(LogicFault::Panic {
            message: error.to_string(),
        }),
    }
}
