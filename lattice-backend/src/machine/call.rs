//! The small data model of dynamic calls, and the description of a store type's methods.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use lattice_meta::StoreType;

/// An argument or a result of a call by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Value {
    /// Nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer; wide enough for every `u64` and `i64`.
    Integer(i128),
    /// A byte string.
    Bytes(Vec<u8>),
    /// A text.
    Text(String),
    /// Values in order.
    List(Vec<Value>),
    /// Named values.
    Record(BTreeMap<String, Value>),
}

impl Value {
    /// The value's type.
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::Null => ValueType::Null,
            Self::Bool(_) => ValueType::Bool,
            Self::Integer(_) => ValueType::Integer,
            Self::Bytes(_) => ValueType::Bytes,
            Self::Text(_) => ValueType::Text,
            Self::List(_) => ValueType::List,
            Self::Record(_) => ValueType::Record,
        }
    }

    /// A record of these fields.
    pub fn record<const N: usize>(fields: [(&str, Value); N]) -> Self {
        Self::Record(
            fields
                .into_iter()
                .map(|(name, value)| (name.into(), value))
                .collect(),
        )
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Integer(number.into())
    }
}

impl From<Option<Vec<u8>>> for Value {
    fn from(bytes: Option<Vec<u8>>) -> Self {
        bytes.map_or(Self::Null, Self::Bytes)
    }
}

/// The type of a [`Value`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ValueType {
    /// [`Value::Null`].
    Null,
    /// [`Value::Bool`].
    Bool,
    /// [`Value::Integer`].
    Integer,
    /// [`Value::Bytes`]; where it is expected, [`Value::Text`] does too, as its UTF-8.
    Bytes,
    /// [`Value::Text`].
    Text,
    /// [`Value::List`].
    List,
    /// [`Value::Record`].
    Record,
}

impl ValueType {
    /// The type's name in descriptions and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "bool",
            Self::Integer => "integer",
            Self::Bytes => "bytes",
            Self::Text => "text",
            Self::List => "list",
            Self::Record => "record",
        }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub value_type: ValueType,
    /// Whether a call must give it. A parameter that is not given is as one that is null.
    pub required: bool,
    /// One line on what it means, with its unit.
    pub doc: &'static str,
}

/// One method of a store type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Method {
    /// Its name.
    pub name: &'static str,
    /// What it does to its store.
    pub kind: MethodKind,
    /// One line on what it does.
    pub doc: &'static str,
    /// Its parameters.
    pub params: &'static [Param],
    /// What it gives.
    pub result: ValueType,
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
        known: Vec<&'static str>,
    },
    /// The method has no such parameter.
    #[error("method `{method}` has no parameter `{param}`")]
    UnknownParam {
        /// The method.
        method: &'static str,
        /// The parameter given.
        param: String,
    },
    /// A required parameter is missing.
    #[error("method `{method}` needs parameter `{param}` ({expected})")]
    MissingParam {
        /// The method.
        method: &'static str,
        /// The parameter.
        param: &'static str,
        /// Its type.
        expected: ValueType,
    },
    /// An argument has the wrong type.
    #[error("method `{method}`, parameter `{param}`: expected {expected}, found {found}")]
    ParamType {
        /// The method.
        method: &'static str,
        /// The parameter.
        param: &'static str,
        /// The type it must have.
        expected: ValueType,
        /// The type it has.
        found: ValueType,
    },
    /// An argument of the right type that the method cannot take.
    #[error("method `{method}`, parameter `{param}`: {reason}")]
    Argument {
        /// The method.
        method: &'static str,
        /// The parameter.
        param: &'static str,
        /// What was expected and found.
        reason: String,
    },
}

/// The arguments of a call, checked against the method's parameters.
#[derive(Debug)]
pub struct Args {
    method: &'static Method,
    given: BTreeMap<String, Value>,
}

impl Args {
    /// Checks names and types. `args` is a record, or null for no arguments.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn new(method: &'static Method, args: Value) -> Result<Self, CallError> {
        let mut given = match args {
            Value::Record(fields) => fields,
            Value::Null => BTreeMap::new(),
            other => {
                return Err(CallError::ParamType {
                    method: method.name,
                    param: "arguments",
                    expected: ValueType::Record,
                    found: other.value_type(),
                });
            }
        };
        given.retain(|_, value| *value != Value::Null);
        for (name, value) in &given {
            let Some(param) = method.params.iter().find(|param| param.name == name) else {
                return Err(CallError::UnknownParam {
                    method: method.name,
                    param: name.clone(),
                });
            };
            let found = value.value_type();
            let text_as_bytes = param.value_type == ValueType::Bytes && found == ValueType::Text;
            if found != param.value_type && !text_as_bytes {
                return Err(CallError::ParamType {
                    method: method.name,
                    param: param.name,
                    expected: param.value_type,
                    found,
                });
            }
        }
        let missing = method
            .params
            .iter()
            .find(|param| param.required && !given.contains_key(param.name));
        match missing {
            Some(param) => Err(CallError::MissingParam {
                method: method.name,
                param: param.name,
                expected: param.value_type,
            }),
            None => Ok(Self { method, given }),
        }
    }

    /// The method that is called.
    pub fn method(&self) -> &'static Method {
        self.method
    }

    /// Takes an argument; nothing if it was not given.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.given.remove(name)
    }

    /// Takes a byte string, or a text as its UTF-8; nothing if it was not given.
    pub fn take_bytes(&mut self, name: &str) -> Option<Vec<u8>> {
        match self.given.remove(name)? {
            Value::Bytes(bytes) => Some(bytes),
            Value::Text(text) => Some(text.into_bytes()),
            _ => None,
        }
    }

    /// Takes a truth value; false if it was not given.
    pub fn take_flag(&mut self, name: &str) -> bool {
        matches!(self.given.remove(name), Some(Value::Bool(true)))
    }

    /// Takes a number of things; nothing if it was not given.
    ///
    /// # Errors
    /// [`CallError::Argument`] for a negative number or one that is too great.
    pub fn take_u64(&mut self, name: &'static str) -> Result<Option<u64>, CallError> {
        match self.given.remove(name) {
            Some(Value::Integer(number)) => {
                number
                    .try_into()
                    .map(Some)
                    .map_err(|_| CallError::Argument {
                        method: self.method.name,
                        param: name,
                        reason: alloc::format!("expected 0 to {}, found {number}", u64::MAX),
                    })
            }
            _ => Ok(None),
        }
    }
}
