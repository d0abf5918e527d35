//! What describes the methods of a store type, and why a call cannot be made.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use lattice_meta::StoreType;

use crate::machine::{MachineError, ValueError, ValueType};

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
