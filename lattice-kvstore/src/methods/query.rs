//! Queries called by name.

use alloc::format;
use alloc::vec::Vec;
use core::ops::ControlFlow;

use lattice_backend::backend::Direction;
use lattice_backend::machine::{Args, CallError, DataRead, Fields, History, MachineError, Value};

use crate::KvMachine;
use crate::methods::command::bytes;
use crate::range::KeyRange;
use crate::read;

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
    let bytes = |bytes: &[u8]| Value::Bytes(bytes.to_vec());
    let mut push = |key: &[u8], value: Option<&[u8]>| {
        let mut record: Fields = [("key", bytes(key))].into();
        if let Some(value) = value {
            record.insert("value", bytes(value));
        }
        records.push(Value::Record(record));
        match records.len() == limit {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    };
    if keys_only {
        read::scan_keys(data, &range, direction, &mut |key| push(key, None))?;
    } else {
        let mut both = |key: &[u8], value: &[u8]| push(key, Some(value));
        read::scan(data, &range, direction, &mut both)?;
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
    read::scan_keys(data, &range(&mut args)?, Direction::Forward, &mut |_| {
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
    let key = bytes(&mut args, "key")?;
    let mut all = Vec::new();
    read::show_conflicts(data, history, &key, &mut |stamp, value| {
        all.push(Value::record([
            ("value", Value::Bytes(value.to_vec())),
            ("author", Value::Text(format!("{}", stamp.op.author))),
            ("seq", stamp.op.seq.into()),
            ("op", Value::Text(format!("{}", stamp.op.id))),
            ("hlc", stamp.hlc.to_u64().into()),
        ]));
    })?;
    Ok(Value::List(all))
}

pub(super) fn conflicted_keys(
    _: &KvMachine,
    mut args: Args<'_>,
    data: &dyn DataRead,
    _: &dyn History,
) -> Answer {
    let limit = limit(&mut args)?;
    let (mut keys, mut last) = (Vec::new(), None::<Vec<u8>>);
    while keys.len() < limit
        && let Some(key) = read::next_conflicted(data, last.as_deref())?
    {
        keys.push(Value::Bytes(key.clone()));
        last = Some(key);
    }
    Ok(Value::List(keys))
}

fn range(args: &mut Args<'_>) -> Result<KeyRange, CallError> {
    let mut range = match args.take_bytes("prefix")? {
        Some(prefix) => KeyRange::prefix(&prefix),
        None => KeyRange::ALL,
    };
    if let Some(from) = args.take_bytes("from")? {
        range.start_at(from);
    }
    if let Some(to) = args.take_bytes("to")? {
        range.end_before(to);
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
