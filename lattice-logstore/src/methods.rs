//! The methods of logs that callers can call by name.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use lattice_backend::backend::BackendError;
use lattice_backend::machine::{
    Args, CallError, DataRead, History, MachineError, MethodEntry, Param, Value, ValueType,
};
use lattice_backend::params;

use crate::select::{self, Scan};
use crate::{Append, Entry, LogMachine, Position, Selection};

/// Limit of `read` if a call sets none: one call holds all its entries in memory.
const DEFAULT_READ: u64 = 1000;
/// Entries that `tail` returns if a call sets no count.
const DEFAULT_TAIL: u64 = 10;

/// The methods of the store type.
pub(crate) const METHODS: &[MethodEntry<LogMachine>] = &[
    MethodEntry::command(
        "append",
        "appends one entry",
        params![Param::required(
            "content",
            ValueType::Bytes,
            "the entry; it may be empty",
        )],
        append,
    ),
    MethodEntry::command(
        "append_many",
        "appends entries in their order, all of them or none, as one op",
        params![Param::required(
            "entries",
            ValueType::List,
            "1 to 65,536 byte strings or texts",
        )],
        append_many,
    ),
    MethodEntry::query(
        "read",
        "gives entries in the order of (time, op, index)",
        params![
            Param::optional(
                "from_ms",
                ValueType::Integer,
                "only from this time on, in Unix ms",
            ),
            Param::optional(
                "until_ms",
                ValueType::Integer,
                "only before this time, in Unix ms",
            ),
            Param::optional("from", ValueType::Text, "only from this position on"),
            Param::optional("after", ValueType::Text, "only after this position"),
            Param::optional("before", ValueType::Text, "only before this position"),
            Param::optional("reverse", ValueType::Bool, "newest first"),
            Param::optional(
                "limit",
                ValueType::Integer,
                "the most entries to give; else 1,000",
            ),
        ],
        ValueType::List,
        read,
    ),
    MethodEntry::query(
        "tail",
        "gives the newest entries, oldest first",
        params![Param::optional(
            "n",
            ValueType::Integer,
            "how many; else 10",
        )],
        ValueType::List,
        tail,
    ),
    MethodEntry::query(
        "len",
        "counts the entries",
        params![],
        ValueType::Integer,
        len,
    ),
];

type Answer = Result<Value, MachineError<CallError>>;

fn append(_: &LogMachine, mut args: Args<'_>) -> Result<Append, CallError> {
    let content = args.take_bytes("content")?;
    let entries = Vec::from([args.required("content", content)?]);
    Ok(Append { entries })
}

fn append_many(_: &LogMachine, mut args: Args<'_>) -> Result<Append, CallError> {
    let entries = args.take_list("entries")?.into_iter().flatten();
    let bytes = |(place, entry)| match entry {
        Value::Bytes(bytes) => Ok(bytes),
        Value::Text(text) => Ok(text.into_bytes()),
        other => {
            let found = other.value_type();
            let reason = format!("expected bytes or text at {place}, found {found}");
            Err(args.refused("entries", reason))
        }
    };
    let entries = entries.enumerate().map(bytes).collect::<Result<_, _>>()?;
    Ok(Append { entries })
}

fn read(_: &LogMachine, args: Args<'_>, data: &dyn DataRead, history: &dyn History) -> Answer {
    Ok(Value::List(entries(data, history, read_selection(args)?)?))
}

fn tail(_: &LogMachine, mut args: Args<'_>, data: &dyn DataRead, history: &dyn History) -> Answer {
    let count = args.take_u64("n")?.unwrap_or(DEFAULT_TAIL);
    let newest = Selection::all().newest_first().limit(count);
    let mut entries = entries(data, history, newest)?;
    entries.reverse();
    Ok(Value::List(entries))
}

fn len(_: &LogMachine, _: Args<'_>, data: &dyn DataRead, _: &dyn History) -> Answer {
    Ok(select::count(data)?.into())
}

fn entries(
    data: &dyn DataRead,
    history: &dyn History,
    selection: Selection,
) -> Result<Vec<Value>, BackendError> {
    let mut scan = Scan::new(data, history, selection)?;
    let mut entries = Vec::new();
    while let Some(entry) = scan.next()? {
        entries.push(value(entry));
    }
    Ok(entries)
}

fn read_selection(mut args: Args<'_>) -> Result<Selection, CallError> {
    let mut selection = Selection::all().limit(args.take_u64("limit")?.unwrap_or(DEFAULT_READ));
    if let Some(ms) = args.take_u64("from_ms")? {
        selection = selection.from_ms(ms);
    }
    if let Some(ms) = args.take_u64("until_ms")? {
        selection = selection.until_ms(ms);
    }
    if let Some(position) = take_position(&mut args, "from")? {
        selection = selection.starting_at(position);
    }
    if let Some(position) = take_position(&mut args, "after")? {
        selection = selection.after(position);
    }
    if let Some(position) = take_position(&mut args, "before")? {
        selection = selection.before(position);
    }
    Ok(if args.take_flag("reverse")? {
        selection.newest_first()
    } else {
        selection
    })
}

fn take_position(args: &mut Args<'_>, param: &str) -> Result<Option<Position>, CallError> {
    let Some(text) = args.take_text(param)? else {
        return Ok(None);
    };
    let position = text.parse();
    position
        .map(Some)
        .map_err(|error: crate::PositionError| args.refused(param, error.to_string()))
}

fn value(entry: Entry) -> Value {
    Value::record([
        ("position", Value::Text(entry.position().to_string())),
        ("time_ms", entry.time_ms().into()),
        ("author", Value::Text(entry.author.to_string())),
        ("op", Value::Text(entry.op.to_string())),
        ("index", u64::from(entry.index).into()),
        ("content", Value::Bytes(entry.content)),
    ])
}
