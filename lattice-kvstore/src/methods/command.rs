//! Commands by name.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use lattice_backend::machine::{Args, CallError, Method, MethodKind, Value, ValueType};

use crate::{Command, Expectation};

/// Makes a command of a call.
pub(crate) fn command(args: Args) -> Result<Command, CallError> {
    match args.method().name {
        "put" => put(args),
        "delete" => delete(args),
        "batch" => batch(args),
        _ => Err(super::unknown(args.method(), MethodKind::Command)),
    }
}

fn put(mut args: Args) -> Result<Command, CallError> {
    let (key, mut command) = conditions(&mut args)?;
    command.put(key, bytes(&mut args, "value")?);
    Ok(command)
}

fn delete(mut args: Args) -> Result<Command, CallError> {
    let (key, mut command) = conditions(&mut args)?;
    command.delete(key);
    Ok(command)
}

/// The key of a call, and a command that so far has the conditions on it.
fn conditions(args: &mut Args) -> Result<(Vec<u8>, Command), CallError> {
    let key = bytes(args, "key")?;
    let mut command = Command::new();
    if let Some(value) = args.take_bytes("expect") {
        command.expect(key.clone(), Expectation::Value(value));
    }
    if args.take_flag("expect_absent") {
        command.expect(key.clone(), Expectation::Absent);
    }
    if args.take_flag("expect_present") {
        command.expect(key.clone(), Expectation::Present);
    }
    Ok((key, command))
}

fn batch(mut args: Args) -> Result<Command, CallError> {
    let method = args.method();
    let mut command = Command::new();
    for (key, value) in pairs(method, "writes", args.take("writes"))? {
        match value {
            Some(value) => command.put(key, value),
            None => command.delete(key),
        };
    }
    for (key, value) in pairs(method, "expect", args.take("expect"))? {
        command.expect(key, value.map_or(Expectation::Absent, Expectation::Value));
    }
    Ok(command)
}

/// A byte string that the call must have given.
pub(super) fn bytes(args: &mut Args, name: &'static str) -> Result<Vec<u8>, CallError> {
    args.take_bytes(name).ok_or(CallError::MissingParam {
        method: args.method().name,
        param: name,
        expected: ValueType::Bytes,
    })
}

type Pair = (Vec<u8>, Option<Vec<u8>>);

/// Reads a list of records of a key and, maybe, a value.
fn pairs(
    method: &'static Method,
    param: &'static str,
    list: Option<Value>,
) -> Result<Vec<Pair>, CallError> {
    let Some(Value::List(records)) = list else {
        return Ok(Vec::new());
    };
    let pair = |(place, record): (usize, Value)| {
        pair(record).map_err(|reason| CallError::Argument {
            method: method.name,
            param,
            reason: format!("record {place}: {reason}"),
        })
    };
    records.into_iter().enumerate().map(pair).collect()
}

fn pair(record: Value) -> Result<Pair, String> {
    let Value::Record(mut fields) = record else {
        return Err(format!("expected a record, found {}", record.value_type()));
    };
    let key = fields.remove("key").and_then(field).transpose()?;
    let value = fields.remove("value").and_then(field).transpose()?;
    match (key, fields.into_keys().next()) {
        (_, Some(unknown)) => Err(format!("expected `key` and `value`, found `{unknown}`")),
        (None, None) => Err("expected a `key`, found none".into()),
        (Some(key), None) => Ok((key, value)),
    }
}

fn field(value: Value) -> Option<Result<Vec<u8>, String>> {
    match value {
        Value::Null => None,
        Value::Bytes(bytes) => Some(Ok(bytes)),
        Value::Text(text) => Some(Ok(text.into_bytes())),
        other => Some(Err(format!("expected bytes, found {}", other.value_type()))),
    }
}
