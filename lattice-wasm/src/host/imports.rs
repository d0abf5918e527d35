//! The functions that a module may import.

use std::ops::{Bound, ControlFlow};

use lattice_backend::backend::{BackendError, Direction};
use lattice_backend::machine::{DataRead, History};
use lattice_backend::op::{ApplyIndex, OpRef, OpView, Stamp};
use wasmi::errors::HostError;
use wasmi::{Caller, Error, Func, Store, TrapCode};

use crate::abi::{GAS_PER_ELEMENT, MAX_ELEMENTS, MAX_LOG_LINES, MAX_MESSAGE_BYTES, SCAN_ENDED};
use crate::host::{Context, Data, trap};
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

/// Runs an import: `work` gets the module's memory and the context.
fn import<'a, T>(
    mut caller: Caller<'_, Context<'a>>,
    work: impl FnOnce(&mut [u8], &mut Context<'a>) -> Result<T>,
) -> std::result::Result<T, Error> {
    let memory = caller.data().memory;
    let before = caller.data().gas.allowed();
    let outcome = match memory {
        Some(memory) => {
            let (bytes, context) = memory.data_and_store_mut(&mut caller);
            work(bytes, context)
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

fn history<'a>(context: &Context<'a>, name: &str) -> Result<&'a dyn History> {
    context.history.ok_or_else(|| unavailable(name))
}

/// Copies bytes to the module's buffer, or parks them until the module takes them if they do not
/// fit.
fn deliver(bytes: &[u8], buffer: &mut [u8], parked: &mut Option<Vec<u8>>) {
    match buffer.get_mut(..bytes.len()) {
        Some(buffer) => buffer.copy_from_slice(bytes),
        None => *parked = Some(bytes.to_vec()),
    }
}

fn get(
    memory: &mut [u8],
    context: &mut Context<'_>,
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
    let found = rows(&context.data, "get")?.get(&context.scratch)?;
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

fn take(memory: &mut [u8], context: &mut Context<'_>, buffer: u32) -> Result<()> {
    let parked = context.parked.take();
    let parked = parked.ok_or_else(|| trap("`take` has nothing to give"))?;
    let len = u32::try_from(parked.len()).map_err(|_| beyond(buffer, u32::MAX))?;
    write(memory, buffer, len)?.copy_from_slice(&parked);
    context.gas.handle(parked.len());
    Ok(())
}

fn put(
    memory: &[u8],
    context: &mut Context<'_>,
    (key, key_len): (u32, u32),
    (value, value_len): (u32, u32),
) -> Result<()> {
    let (key, value) = (read(memory, key, key_len)?, read(memory, value, value_len)?);
    context.gas.handle(key.len() + value.len());
    match &mut context.data {
        Data::Write(rows) => rows.put(key, value),
        _ => Err(unavailable("put")),
    }
}

fn remove(memory: &[u8], context: &mut Context<'_>, key: u32, key_len: u32) -> Result<()> {
    let key = read(memory, key, key_len)?;
    context.gas.handle(key.len());
    match &mut context.data {
        Data::Write(rows) => rows.remove(key),
        _ => Err(unavailable("remove")),
    }
}

/// The bounds of a range, as a module passes them.
struct Range {
    flags: u32,
    start: (u32, u32),
    end: (u32, u32),
}

fn bound(flag: u32, key: Vec<u8>) -> Result<Bound<Vec<u8>>> {
    match flag {
        0 => Ok(Bound::Unbounded),
        1 => Ok(Bound::Included(key)),
        2 => Ok(Bound::Excluded(key)),
        _ => Err(trap("a bound of a range is of kind 0, 1 or 2")),
    }
}

fn scan(
    memory: &mut [u8],
    context: &mut Context<'_>,
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
    rows(&context.data, "scan")?
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

fn count(context: &Context<'_>) -> Result<i64> {
    Ok(history(context, "count")?.count()?.cast_signed())
}

fn number(memory: &mut [u8], context: &mut Context<'_>, op: u32, out: u32) -> Result<u32> {
    let op = OpRef::from_key(read(memory, op, 72)?).expect("it has 72 bytes");
    let found = history(context, "number")?.index_of(&op)?;
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

fn stamp(memory: &mut [u8], context: &mut Context<'_>, index: u64, out: u32) -> Result<()> {
    let history = history(context, "stamp")?;
    let stamp = of_index(history, index, |index| history.stamp(index))?;
    context.scratch.clear();
    append_stamp(&stamp, &mut context.scratch);
    let len = u32::try_from(context.scratch.len()).expect("a stamp is short");
    write(memory, out, len)?.copy_from_slice(&context.scratch);
    context.gas.earn(1, context.scratch.len());
    Ok(())
}

fn op(
    memory: &mut [u8],
    context: &mut Context<'_>,
    index: u64,
    (buffer, capacity): (u32, u32),
) -> Result<i64> {
    let buffer = write(memory, buffer, capacity)?;
    let (mut len, bytes) = (0, &mut context.scratch);
    let parked = &mut context.parked;
    *parked = None;
    let history = context.history.ok_or_else(|| unavailable("op"))?;
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

fn element(
    memory: &[u8],
    context: &mut Context<'_>,
    row: u32,
    (key, key_len): (u32, u32),
    (value, value_len): (u32, u32),
) -> Result<()> {
    let (key, value) = (read(memory, key, key_len)?, read(memory, value, value_len)?);
    let Some(elements) = &mut context.elements else {
        return Err(unavailable("element"));
    };
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
    (elements.each)(row, key, value);
    Ok(())
}

fn fail(memory: &[u8], message: u32, len: u32) -> Result<()> {
    let message = read(memory, message, len)?;
    Err(trap(text(message, MAX_MESSAGE_BYTES)))
}

fn log(memory: &[u8], context: &mut Context<'_>, message: u32, len: u32) -> Result<()> {
    context.log_lines += 1;
    if context.log_lines > MAX_LOG_LINES {
        return Err(trap(format!("more than {MAX_LOG_LINES} lines in the log")));
    }
    // The text is checked and discarded: log lines are part of no result.
    read(memory, message, len).map(drop)
}

/// An import by its name, for the instance of this store.
pub(crate) fn function<'a>(store: &mut Store<Context<'a>>, name: &str) -> Option<Func> {
    Some(match name {
        "get" => Func::wrap(
            store,
            |caller: Caller<'_, Context<'a>>,
             key: u32,
             key_len: u32,
             buffer: u32,
             capacity: u32| {
                import(caller, |memory, context| {
                    get(memory, context, (key, key_len), (buffer, capacity))
                })
            },
        ),
        "take" => Func::wrap(store, |caller: Caller<'_, Context<'a>>, buffer: u32| {
            import(caller, |memory, context| take(memory, context, buffer))
        }),
        "put" => Func::wrap(
            store,
            |caller: Caller<'_, Context<'a>>,
             key: u32,
             key_len: u32,
             value: u32,
             value_len: u32| {
                import(caller, |memory, context| {
                    put(memory, context, (key, key_len), (value, value_len))
                })
            },
        ),
        "remove" => Func::wrap(
            store,
            |caller: Caller<'_, Context<'a>>, key: u32, key_len: u32| {
                import(caller, |memory, context| {
                    remove(memory, context, key, key_len)
                })
            },
        ),
        "scan" => Func::wrap(
            store,
            |caller: Caller<'_, Context<'a>>,
             flags: u32,
             start: u32,
             start_len: u32,
             end: u32,
             end_len: u32,
             buffer: u32,
             capacity: u32| {
                let range = Range {
                    flags,
                    start: (start, start_len),
                    end: (end, end_len),
                };
                import(caller, |memory, context| {
                    scan(memory, context, &range, (buffer, capacity))
                })
            },
        ),
        "count" => Func::wrap(store, |caller: Caller<'_, Context<'a>>| {
            import(caller, |_, context| count(context))
        }),
        "number" => Func::wrap(
            store,
            |caller: Caller<'_, Context<'a>>, op: u32, out: u32| {
                import(caller, |memory, context| number(memory, context, op, out))
            },
        ),
        "stamp" => Func::wrap(
            store,
            |caller: Caller<'_, Context<'a>>, index: u64, out: u32| {
                import(caller, |memory, context| stamp(memory, context, index, out))
            },
        ),
        "op" => Func::wrap(
            store,
            |caller: Caller<'_, Context<'a>>, index: u64, buffer: u32, capacity: u32| {
                import(caller, |memory, context| {
                    op(memory, context, index, (buffer, capacity))
                })
            },
        ),
        "element" => Func::wrap(
            store,
            |caller: Caller<'_, Context<'a>>,
             row: u32,
             key: u32,
             key_len: u32,
             value: u32,
             value_len: u32| {
                import(caller, |memory, context| {
                    element(memory, context, row, (key, key_len), (value, value_len))
                })
            },
        ),
        "fail" => Func::wrap(
            store,
            |caller: Caller<'_, Context<'a>>, text: u32, len: u32| {
                import(caller, |memory, _| fail(memory, text, len))
            },
        ),
        "log" => Func::wrap(
            store,
            |caller: Caller<'_, Context<'a>>, _level: u32, text: u32, len: u32| {
                import(caller, |memory, context| log(memory, context, text, len))
            },
        ),
        _ => return None,
    })
}
