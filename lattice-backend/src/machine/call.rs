//! The methods of a store type: descriptions and code.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use lattice_meta::StoreType;

use crate::machine::{
    Args, DataRead, History, MachineError, StateMachine, Value, ValueError, ValueType,
};

/// What a method does with its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MethodKind {
    /// Makes an op; its result is the op's receipt.
    Command,
    /// Reads a consistent view.
    Query,
    /// Returns values one by one, and waits for more.
    Stream,
}

impl MethodKind {
    /// The kind's name in descriptions.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Query => "query",
            Self::Stream => "stream",
        }
    }
}

/// One parameter of a method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    /// Its name.
    pub name: Cow<'static, str>,
    /// Its type.
    pub value_type: ValueType,
    /// Whether a call must give it. An omitted argument is the same as null.
    pub required: bool,
    /// One line on what it means, with its unit.
    pub doc: Cow<'static, str>,
}

impl Param {
    /// A required parameter.
    pub const fn required(name: &'static str, value_type: ValueType, doc: &'static str) -> Self {
        Self {
            name: Cow::Borrowed(name),
            value_type,
            required: true,
            doc: Cow::Borrowed(doc),
        }
    }

    /// An optional parameter.
    pub const fn optional(name: &'static str, value_type: ValueType, doc: &'static str) -> Self {
        Self {
            name: Cow::Borrowed(name),
            value_type,
            required: false,
            doc: Cow::Borrowed(doc),
        }
    }
}

/// The description of a method of a store type. It holds no code, so it can be read from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Method {
    /// Its name.
    pub name: Cow<'static, str>,
    /// What it does with its store.
    pub kind: MethodKind,
    /// One line on what it does.
    pub doc: Cow<'static, str>,
    /// Its parameters.
    pub params: Cow<'static, [Param]>,
    /// The type of its result.
    pub result: ValueType,
}

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

/// A method's parameters, for constant method tables.
///
/// ```
/// use lattice_backend::machine::{Param, ValueType};
/// use lattice_backend::params;
///
/// const KEY: Param = Param::required("key", ValueType::Text, "the key");
/// const PARAMS: &[Param] = params![KEY, Param::optional("n", ValueType::Integer, "how many")];
/// assert_eq!(PARAMS.len(), 2);
/// ```
#[macro_export]
macro_rules! params {
    ($($param:expr),* $(,)?) => {
        const { &[$($param),*] }
    };
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

/// Why a call by name fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The store type has no such method.
    #[error("{store_type} has no method `{method}`; it has {}", known.join(", "))]
    UnknownMethod {
        /// The store type.
        store_type: StoreType,
        /// The requested method.
        method: String,
        /// The existing methods.
        known: Vec<String>,
    },
    /// The method has no such parameter.
    #[error("method `{method}` has no parameter `{param}`")]
    UnknownParam {
        /// The method.
        method: String,
        /// The parameter given.
        param: String,
    },
    /// A required parameter is missing.
    #[error("method `{method}` needs parameter `{param}` ({expected})")]
    MissingParam {
        /// The method.
        method: String,
        /// The parameter.
        param: String,
        /// Its type.
        expected: ValueType,
    },
    /// An argument has the wrong type.
    #[error("method `{method}`, parameter `{param}`: expected {expected}, found {found}")]
    ParamType {
        /// The method.
        method: String,
        /// The parameter.
        param: String,
        /// The type it must have.
        expected: ValueType,
        /// The type it has.
        found: ValueType,
    },
    /// An argument has the right type, but the method does not accept it.
    #[error("method `{method}`, parameter `{param}`: {reason}")]
    Argument {
        /// The method.
        method: String,
        /// The parameter.
        param: String,
        /// What was expected and found.
        reason: String,
    },
    /// The bytes of the arguments do not decode to a value.
    #[error("the arguments of a call: {0}")]
    Encoding(#[from] ValueError),
}

impl From<CallError> for MachineError<CallError> {
    fn from(error: CallError) -> Self {
        Self::Refused(error)
    }
}
