//! The arguments of a call.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::machine::value_codec::{self, Given, Named};
use crate::machine::{CallError, Fields, Method, Record, Value, ValueError, ValueType};

/// The arguments of a call, checked against the method's parameters. Each argument can be taken
/// once.
#[derive(Debug)]
pub struct Args<'a> {
    method: &'a Method,
    given: Vec<Named<'a>>,
}

impl<'a> Args<'a> {
    /// Checks the names and types of `args`, a record, or null for no arguments.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn new(method: &'a Method, args: Value) -> Result<Self, CallError> {
        let fields = match args {
            Value::Record(fields) => fields,
            Value::Null => Fields::new(),
            other => {
                return Err(CallError::ParamType {
                    method: method.name.to_string(),
                    param: "arguments".into(),
                    expected: ValueType::Record,
                    found: other.value_type(),
                });
            }
        };
        let given = fields
            .into_iter()
            .map(|(name, value)| (name.into(), Given::Value(value)));
        Self::check(method, given.collect())
    }

    /// Decodes the arguments of [`new`](Self::new) from their [bytes](Value::to_bytes). A list is
    /// decoded only when it is taken.
    ///
    /// # Errors
    /// [`CallError::Encoding`], and as for [`new`](Self::new).
    pub fn from_bytes(method: &'a Method, bytes: &'a [u8]) -> Result<Self, CallError> {
        match value_codec::fields(bytes)? {
            Some(fields) => Self::check(method, fields),
            None => Self::new(method, Value::from_bytes(bytes)?),
        }
    }

    /// Decodes arguments whose names and types the host has compared with the method's parameters,
    /// as the host of a module does. The `take` methods still return an error for a wrong type.
    ///
    /// # Errors
    /// [`CallError::Encoding`] if the bytes are not those of a record.
    pub fn from_checked(method: &'a Method, bytes: &'a [u8]) -> Result<Self, CallError> {
        match value_codec::fields(bytes)? {
            Some(given) => Ok(Self { method, given }),
            None => Err(CallError::Encoding(ValueError {
                at: 0,
                expected: "a record".into(),
            })),
        }
    }

    fn check(method: &'a Method, mut given: Vec<Named<'a>>) -> Result<Self, CallError> {
        given.retain(|(_, value)| value.value_type() != ValueType::Null);
        for (name, value) in &given {
            let Some(param) = method.params.iter().find(|param| param.name == *name) else {
                return Err(CallError::UnknownParam {
                    method: method.name.to_string(),
                    param: name.to_string(),
                });
            };
            let found = value.value_type();
            let text_as_bytes = param.value_type == ValueType::Bytes && found == ValueType::Text;
            if found != param.value_type && !text_as_bytes {
                return Err(CallError::ParamType {
                    method: method.name.to_string(),
                    param: name.to_string(),
                    expected: param.value_type,
                    found,
                });
            }
        }
        let is_given = |param: &str| given.iter().any(|(name, _)| name == param);
        let mut required = method.params.iter().filter(|param| param.required);
        let missing = required.find(|param| !is_given(&param.name));
        let args = Self { method, given };
        match missing {
            Some(param) => Err(args.missing(&param.name)),
            None => Ok(args),
        }
    }

    /// The arguments as given, except those that are null.
    ///
    /// # Errors
    /// [`CallError::Encoding`].
    pub fn into_record(self) -> Result<Value, CallError> {
        let mut fields = Fields::new();
        for (name, value) in self.given {
            fields.insert(name, value.into_value()?);
        }
        Ok(Value::Record(fields))
    }

    /// The called method.
    pub fn method(&self) -> &'a Method {
        self.method
    }

    /// The error for an argument that has the right type but that the method does not accept.
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

    fn other_type(&self, name: &str, expected: ValueType, found: &Given<'_>) -> CallError {
        CallError::ParamType {
            method: self.method.name.to_string(),
            param: name.into(),
            expected,
            found: found.value_type(),
        }
    }

    fn take_given(&mut self, name: &str) -> Option<Given<'a>> {
        let place = self.given.iter().position(|(given, _)| given == name)?;
        Some(self.given.swap_remove(place).1)
    }

    /// Takes an argument; `None` if it was not given.
    ///
    /// # Errors
    /// [`CallError::Encoding`]; this holds for all `take` methods.
    pub fn take(&mut self, name: &str) -> Result<Option<Value>, CallError> {
        let given = self.take_given(name);
        Ok(given.map(Given::into_value).transpose()?)
    }

    /// Returns the taken value of an argument that the call must give.
    ///
    /// # Errors
    /// [`CallError::MissingParam`].
    pub fn required<T>(&self, name: &str, taken: Option<T>) -> Result<T, CallError> {
        taken.ok_or_else(|| self.missing(name))
    }

    /// Takes a byte string, or a text as UTF-8 bytes; `None` if it was not given.
    ///
    /// # Errors
    /// [`CallError::ParamType`] if the method declares another type for the parameter; this holds
    /// for all typed `take` methods.
    pub fn take_bytes(&mut self, name: &str) -> Result<Option<Vec<u8>>, CallError> {
        match self.take_given(name) {
            None => Ok(None),
            Some(Given::Value(Value::Bytes(bytes))) => Ok(Some(bytes)),
            Some(Given::Value(Value::Text(text))) => Ok(Some(text.into_bytes())),
            Some(other) => Err(self.other_type(name, ValueType::Bytes, &other)),
        }
    }

    /// Takes a text; `None` if it was not given.
    ///
    /// # Errors
    /// As for [`take_bytes`](Self::take_bytes).
    pub fn take_text(&mut self, name: &str) -> Result<Option<String>, CallError> {
        match self.take_given(name) {
            None => Ok(None),
            Some(Given::Value(Value::Text(text))) => Ok(Some(text)),
            Some(other) => Err(self.other_type(name, ValueType::Text, &other)),
        }
    }

    /// Takes a Boolean; false if it was not given.
    ///
    /// # Errors
    /// As for [`take_bytes`](Self::take_bytes).
    pub fn take_flag(&mut self, name: &str) -> Result<bool, CallError> {
        match self.take_given(name) {
            None => Ok(false),
            Some(Given::Value(Value::Bool(flag))) => Ok(flag),
            Some(other) => Err(self.other_type(name, ValueType::Bool, &other)),
        }
    }

    /// Takes an integer from 0 to 2^64 - 1; `None` if it was not given.
    ///
    /// # Errors
    /// [`CallError::Argument`] for a number out of that range, and as for
    /// [`take_bytes`](Self::take_bytes).
    pub fn take_u64(&mut self, name: &str) -> Result<Option<u64>, CallError> {
        self.take_integer(name, u64::MIN, u64::MAX)
    }

    /// Takes an integer from -2^63 to 2^63 - 1; `None` if it was not given.
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
        match self.take_given(name) {
            None => Ok(None),
            Some(Given::Value(Value::Integer(number))) => {
                number.try_into().map(Some).map_err(|_| {
                    let reason = format!("expected {min} to {max}, found {number}");
                    self.refused(name, reason)
                })
            }
            Some(other) => Err(self.other_type(name, ValueType::Integer, &other)),
        }
    }

    /// Takes a list of records, and passes them to `each` one by one. If `each` returns an error,
    /// it becomes the reason of a [`CallError::Argument`], with the record's position. Only `each`
    /// copies parts of a record.
    ///
    /// # Errors
    /// As for [`take_bytes`](Self::take_bytes).
    pub fn take_records(
        &mut self,
        name: &str,
        each: &mut dyn FnMut(&Record<'_>) -> Result<(), String>,
    ) -> Result<(), CallError> {
        let refused = match self.take_given(name) {
            None => return Ok(()),
            Some(Given::List(list)) => {
                let mut values = list.values();
                Record::show_all(each, |record| values.next_record(record))?
            }
            Some(Given::Value(Value::List(values))) => {
                let mut values = values.iter();
                Record::show_all(each, |record| {
                    Ok::<_, CallError>(values.next().map(|value| record.read(value)))
                })?
            }
            Some(other) => return Err(self.other_type(name, ValueType::List, &other)),
        };
        match refused {
            None => Ok(()),
            Some(reason) => Err(self.refused(name, reason)),
        }
    }

    /// Takes the values of a list; `None` if it was not given.
    ///
    /// # Errors
    /// As for [`take_bytes`](Self::take_bytes).
    pub fn take_list(&mut self, name: &str) -> Result<Option<Vec<Value>>, CallError> {
        match self.take_given(name) {
            None => Ok(None),
            Some(Given::Value(Value::List(values))) => Ok(Some(values)),
            Some(Given::List(list)) => Ok(Some(list.into_values()?)),
            Some(other) => Err(self.other_type(name, ValueType::List, &other)),
        }
    }
}
