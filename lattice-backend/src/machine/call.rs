//! The methods of a store type: their descriptions, their code, and the arguments of a call.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use lattice_meta::StoreType;

use crate::machine::{DataRead, History, MachineError, StateMachine, Value, ValueType};

/// What a method does to its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MethodKind {
    /// Makes an op; its result is the op's receipt.
    Command,
    /// Reads a consistent view.
    Query,
    /// Gives values one after another, and waits for more.
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
    /// Whether a call must give it. A parameter that is not given is as one that is null.
    pub required: bool,
    /// One line on what it means, with its unit.
    pub doc: Cow<'static, str>,
}

impl Param {
    /// A parameter that a call must give.
    pub const fn required(name: &'static str, value_type: ValueType, doc: &'static str) -> Self {
        Self {
            name: Cow::Borrowed(name),
            value_type,
            required: true,
            doc: Cow::Borrowed(doc),
        }
    }

    /// A parameter that a call may leave out.
    pub const fn optional(name: &'static str, value_type: ValueType, doc: &'static str) -> Self {
        Self {
            name: Cow::Borrowed(name),
            value_type,
            required: false,
            doc: Cow::Borrowed(doc),
        }
    }
}

/// The description of one method of a store type. It holds no code, so that it can come from a
/// file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Method {
    /// Its name.
    pub name: Cow<'static, str>,
    /// What it does to its store.
    pub kind: MethodKind,
    /// One line on what it does.
    pub doc: Cow<'static, str>,
    /// Its parameters.
    pub params: Cow<'static, [Param]>,
    /// The type of its result.
    pub result: ValueType,
}

/// Makes a command of the arguments of a call.
pub type CommandFn<M> = fn(&M, Args<'_>) -> Result<<M as StateMachine>::Command, CallError>;

/// Answers a call from a consistent view.
pub type QueryFn<M> =
    fn(&M, Args<'_>, &dyn DataRead, &dyn History) -> Result<Value, MachineError<CallError>>;

/// The code of a method.
pub enum MethodCall<M: StateMachine> {
    /// Makes a command of the arguments.
    Command(CommandFn<M>),
    /// Answers from a consistent view.
    Query(QueryFn<M>),
    /// None here: values come one after another, from the typed handle of the store.
    Stream,
}

/// One method of a store type: its description and its code.
pub struct MethodEntry<M: StateMachine> {
    /// What it is called, takes and gives.
    pub method: Method,
    /// What it does.
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

    /// A method that gives values one after another, of which each has the type `result`.
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

/// The parameters of a method, for a table of methods that is a constant.
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

/// Why a call by name cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The store type has no such method.
    #[error("{store_type} has no method `{method}`; it has {}", known.join(", "))]
    UnknownMethod {
        /// The store type.
        store_type: StoreType,
        /// The method asked for.
        method: String,
        /// The methods there are.
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
    /// An argument of the right type that the method cannot take.
    #[error("method `{method}`, parameter `{param}`: {reason}")]
    Argument {
        /// The method.
        method: String,
        /// The parameter.
        param: String,
        /// What was expected and found.
        reason: String,
    },
}

impl From<CallError> for MachineError<CallError> {
    fn from(error: CallError) -> Self {
        Self::Refused(error)
    }
}

/// The arguments of a call, checked against the method's parameters. Each is taken out once.
#[derive(Debug)]
pub struct Args<'a> {
    method: &'a Method,
    given: BTreeMap<String, Value>,
}

impl<'a> Args<'a> {
    /// Checks names and types. `args` is a record, or null for no arguments.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn new(method: &'a Method, args: Value) -> Result<Self, CallError> {
        let mut given = match args {
            Value::Record(fields) => fields,
            Value::Null => BTreeMap::new(),
            other => {
                return Err(CallError::ParamType {
                    method: method.name.to_string(),
                    param: "arguments".into(),
                    expected: ValueType::Record,
                    found: other.value_type(),
                });
            }
        };
        given.retain(|_, value| *value != Value::Null);
        for (name, value) in &given {
            let Some(param) = method.params.iter().find(|param| param.name == *name) else {
                return Err(CallError::UnknownParam {
                    method: method.name.to_string(),
                    param: name.clone(),
                });
            };
            let found = value.value_type();
            let text_as_bytes = param.value_type == ValueType::Bytes && found == ValueType::Text;
            if found != param.value_type && !text_as_bytes {
                return Err(CallError::ParamType {
                    method: method.name.to_string(),
                    param: name.clone(),
                    expected: param.value_type,
                    found,
                });
            }
        }
        let args = Self { method, given };
        let mut required = method.params.iter().filter(|param| param.required);
        match required.find(|param| !args.given.contains_key(&*param.name)) {
            Some(param) => Err(args.missing(&param.name)),
            None => Ok(args),
        }
    }

    /// The arguments as they were given, without those that are null.
    pub fn into_record(self) -> Value {
        Value::Record(self.given)
    }

    /// The method that is called.
    pub fn method(&self) -> &'a Method {
        self.method
    }

    /// The error for an argument of the right type that the method cannot take.
    pub fn refused(&self, param: &str, reason: impl Into<String>) -> CallError {
        CallError::Argument {
            method: self.method.name.to_string(),
            param: param.into(),
            reason: reason.into(),
        }
    }

    fn missing(&self, name: &str) -> CallError {
        let param = self.method.params.iter().find(|param| param.name == name);
        CallError::MissingParam {
            method: self.method.name.to_string(),
            param: name.into(),
            expected: param.map_or(ValueType::Null, |param| param.value_type),
        }
    }

    fn other_type(&self, name: &str, expected: ValueType, found: &Value) -> CallError {
        CallError::ParamType {
            method: self.method.name.to_string(),
            param: name.into(),
            expected,
            found: found.value_type(),
        }
    }

    /// Takes an argument; nothing if it was not given.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.given.remove(name)
    }

    /// Takes an argument that the call must have given.
    ///
    /// # Errors
    /// [`CallError::MissingParam`].
    pub fn required<T>(&self, name: &str, taken: Option<T>) -> Result<T, CallError> {
        taken.ok_or_else(|| self.missing(name))
    }

    /// Takes a byte string, or a text as its UTF-8; nothing if it was not given.
    ///
    /// # Errors
    /// [`CallError::ParamType`] if the method describes the parameter as another type; so for all
    /// of these.
    pub fn take_bytes(&mut self, name: &str) -> Result<Option<Vec<u8>>, CallError> {
        match self.given.remove(name) {
            None => Ok(None),
            Some(Value::Bytes(bytes)) => Ok(Some(bytes)),
            Some(Value::Text(text)) => Ok(Some(text.into_bytes())),
            Some(other) => Err(self.other_type(name, ValueType::Bytes, &other)),
        }
    }

    /// Takes a text; nothing if it was not given.
    ///
    /// # Errors
    /// As for [`take_bytes`](Self::take_bytes).
    pub fn take_text(&mut self, name: &str) -> Result<Option<String>, CallError> {
        match self.given.remove(name) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(other) => Err(self.other_type(name, ValueType::Text, &other)),
        }
    }

    /// Takes a truth value; false if it was not given.
    ///
    /// # Errors
    /// As for [`take_bytes`](Self::take_bytes).
    pub fn take_flag(&mut self, name: &str) -> Result<bool, CallError> {
        match self.given.remove(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(other) => Err(self.other_type(name, ValueType::Bool, &other)),
        }
    }

    /// Takes an integer of 0 to 2^64 - 1; nothing if it was not given.
    ///
    /// # Errors
    /// [`CallError::Argument`] for a number out of that range, and as for
    /// [`take_bytes`](Self::take_bytes).
    pub fn take_u64(&mut self, name: &str) -> Result<Option<u64>, CallError> {
        self.take_integer(name, u64::MIN, u64::MAX)
    }

    /// Takes an integer of -2^63 to 2^63 - 1; nothing if it was not given.
    ///
    /// # Errors
    /// As for [`take_u64`](Self::take_u64).
    pub fn take_i64(&mut self, name: &str) -> Result<Option<i64>, CallError> {
        self.take_integer(name, i64::MIN, i64::MAX)
    }

    fn take_integer<T>(&mut self, name: &str, min: T, max: T) -> Result<Option<T>, CallError>
    where
        T: TryFrom<i128> + fmt::Display,
    {
        match self.given.remove(name) {
            None => Ok(None),
            Some(Value::Integer(number)) => number.try_into().map(Some).map_err(|_| {
                let reason = format!("expected {min} to {max}, found {number}");
                self.refused(name, reason)
            }),
            Some(other) => Err(self.other_type(name, ValueType::Integer, &other)),
        }
    }

    /// Takes the values of a list; nothing if it was not given.
    ///
    /// # Errors
    /// As for [`take_bytes`](Self::take_bytes).
    pub fn take_list(&mut self, name: &str) -> Result<Option<Vec<Value>>, CallError> {
        match self.given.remove(name) {
            None => Ok(None),
            Some(Value::List(values)) => Ok(Some(values)),
            Some(other) => Err(self.other_type(name, ValueType::List, &other)),
        }
    }
}
