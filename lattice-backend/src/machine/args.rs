//! The arguments of a call.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::machine::record::{Field, Record, type_of};
use crate::machine::value_codec::{self, FALSE, INTEGER, LIST, NULL, RECORD, Records, TEXT, TRUE};
use crate::machine::{CallError, Method, Param, Value, ValueError, ValueType};

/// The arguments of a call, checked against the method's parameters. An argument is decoded when it
/// is taken.
#[derive(Debug)]
pub struct Args<'a> {
    /// The method's name and parameters.
    method: &'a str,
    params: &'a [Param],
    given: Record<'a>,
}

impl<'a> Args<'a> {
    /// Checks the names and types of the arguments in `bytes`, the [encoding](Value::to_bytes) of a
    /// record, or of null for no arguments. The values in lists and records are checked when they
    /// are taken.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn new(method: &'a Method, bytes: &'a [u8]) -> Result<Self, CallError> {
        let given = match value_codec::record(bytes, false)? {
            Some(given) => given,
            None => match Value::from_bytes(bytes)? {
                Value::Null => Record::default(),
                other => {
                    return Err(CallError::ParamType {
                        method: method.name.to_string(),
                        param: "arguments".into(),
                        expected: ValueType::Record,
                        found: other.value_type(),
                    });
                }
            },
        };
        let mut args = Self {
            method: &method.name,
            params: &method.params,
            given,
        };
        args.check()?;
        Ok(args)
    }

    /// Reads arguments that the host has encoded, and has compared with the parameters of the
    /// method of this name, as the host of a module does. The `take` methods still return an error
    /// for a wrong type.
    ///
    /// # Errors
    /// [`CallError::Encoding`] if the bytes do not begin as those of a record. Names are not
    /// compared with each other, and bytes after a list or record at the end are not read.
    pub fn from_checked(method: &'a str, bytes: &'a [u8]) -> Result<Self, CallError> {
        let params = &[];
        match value_codec::record(bytes, true)? {
            Some(given) => Ok(Self {
                method,
                params,
                given,
            }),
            None => Err(CallError::Encoding(ValueError {
                at: 0,
                expected: "a record".into(),
            })),
        }
    }

    /// Drops the arguments that are null, and compares the others with the parameters.
    fn check(&mut self) -> Result<(), CallError> {
        self.given.fields.retain(|(_, field)| field.kind != NULL);
        let (params, given) = (self.params, &self.given.fields);
        for (name, field) in given {
            let Some(param) = params.iter().find(|param| param.name.as_bytes() == *name) else {
                return Err(CallError::UnknownParam {
                    method: self.method.to_string(),
                    param: String::from_utf8_lossy(name).into_owned(),
                });
            };
            let found = field.value_type();
            let text_as_bytes = param.value_type == ValueType::Bytes && found == ValueType::Text;
            if found != param.value_type && !text_as_bytes {
                return Err(self.other_type(&param.name, param.value_type, *field));
            }
        }
        let is_given = |param: &str| given.iter().any(|(name, _)| *name == param.as_bytes());
        let mut required = params.iter().filter(|param| param.required);
        match required.find(|param| !is_given(&param.name)) {
            Some(param) => Err(self.missing(&param.name)),
            None => Ok(()),
        }
    }

    /// The arguments that are not null, as an encoded record.
    pub fn to_bytes(&self) -> Vec<u8> {
        let given = &self.given.fields;
        let mut bytes = Vec::from([RECORD]);
        value_codec::append_len(given.len(), &mut bytes);
        for (name, field) in given {
            value_codec::append_bytes(name, &mut bytes);
            bytes.push(field.kind);
            match field.as_bytes() {
                Some(content) => value_codec::append_bytes(content, &mut bytes),
                None => bytes.extend_from_slice(field.content),
            }
        }
        bytes
    }

    /// The decoded arguments, except those that are null.
    ///
    /// # Errors
    /// [`CallError::Encoding`].
    pub fn into_record(self) -> Result<Value, CallError> {
        Ok(Value::from_bytes(&self.to_bytes())?)
    }

    /// The name of the called method.
    pub fn method(&self) -> &'a str {
        self.method
    }

    /// The error for an argument that has the right type but that the method does not accept.
    pub fn refused(&self, param: &str, reason: impl Into<String>) -> CallError {
        CallError::Argument {
            method: self.method.to_string(),
            param: param.into(),
            reason: reason.into(),
        }
    }

    #[cold]
    #[inline(never)]
    fn missing(&self, name: &str) -> CallError {
        let param = self.params.iter().find(|param| param.name == name);
        CallError::MissingParam {
            method: self.method.to_string(),
            param: name.into(),
            expected: param.map_or(ValueType::Null, |param| param.value_type),
        }
    }

    #[cold]
    #[inline(never)]
    fn other_type(&self, name: &str, expected: ValueType, found: Field<'_>) -> CallError {
        CallError::ParamType {
            method: self.method.to_string(),
            param: name.into(),
            expected,
            found: found.value_type(),
        }
    }

    fn field(&self, name: &str) -> Option<Field<'a>> {
        let mut fields = self.given.fields();
        let found = fields.find(|(given, _)| *given == name.as_bytes());
        found.map(|(_, field)| field)
    }

    /// Takes an argument; `None` if it was not given.
    ///
    /// # Errors
    /// [`CallError::Encoding`]; this holds for all `take` methods.
    pub fn take(&mut self, name: &str) -> Result<Option<Value>, CallError> {
        let field = self.field(name);
        Ok(field.map(Field::decode).transpose()?)
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
        match self.field(name) {
            None => Ok(None),
            Some(field) => match field.as_bytes() {
                Some(bytes) => Ok(Some(bytes.to_vec())),
                None => Err(self.other_type(name, ValueType::Bytes, field)),
            },
        }
    }

    /// Takes a text; `None` if it was not given.
    ///
    /// # Errors
    /// As for [`take_bytes`](Self::take_bytes).
    pub fn take_text(&mut self, name: &str) -> Result<Option<String>, CallError> {
        match self.field(name) {
            None => Ok(None),
            Some(field) if field.kind == TEXT => Ok(Some(field.text_of()?.into())),
            Some(field) => Err(self.other_type(name, ValueType::Text, field)),
        }
    }

    /// Takes a Boolean; false if it was not given.
    ///
    /// # Errors
    /// As for [`take_bytes`](Self::take_bytes).
    pub fn take_flag(&mut self, name: &str) -> Result<bool, CallError> {
        match self.field(name) {
            None => Ok(false),
            Some(field) => match field.kind {
                FALSE => Ok(false),
                TRUE => Ok(true),
                _ => Err(self.other_type(name, ValueType::Bool, field)),
            },
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
        match self.field(name) {
            None => Ok(None),
            Some(field) if field.kind == INTEGER => {
                let number = field.number()?;
                number.try_into().map(Some).map_err(|_| {
                    // A module would have the code that formats 128 bits for this message alone.
                    let sign = if number < 0 { "-" } else { "" };
                    let found = match u64::try_from(number.unsigned_abs()) {
                        Ok(found) => format!("{sign}{found}"),
                        Err(_) => "a number of more than 64 bits".into(),
                    };
                    self.refused(name, format!("expected {min} to {max}, found {found}"))
                })
            }
            Some(field) => Err(self.other_type(name, ValueType::Integer, field)),
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
        let Some(list) = self.take_encoded_list(name)? else {
            return Ok(());
        };
        let mut records = Records::new(list)?;
        let (mut record, mut place) = (Record::default(), 0_usize);
        while let Some(kind) = records.next(&mut record)? {
            let shown = match kind {
                RECORD => each(&record),
                other => Err(format!("expected a record, found {}", type_of(other))),
            };
            if let Err(reason) = shown {
                return Err(self.refused(name, format!("record {place}: {reason}")));
            }
            place += 1;
        }
        Ok(())
    }

    fn take_encoded_list(&mut self, name: &str) -> Result<Option<&'a [u8]>, CallError> {
        match self.field(name) {
            None => Ok(None),
            Some(field) if field.kind == LIST => Ok(Some(field.content)),
            Some(field) => Err(self.other_type(name, ValueType::List, field)),
        }
    }

    /// Takes the values of a list; `None` if it was not given.
    ///
    /// # Errors
    /// As for [`take_bytes`](Self::take_bytes).
    pub fn take_list(&mut self, name: &str) -> Result<Option<Vec<Value>>, CallError> {
        match self.take_encoded_list(name)? {
            None => Ok(None),
            Some(list) => Ok(Some(value_codec::list(list)?)),
        }
    }
}
