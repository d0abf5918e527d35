//! Commands by name.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use lattice_backend::machine::{Args, CallError, Value};

use crate::{Command, Expectation, KvMachine};

pub(super) fn put(_: &KvMachine, mut args: Args<'_>) -> Result<Command, CallError> {
    let (key, mut command) = conditions(&mut args)?;
    command.put(key, bytes(&mut args, "value")?);
    Ok(command)
}

pub(super) fn delete(_: &KvMachine, mut args: Args<'_>) -> Result<Command, CallError> {
    let (key, mut command) = conditions(&mut args)?;
    command.delete(key);
    Ok(command)
}

/// The key of a call, and a command that so far has the conditions on it.
fn conditions(args: &mut Args<'_>) -> Result<(Vec<u8>, Command), CallError> {
    let key = bytes(args, "key")?;
    let mut command = Command::new();
    if let Some(value) = args.take_bytes("expect")? {
        command.expect(key.clone(), Expectation::Value(value));
    }
    if args.take_flag("expect_absent")? {
        command.expect(key.clone(), Expectation::Absent);
    }
    if args.take_flag("expect_present")? {
        command.expect(key.clone(), Expectation::Present);
    }
    Ok((key, command))
}

pub(super) fn batch(_: &KvMachine, mut args: Args<'_>) -> Result<Command, CallError> {
    let mut command = Command::new();
    for (key, value) in pairs(&mut args, "writes")? {
        match value {
            Some(value) => command.put(key, value),
            None => command.delete(key),
        };
    }
    for (key, value) in pairs(&mut args, "expect")? {
        command.expect(key, value.map_or(Expectation::Absent, Expectation::Value));
    }
    Ok(command)
}

/// A byte string that the call must have given.
pub(super) fn bytes(args: &mut Args<'_>, name: &str) -> Result<Vec<u8>, CallError> {
    let bytes = args.take_bytes(name)?;
    args.required(name, bytes)
}

type Pair = (Vec<u8>, Option<Vec<u8>>);

/// Reads a list of records of a key and, maybe, a value.
fn pairs(args: &mut Args<'_>, param: &str) -> Result<Vec<Pair>, CallError> {
    let records = args.take_list(param)?.into_iter().flatten();
    let pair = |(place, record): (usize, Value)| {
        pair(record).map_err(|reason| args.refused(param, format!("record {place}: {reason}")))
    };
    records.enumerate().map(pair).collect()
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
