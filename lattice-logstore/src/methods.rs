//! The methods of logs that can be called by name.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use lattice_backend::backend::Result;
use lattice_backend::machine::{
    Args, CallError, DataRead, History, Method, MethodKind, Param, Value, ValueType,
};

use crate::select::{self, Scan};
use crate::{Append, Entry, Position, Selection};

/// Entries that `read` gives if a call sets no limit: one call holds them all in memory.
const DEFAULT_READ: u64 = 1000;
/// Entries that `tail` gives if a call does not say.
const DEFAULT_TAIL: u64 = 10;

const fn param(
    name: &'static str,
    value_type: ValueType,
    required: bool,
    doc: &'static str,
) -> Param {
    Param {
        name,
        value_type,
        required,
        doc,
    }
}

const APPEND: &str = "append";
const APPEND_MANY: &str = "append_many";
const READ: &str = "read";
const TAIL: &str = "tail";

pub(crate) const METHODS: &[Method] = &[
    Method {
        name: APPEND,
        kind: MethodKind::Command,
        doc: "appends one entry",
        params: &[param(
            "content",
            ValueType::Bytes,
            true,
            "the entry; it may be empty",
        )],
        result: ValueType::Record,
    },
    Method {
        name: APPEND_MANY,
        kind: MethodKind::Command,
        doc: "appends entries in their order, all of them or none, as one op",
        params: &[param(
            "entries",
            ValueType::List,
            true,
            "1 to 65,536 byte strings or texts",
        )],
        result: ValueType::Record,
    },
    Method {
        name: READ,
        kind: MethodKind::Query,
        doc: "gives entries in the order of (time, op, index)",
        params: &[
            param(
                "from_ms",
                ValueType::Integer,
                false,
                "only from this time on, in Unix ms",
            ),
            param(
                "until_ms",
                ValueType::Integer,
                false,
                "only before this time, in Unix ms",
            ),
            param("from", ValueType::Text, false, "only from this position on"),
            param("after", ValueType::Text, false, "only behind this position"),
            param(
                "before",
                ValueType::Text,
                false,
                "only in front of this position",
            ),
            param("reverse", ValueType::Bool, false, "newest first"),
            param(
                "limit",
                ValueType::Integer,
                false,
                "the most entries to give; else 1,000",
            ),
        ],
        result: ValueType::List,
    },
    Method {
        name: TAIL,
        kind: MethodKind::Query,
        doc: "gives the newest entries, oldest first",
        params: &[param("n", ValueType::Integer, false, "how many; else 10")],
        result: ValueType::List,
    },
    Method {
        name: "len",
        kind: MethodKind::Query,
        doc: "counts the entries",
        params: &[],
        result: ValueType::Integer,
    },
];

/// Makes a command of a call.
pub(crate) fn command(mut args: Args) -> core::result::Result<Append, CallError> {
    let method = args.method().name;
    if method == APPEND {
        let content = args
            .take_bytes("content")
            .expect("it is required, so the call has it");
        return Ok(Append {
            entries: Vec::from([content]),
        });
    }
    let entries = match args.take("entries") {
        Some(Value::List(entries)) => entries,
        _ => Vec::new(),
    };
    let bytes = |(place, entry)| match entry {
        Value::Bytes(bytes) => Ok(bytes),
        Value::Text(text) => Ok(text.into_bytes()),
        other => Err(CallError::Argument {
            method,
            param: "entries",
            reason: format!(
                "expected bytes or text at {place}, found {}",
                other.value_type()
            ),
        }),
    };
    Ok(Append {
        entries: entries
            .into_iter()
            .enumerate()
            .map(bytes)
            .collect::<Result<_, _>>()?,
    })
}

/// Answers a call.
pub(crate) fn query(
    args: Args,
    data: &dyn DataRead,
    history: &dyn History,
) -> Result<core::result::Result<Value, CallError>> {
    let (selection, then) = match args.method().name {
        READ => (read_selection(args), Order::AsRead),
        TAIL => (tail_selection(args), Order::Reversed),
        _ => return Ok(Ok(select::count(data)?.into())),
    };
    let selection = match selection {
        Ok(selection) => selection,
        Err(error) => return Ok(Err(error)),
    };
    let mut scan = Scan::new(data, history, selection)?;
    let mut entries = Vec::new();
    while let Some(entry) = scan.next()? {
        entries.push(value(entry));
    }
    if then == Order::Reversed {
        entries.reverse();
    }
    Ok(Ok(Value::List(entries)))
}

#[derive(PartialEq, Eq)]
enum Order {
    AsRead,
    Reversed,
}

fn read_selection(mut args: Args) -> core::result::Result<Selection, CallError> {
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
    Ok(if args.take_flag("reverse") {
        selection.newest_first()
    } else {
        selection
    })
}

fn tail_selection(mut args: Args) -> core::result::Result<Selection, CallError> {
    let count = args.take_u64("n")?.unwrap_or(DEFAULT_TAIL);
    Ok(Selection::all().newest_first().limit(count))
}

fn take_position(
    args: &mut Args,
    param: &'static str,
) -> core::result::Result<Option<Position>, CallError> {
    let Some(Value::Text(text)) = args.take(param) else {
        return Ok(None);
    };
    text.parse()
        .map(Some)
        .map_err(|error: crate::PositionError| CallError::Argument {
            method: args.method().name,
            param,
            reason: error.to_string(),
        })
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
