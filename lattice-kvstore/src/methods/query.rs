//! Queries called by name.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::ops::ControlFlow;

use lattice_backend::backend::Direction;
use lattice_backend::machine::{Args, CallError, DataRead, History, MachineError, Value};

use crate::KvMachine;
use crate::methods::command::bytes;
use crate::range::KeyRange;
use crate::read::{self, Sibling};

type Answer = Result<Value, MachineError<CallError>>;

pub(super) fn get(
    _: &KvMachine,
    mut args: Args<'_>,
    data: &dyn DataRead,
    _: &dyn History,
) -> Answer {
    Ok(read::value(data, &bytes(&mut args, "key")?)?.into())
}

pub(super) fn contains(
    _: &KvMachine,
    mut args: Args<'_>,
    data: &dyn DataRead,
    _: &dyn History,
) -> Answer {
    Ok(Value::Bool(read::contains(
        data,
        &bytes(&mut args, "key")?,
    )?))
}

pub(super) fn scan(
    _: &KvMachine,
    mut args: Args<'_>,
    data: &dyn DataRead,
    _: &dyn History,
) -> Answer {
    let range = range(&mut args)?;
    let limit = limit(&mut args)?;
    let reverse = args.take_flag("reverse")?;
    let direction = if reverse {
        Direction::Backward
    } else {
        Direction::Forward
    };
    let keys_only = args.take_flag("keys_only")?;
    let mut records = Vec::new();
    if limit == 0 {
        return Ok(Value::List(records));
    }
    let mut push = |record| {
        records.push(record);
        match records.len() == limit {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    };
    let bytes = |bytes: &[u8]| Value::Bytes(bytes.to_vec());
    if keys_only {
        read::scan_keys(data, &range, direction, |key| {
            push(Value::record([("key", bytes(key))]))
        })?;
    } else {
        read::scan(data, &range, direction, |key, value| {
            push(Value::record([
                ("key", bytes(key)),
                ("value", bytes(value)),
            ]))
        })?;
    }
    Ok(Value::List(records))
}

pub(super) fn count(
    _: &KvMachine,
    mut args: Args<'_>,
    data: &dyn DataRead,
    _: &dyn History,
) -> Answer {
    let mut count: u64 = 0;
    read::scan_keys(data, &range(&mut args)?, Direction::Forward, |_| {
        count += 1;
        ControlFlow::Continue(())
    })?;
    Ok(count.into())
}

pub(super) fn conflicts(
    _: &KvMachine,
    mut args: Args<'_>,
    data: &dyn DataRead,
    history: &dyn History,
) -> Answer {
    let siblings = read::conflicts(data, history, &bytes(&mut args, "key")?)?;
    Ok(Value::List(siblings.into_iter().map(record).collect()))
}

fn record(sibling: Sibling) -> Value {
    Value::record([
        ("value", Value::Bytes(sibling.value)),
        ("author", Value::Text(sibling.op.author.to_string())),
        ("seq", sibling.op.seq.into()),
        ("op", Value::Text(sibling.op.id.to_string())),
        ("hlc", sibling.hlc.to_u64().into()),
    ])
}

pub(super) fn conflicted_keys(
    _: &KvMachine,
    mut args: Args<'_>,
    data: &dyn DataRead,
    _: &dyn History,
) -> Answer {
    let limit = limit(&mut args)?;
    let mut keys = Vec::<Vec<u8>>::new();
    while keys.len() < limit {
        match read::next_conflicted(data, keys.last().map(Vec::as_slice))? {
            Some(key) => keys.push(key),
            None => break,
        }
    }
    Ok(Value::List(keys.into_iter().map(Value::Bytes).collect()))
}

fn range(args: &mut Args<'_>) -> Result<KeyRange, CallError> {
    let mut range = match args.take_bytes("prefix")? {
        Some(prefix) => KeyRange::prefix(&prefix),
        None => KeyRange::ALL,
    };
    if let Some(from) = args.take_bytes("from")? {
        range = range.starting(from);
    }
    if let Some(to) = args.take_bytes("to")? {
        range = range.ending(to);
    }
    Ok(range)
}

/// The caller's limit; a limit beyond `usize` means no limit.
fn limit(args: &mut Args<'_>) -> Result<usize, CallError> {
    let limit = args.take_u64("limit")?;
    Ok(limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    }))
}
