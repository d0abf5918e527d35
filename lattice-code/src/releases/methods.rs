//! The methods of registries that callers can call by name.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Display;
use core::ops::ControlFlow;
use core::str::FromStr;

use lattice_backend::machine::{
    Args, CallError, DataRead, History, MachineError, MethodEntry, Param, Value, ValueType,
};
use lattice_backend::params;
use lattice_meta::Cid;

use crate::releases::read::{self, Each};
use crate::releases::{Filter, Publish, Release, ReleaseCommand, ReleaseMachine, Withdraw};

/// The limit of queries if a call sets none: one call holds its whole result in memory.
const DEFAULT_LIMIT: u64 = 1000;

const LIMIT: Param = Param::optional("limit", ValueType::Integer, "at most this many; else 1,000");

/// The methods of the store type.
pub(crate) const METHODS: &[MethodEntry<ReleaseMachine>] = &[
    MethodEntry::command(
        "publish",
        "publishes a module as a release of a store type",
        params![
            Param::required("type", ValueType::Text, "the store type of the module"),
            Param::required(
                "release",
                ValueType::Integer,
                "the number of the release, from 0",
            ),
            Param::required("cid", ValueType::Text, "the content id of the module"),
            Param::required(
                "length",
                ValueType::Integer,
                "bytes of the module, 1 to 4,194,304",
            ),
            Param::required(
                "abi",
                ValueType::Integer,
                "the version of the interface that the module uses, from 1",
            ),
            Param::required(
                "first_schema",
                ValueType::Integer,
                "the oldest layout of rows that the module reads",
            ),
            Param::required(
                "schema",
                ValueType::Integer,
                "the newest layout of rows that the module reads",
            ),
            Param::optional(
                "replaces",
                ValueType::Text,
                "the content id of the module that this one replaces",
            ),
            Param::optional(
                "notes",
                ValueType::Text,
                "what has changed, at most 1,024 bytes",
            ),
        ],
        publish,
    ),
    MethodEntry::command(
        "withdraw",
        "withdraws a module: it counts for releases of the same publisher",
        params![
            Param::required("cid", ValueType::Text, "the content id of the module"),
            Param::required("reason", ValueType::Text, "why, at most 1,024 bytes"),
        ],
        withdraw,
    ),
    MethodEntry::query(
        "releases",
        "gives releases in the order of (type, publisher, release)",
        params![
            Param::optional("type", ValueType::Text, "only releases of this store type"),
            Param::optional(
                "publisher",
                ValueType::Text,
                "only releases of this public key, in hexadecimal",
            ),
            Param::optional(
                "release",
                ValueType::Integer,
                "only releases with this number",
            ),
            LIMIT,
        ],
        ValueType::List,
        releases,
    ),
    MethodEntry::query(
        "release",
        "gives all releases that name a module; reads all releases of the store",
        params![
            Param::required("cid", ValueType::Text, "the content id of the module"),
            LIMIT,
        ],
        ValueType::List,
        release,
    ),
    MethodEntry::query(
        "types",
        "gives the store types that have releases",
        params![LIMIT],
        ValueType::List,
        types,
    ),
];

type Answer = Result<Value, MachineError<CallError>>;

fn publish(_: &ReleaseMachine, mut args: Args<'_>) -> Result<ReleaseCommand, CallError> {
    let notes = args.take_text("notes")?;
    Ok(ReleaseCommand::Publish(Publish {
        store_type: required(&mut args, "type")?,
        release: number(&mut args, "release", u64::MAX)?,
        cid: required(&mut args, "cid")?,
        length: number(&mut args, "length", u32::MAX)?,
        abi: number(&mut args, "abi", u16::MAX)?,
        schemas: (
            number(&mut args, "first_schema", u64::MAX)?,
            number(&mut args, "schema", u64::MAX)?,
        ),
        replaces: parsed(&mut args, "replaces")?,
        notes: notes.unwrap_or_else(String::new),
    }))
}

fn withdraw(_: &ReleaseMachine, mut args: Args<'_>) -> Result<ReleaseCommand, CallError> {
    let reason = args.take_text("reason")?;
    Ok(ReleaseCommand::Withdraw(Withdraw {
        cid: required(&mut args, "cid")?,
        reason: args.required("reason", reason)?,
    }))
}

fn releases(
    _: &ReleaseMachine,
    mut args: Args<'_>,
    data: &dyn DataRead,
    _: &dyn History,
) -> Answer {
    let filter = Filter {
        store_type: parsed(&mut args, "type")?,
        publisher: parsed(&mut args, "publisher")?,
        release: args.take_u64("release")?,
    };
    let limit = limit(&mut args)?;
    list(limit, &mut |each| read::releases(data, &filter, each))
}

fn release(_: &ReleaseMachine, mut args: Args<'_>, data: &dyn DataRead, _: &dyn History) -> Answer {
    let cid: Cid = required(&mut args, "cid")?;
    let limit = limit(&mut args)?;
    list(limit, &mut |each| read::naming(data, &cid, each))
}

fn types(_: &ReleaseMachine, mut args: Args<'_>, data: &dyn DataRead, _: &dyn History) -> Answer {
    let limit = limit(&mut args)?;
    let (mut types, mut last) = (Vec::new(), None);
    while types.len() < limit
        && let Some(store_type) = read::next_type(data, last.as_ref())?
    {
        types.push(Value::Text(store_type.to_string()));
        last = Some(store_type);
    }
    Ok(Value::List(types))
}

/// The first releases of a reader, as a list of records.
fn list(
    limit: usize,
    read: &mut dyn FnMut(Each<'_>) -> lattice_backend::backend::Result<()>,
) -> Answer {
    let mut records = Vec::new();
    if limit > 0 {
        read(&mut |release| {
            records.push(record(release));
            match records.len() == limit {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })?;
    }
    Ok(Value::List(records))
}

fn record(release: Release) -> Value {
    let Publish {
        store_type,
        release: number,
        cid,
        length,
        abi,
        schemas: (first_schema, schema),
        replaces,
        notes,
    } = release.published;
    let optional = |text: Option<String>| text.map_or(Value::Null, Value::Text);
    Value::record([
        ("type", Value::Text(store_type.to_string())),
        ("release", number.into()),
        ("cid", Value::Text(cid.to_string())),
        ("length", u64::from(length).into()),
        ("abi", u64::from(abi).into()),
        ("first_schema", first_schema.into()),
        ("schema", schema.into()),
        ("replaces", optional(replaces.map(|cid| cid.to_string()))),
        ("notes", Value::Text(notes)),
        ("publisher", Value::Text(release.publisher.to_string())),
        ("op", Value::Text(release.op.to_string())),
        ("time_ms", release.time.ms().into()),
        ("withdrawn", optional(release.withdrawn)),
        ("conflict", Value::Bool(release.is_conflicting)),
    ])
}

/// The caller's limit; a limit beyond `usize` means no limit.
fn limit(args: &mut Args<'_>) -> Result<usize, CallError> {
    let limit = args.take_u64("limit")?.unwrap_or(DEFAULT_LIMIT);
    Ok(usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Takes and parses a text; `None` if it was not given.
fn parsed<T>(args: &mut Args<'_>, param: &str) -> Result<Option<T>, CallError>
where
    T: FromStr<Err: Display>,
{
    let Some(text) = args.take_text(param)? else {
        return Ok(None);
    };
    let parsed = text.parse().map(Some);
    parsed.map_err(|error: T::Err| args.refused(param, error.to_string()))
}

/// Takes and parses a text that the call must give.
fn required<T>(args: &mut Args<'_>, param: &str) -> Result<T, CallError>
where
    T: FromStr<Err: Display>,
{
    let parsed = parsed(args, param)?;
    args.required(param, parsed)
}

/// Takes a number from 0 to `most`, the greatest of its type, that the call must give.
fn number<T>(args: &mut Args<'_>, param: &str, most: T) -> Result<T, CallError>
where
    T: TryFrom<u64> + Display,
{
    let number = args.take_u64(param)?;
    let number = args.required(param, number)?;
    T::try_from(number).map_err(|_| {
        let reason = format!("expected 0 to {most}, found {number}");
        args.refused(param, reason)
    })
}
