//! Commands called by name.

use alloc::format;
use alloc::vec::Vec;

use lattice_backend::machine::{Args, CallError};
use lattice_meta::readable;

use crate::command::Write;
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

/// The key of a call, and a command with the call's conditions on that key.
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
    pairs(&mut args, "writes", &mut |(key, value)| {
        command.write(key.into(), value.map(Into::into));
    })?;
    pairs(&mut args, "expect", &mut |(key, value)| {
        let value = value.map(Into::into);
        command.expect(key, value.map_or(Expectation::Absent, Expectation::Value));
    })?;
    Ok(command)
}

/// A required argument of bytes.
pub(super) fn bytes(args: &mut Args<'_>, name: &str) -> Result<Vec<u8>, CallError> {
    let bytes = args.take_bytes(name)?;
    args.required(name, bytes)
}

/// Takes a list of records, each with a key and an optional value.
fn pairs(
    args: &mut Args<'_>,
    param: &str,
    each: &mut dyn FnMut(Write<'_>),
) -> Result<(), CallError> {
    args.take_records(param, &mut |record| {
        let (mut key, mut value) = (None, None);
        for (name, field) in record.fields() {
            match name {
                b"key" => key = field.bytes()?,
                b"value" => value = field.bytes()?,
                other => {
                    let other = readable(other);
                    return Err(format!("expected `key` and `value`, found `{other}`"));
                }
            }
        }
        each((key.ok_or("expected a `key`, found none")?, value));
        Ok(())
    })
}
