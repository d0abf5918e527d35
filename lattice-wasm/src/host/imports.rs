//! What the functions do that a module may import.

use std::ops::{Bound, ControlFlow};

use lattice_backend::backend::{BackendError, Direction};
use lattice_backend::machine::{DataRead, History};
use lattice_backend::op::{ApplyIndex, OpRef, OpView, Stamp};
use wasmi::errors::HostError;
use wasmi::{Caller, Error, TrapCode};

use crate::abi::{
    BYTES_HASHED_PER_GAS, GAS_PER_ELEMENT, MAX_ELEMENTS, MAX_LOG_LINES, MAX_MESSAGE_BYTES,
    SCAN_ENDED,
};
use crate::host::{Context, Data, Reach, trap};
use crate::text::text;

type Result<T> = std::result::Result<T, BackendError>;

/// Ends a call; the context has the reason.
#[derive(Debug)]
struct Ended;

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ended by the host")
    }
}

impl HostError for Ended {}

/// Runs an import: `work` gets the module's memory, the context, and what the call can reach.
pub(super) fn import<T>(
    mut caller: Caller<'_, Context>,
    work: impl FnOnce(&mut [u8], &mut Context, &mut Reach<'_>) -> Result<T>,
) -> std::result::Result<T, Error> {
    let memory = caller.data().memory;
    let before = caller.data().gas.allowed();
    let outcome = match memory {
        Some(memory) => {
            let (bytes, context) = memory.data_and_store_mut(&mut caller);
            Reach::with(|reach| work(bytes, context, reach))
        }
        None => Err(trap("an import is called before the module has a memory")),
    };
    match outcome {
        Ok(value) => {
            let gas = &mut caller.data_mut().gas;
            let (more, due) = (gas.allowed() - before, gas.settle_call());
            let left = caller.get_fuel()?.saturating_add(more);
            let left = left.checked_sub(due).ok_or(TrapCode::OutOfFuel)?;
            caller.set_fuel(left)?;
            Ok(value)
        }
        Err(error) => {
            caller.data_mut().error = Some(error);
            Err(Error::host(Ended))
        }
    }
}

fn place(address: u32, len: u32) -> Option<(usize, usize)> {
    let start = usize::try_from(address).ok()?;
    let end = start.checked_add(usize::try_from(len).ok()?)?;
    Some((start, end))
}

fn beyond(address: u32, len: u32) -> BackendError {
    trap(format!(
        "{len} bytes at address {address} are beyond the memory"
    ))
}

fn read(memory: &[u8], address: u32, len: u32) -> Result<&[u8]> {
    let bytes = place(address, len).and_then(|(start, end)| memory.get(start..end));
    bytes.ok_or_else(|| beyond(address, len))
}

fn write(memory: &mut [u8], address: u32, len: u32) -> Result<&mut [u8]> {
    let bytes = place(address, len).and_then(|(start, end)| memory.get_mut(start..end));
    bytes.ok_or_else(|| beyond(address, len))
}

/// A length as the module gets it. Nothing in a store reaches 2 GiB.
fn length(len: usize) -> Result<i64> {
    let len = i64::try_from(len)
        .ok()
        .filter(|len| *len <= i64::from(i32::MAX));
    len.ok_or_else(|| trap("more than 2 GiB"))
}

fn unavailable(name: &str) -> BackendError {
    trap(format!("`{name}` is not available in this call"))
}

fn rows<'b>(data: &'b Data<'_>, name: &str) -> Result<&'b dyn DataRead> {
    match data {
        Data::Read(rows) => Ok(*rows),
        Data::Write(rows) => Ok(&**rows),
        Data::None => Err(unavailable(name)),
    }
}

fn history<'a>(reach: &Reach<'a>, name: &str) -> Result<&'a dyn History> {
    reach.history.ok_or_else(|| unavailable(name))
}

/// Copies bytes to the module's buffer, or parks them until the module takes them if they do not
/// fit.
fn deliver(bytes: &[u8], buffer: &mut [u8], parked: &mut Option<Vec<u8>>) {
    match buffer.get_mut(..bytes.len()) {
        Some(buffer) => buffer.copy_from_slice(bytes),
        None => *parked = Some(bytes.to_vec()),
    }
}

pub(super) fn get(
    memory: &mut [u8],
    context: &mut Context,
    reach: &mut Reach<'_>,
    (key, key_len): (u32, u32),
    (buffer, capacity): (u32, u32),
) -> Result<i64> {
    context.scratch.clear();
    context
        .scratch
        .extend_from_slice(read(memory, key, key_len)?);
    let buffer = write(memory, buffer, capacity)?;
    context.parked = None;
    // Not by `show`: the host caches the rows that an op has read, and compares its puts with them.
    let found = rows(&reach.data, "get")?.get(&context.scratch)?;
    context.gas.handle(context.scratch.len());
    match found {
        None => Ok(-1),
        Some(value) => {
            context.gas.earn(1, value.len());
            context.gas.handle(value.len());
            deliver(&value, buffer, &mut context.parked);
            length(value.len())
        }
    }
}

pub(super) fn take(memory: &mut [u8], context: &mut Context, buffer: u32) -> Result<()> {
    let parked = context.parked.take();
    let parked = parked.ok_or_else(|| trap("`take` has nothing to give"))?;
    let len = u32::try_from(parked.len()).map_err(|_| beyond(buffer, u32::MAX))?;
    write(memory, buffer, len)?.copy_from_slice(&parked);
    context.gas.handle(parked.len());
    Ok(())
}

pub(super) fn put(
    memory: &[u8],
    context: &mut Context,
    reach: &mut Reach<'_>,
    (key, key_len): (u32, u32),
    (value, value_len): (u32, u32),
) -> Result<()> {
    let (key, value) = (read(memory, key, key_len)?, read(memory, value, value_len)?);
    context.gas.handle(key.len() + value.len());
    match &mut reach.data {
        Data::Write(rows) => rows.put(key, value),
        _ => Err(unavailable("put")),
    }
}

pub(super) fn remove(
    memory: &[u8],
    context: &mut Context,
    reach: &mut Reach<'_>,
    (key, key_len): (u32, u32),
) -> Result<()> {
    let key = read(memory, key, key_len)?;
    context.gas.handle(key.len());
    match &mut reach.data {
        Data::Write(rows) => rows.remove(key),
        _ => Err(unavailable("remove")),
    }
}

/// The bounds of a range, as a module passes them.
pub(super) struct Range {
    pub(super) flags: u32,
    pub(super) start: (u32, u32),
    pub(super) end: (u32, u32),
}

fn bound(flag: u32, key: Vec<u8>) -> Result<Bound<Vec<u8>>> {
    match flag {
        0 => Ok(Bound::Unbounded),
        1 => Ok(Bound::Included(key)),
        2 => Ok(Bound::Excluded(key)),
        _ => Err(trap("a bound of a range is of kind 0, 1 or 2")),
    }
}

pub(super) fn scan(
    memory: &mut [u8],
    context: &mut Context,
    reach: &mut Reach<'_>,
    range: &Range,
    (buffer, capacity): (u32, u32),
) -> Result<i64> {
    if range.flags >> 5 != 0 {
        return Err(trap("the flags of a range have 5 bits"));
    }
    let start = read(memory, range.start.0, range.start.1)?.to_vec();
    let end = read(memory, range.end.0, range.end.1)?.to_vec();
    context.gas.handle(start.len() + end.len());
    let start = bound(range.flags & 3, start)?;
    let end = bound(range.flags >> 2 & 3, end)?;
    let direction = match range.flags >> 4 {
        0 => Direction::Forward,
        _ => Direction::Backward,
    };
    let buffer = write(memory, buffer, capacity)?;
    let span = (
        start.as_ref().map(Vec::as_slice),
        end.as_ref().map(Vec::as_slice),
    );
    let (mut filled, mut nth, mut needed) = (0_usize, 0_u64, None);
    let gas = &mut context.gas;
    let mut is_full = false;
    rows(&reach.data, "scan")?
        .range(span, direction)?
        .visit(&mut |row| {
            let (key, value) = (row.key, row.value);
            let len = 8 + key.len() + value.len();
            let Some(place) = buffer.get_mut(filled..filled + len) else {
                is_full = true;
                needed = (filled == 0).then_some(len);
                return ControlFlow::Break(());
            };
            let (lengths, place) = place.split_at_mut(8);
            let (keys, values) = place.split_at_mut(key.len());
            for (place, part) in lengths.chunks_exact_mut(4).zip([key, value]) {
                let len = u32::try_from(part.len()).unwrap_or(u32::MAX);
                place.copy_from_slice(&len.to_le_bytes());
            }
            keys.copy_from_slice(key);
            values.copy_from_slice(value);
            filled += len;
            nth += 1;
            gas.earn(nth, key.len() + value.len());
            ControlFlow::Continue(())
        })?;
    context.gas.handle(filled + needed.unwrap_or(0));
    match needed {
        Some(len) => Ok(-length(len)?),
        None if is_full => length(filled),
        None => Ok(length(filled)? | SCAN_ENDED),
    }
}

pub(super) fn count(reach: &Reach<'_>) -> Result<i64> {
    Ok(history(reach, "count")?.count()?.cast_signed())
}

pub(super) fn number(
    memory: &mut [u8],
    context: &mut Context,
    reach: &Reach<'_>,
    (op, out): (u32, u32),
) -> Result<u32> {
    let op = OpRef::from_key(read(memory, op, 72)?).expect("it has 72 bytes");
    let found = history(reach, "number")?.index_of(&op)?;
    let out = write(memory, out, 8)?;
    context.gas.earn(1, 72);
    match found {
        None => Ok(0),
        Some(index) => {
            out.copy_from_slice(&index.get().to_le_bytes());
            Ok(1)
        }
    }
}

fn append_stamp(stamp: &Stamp, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&stamp.hlc.to_u64().to_le_bytes());
    bytes.extend_from_slice(&stamp.op.to_key());
}

/// Reads history at an apply index that the module passed. A module can make up any index, so one
/// that no op has is a fault of the module. If a row of the store itself contains such an index,
/// that is a storage error.
fn of_index<T>(
    history: &dyn History,
    index: u64,
    read: impl FnOnce(ApplyIndex) -> Result<T>,
) -> Result<T> {
    let read = read(ApplyIndex::new(index));
    match read {
        Err(BackendError::Row { .. }) if index >= history.count()? => {
            Err(trap(format!("no op has the apply index {index}")))
        }
        read => read,
    }
}

pub(super) fn stamp(
    memory: &mut [u8],
    context: &mut Context,
    reach: &Reach<'_>,
    (index, out): (u64, u32),
) -> Result<()> {
    let history = history(reach, "stamp")?;
    let stamp = of_index(history, index, |index| history.stamp(index))?;
    context.scratch.clear();
    append_stamp(&stamp, &mut context.scratch);
    let len = u32::try_from(context.scratch.len()).expect("a stamp is short");
    write(memory, out, len)?.copy_from_slice(&context.scratch);
    context.gas.earn(1, context.scratch.len());
    Ok(())
}

pub(super) fn op(
    memory: &mut [u8],
    context: &mut Context,
    reach: &mut Reach<'_>,
    index: u64,
    (buffer, capacity): (u32, u32),
) -> Result<i64> {
    let buffer = write(memory, buffer, capacity)?;
    let (mut len, bytes) = (0, &mut context.scratch);
    let parked = &mut context.parked;
    *parked = None;
    let history = history(reach, "op")?;
    let mut see = |op: &OpView<'_>| {
        bytes.clear();
        let stamp = Stamp {
            hlc: op.hlc,
            op: op.reference,
        };
        append_stamp(&stamp, bytes);
        bytes.extend_from_slice(op.payload);
        len = bytes.len();
        deliver(bytes, buffer, parked);
    };
    of_index(history, index, |index| history.show(index, &mut see))?;
    context.gas.earn(1, len);
    context.gas.handle(len);
    length(len)
}

pub(super) fn element(
    memory: &[u8],
    context: &mut Context,
    reach: &mut Reach<'_>,
    row: u32,
    (key, key_len): (u32, u32),
    (value, value_len): (u32, u32),
) -> Result<()> {
    let (key, value) = (read(memory, key, key_len)?, read(memory, value, value_len)?);
    let Some(each) = &mut reach.each else {
        return Err(unavailable("element"));
    };
    let elements = &mut context.elements;
    if row >= elements.rows || row < elements.row {
        let rows = elements.rows;
        return Err(trap(format!(
            "an element of row {row}, out of order or of {rows} rows"
        )));
    }
    if row > elements.row {
        (elements.row, elements.count) = (row, 0);
    }
    elements.count += 1;
    if elements.count > MAX_ELEMENTS {
        return Err(trap(format!("a row has more than {MAX_ELEMENTS} elements")));
    }
    context.gas.handle(key.len() + value.len());
    context.gas.spend(GAS_PER_ELEMENT);
    each(row, key, value);
    Ok(())
}

pub(super) fn hash(
    memory: &mut [u8],
    context: &mut Context,
    at: u32,
    len: u32,
    out: u32,
) -> Result<()> {
    let bytes = read(memory, at, len)?;
    context.gas.handle(bytes.len() + blake3::OUT_LEN);
    context.gas.spend(u64::from(len) / BYTES_HASHED_PER_GAS);
    let hash = blake3::hash(bytes);
    let len = u32::try_from(blake3::OUT_LEN).expect("a hash is short");
    write(memory, out, len)?.copy_from_slice(hash.as_bytes());
    Ok(())
}

pub(super) fn fail(memory: &[u8], message: u32, len: u32) -> Result<()> {
    let message = read(memory, message, len)?;
    Err(trap(text(message, MAX_MESSAGE_BYTES)))
}

pub(super) fn log(memory: &[u8], context: &mut Context, message: u32, len: u32) -> Result<()> {
    context.log_lines += 1;
    if context.log_lines > MAX_LOG_LINES {
        return Err(trap(format!("more than {MAX_LOG_LINES} lines in the log")));
    }
    // The text is checked and discarded: log lines are part of no result.
    read(memory, message, len).map(drop)
}
