//! The methods of a store type: their descriptions with the code that carries them out.

use alloc::borrow::Cow;
use core::fmt;

use crate::machine::{
    Args, CallError, DataRead, History, MachineError, Method, MethodKind, Param, StateMachine,
    Value, ValueType,
};

/// Turns the arguments of a call into a command.
pub type CommandFn<M> = fn(&M, Args<'_>) -> Result<<M as StateMachine>::Command, CallError>;

/// Answers a call from a consistent view.
pub type QueryFn<M> =
    fn(&M, Args<'_>, &dyn DataRead, &dyn History) -> Result<Value, MachineError<CallError>>;

/// The code of a method.
pub enum MethodCall<M: StateMachine> {
    /// Turns the arguments into a command.
    Command(CommandFn<M>),
    /// Answers from a consistent view.
    Query(QueryFn<M>),
    /// No code here: the typed handle of the store provides the values.
    Stream,
}

/// A method of a store type: description and code.
pub struct MethodEntry<M: StateMachine> {
    /// Its description.
    pub method: Method,
    /// Its code.
    pub call: MethodCall<M>,
}

impl<M: StateMachine> MethodEntry<M> {
    const fn new(
        kind: MethodKind,
        name: &'static str,
        doc: &'static str,
        params: &'static [Param],
        result: ValueType,
        call: MethodCall<M>,
    ) -> Self {
        let method = Method {
            name: Cow::Borrowed(name),
            kind,
            doc: Cow::Borrowed(doc),
            params: Cow::Borrowed(params),
            result,
        };
        Self { method, call }
    }

    /// A method that makes an op; its result is the op's receipt, a record.
    pub const fn command(
        name: &'static str,
        doc: &'static str,
        params: &'static [Param],
        command: CommandFn<M>,
    ) -> Self {
        let call = MethodCall::Command(command);
        let result = ValueType::Record;
        Self::new(MethodKind::Command, name, doc, params, result, call)
    }

    /// A method that reads.
    pub const fn query(
        name: &'static str,
        doc: &'static str,
        params: &'static [Param],
        result: ValueType,
        query: QueryFn<M>,
    ) -> Self {
        let call = MethodCall::Query(query);
        Self::new(MethodKind::Query, name, doc, params, result, call)
    }

    /// A method that returns values of type `result` one by one.
    pub const fn stream(
        name: &'static str,
        doc: &'static str,
        params: &'static [Param],
        result: ValueType,
    ) -> Self {
        let call = MethodCall::Stream;
        Self::new(MethodKind::Stream, name, doc, params, result, call)
    }
}

impl<M: StateMachine> Clone for MethodCall<M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M: StateMachine> Copy for MethodCall<M> {}

impl<M: StateMachine> Clone for MethodEntry<M> {
    fn clone(&self) -> Self {
        Self {
            method: self.method.clone(),
            call: self.call,
        }
    }
}

impl<M: StateMachine> fmt::Debug for MethodEntry<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.method, f)
    }
}
