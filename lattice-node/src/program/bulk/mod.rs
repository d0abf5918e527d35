//! Import and export of many rows.

mod counts;
mod elements;
mod export;
mod instant;
pub(super) mod json;
mod line_count;
mod lines;
mod rows;
mod skipped;
mod source;
mod table;
mod write;
mod zstd;

pub(super) use counts::{Bulk, Uncommitted, plural};
pub(super) use export::export;
pub(super) use lines::Lines;

use std::cell::Cell;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::iter;
use std::rc::Rc;

use lattice_backend::chunks::Chunks;
use lattice_backend::engine::write::{AppendAllError, AppendError};
use lattice_backend::op::MAX_OP_BYTES;
use lattice_registry::Found;
use lattice_registry::TypedStore;
use serde_json::json;

use super::args;
use super::context::Context;
use super::failure::Failure;
use super::interrupt::{Signal, quoted};
use super::pipes::FileArg;
use super::progress::Counts;
use crate::{Access, StoreHandle};
use elements::Elements;
use lines::{BYTE_ORDER_MARK, MAX_LINE_BYTES};
use rows::{KvRow, LogRow, Row, Shape};
use skipped::Skipped;
use source::{Form, Layout, Source};

/// Once an op has this many bytes, it gets no more rows.
const BYTES_PER_OP: usize = MAX_OP_BYTES / 4;

/// Why the rows end early.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    /// A row that is not valid. The next one can be read.
    #[error("line {line}: {reason}")]
    Broken { line: u64, reason: String },
    /// Where the next row begins is not known.
    #[error("line {line}: {reason}")]
    Lost { line: u64, reason: String },
    /// The file is not in a form that can be read. Names the file.
    #[error("{0}")]
    Form(String),
    /// The file cannot be read further.
    #[error("the file cannot be read")]
    Read(#[source] io::Error),
    /// A signal interrupted the command.
    #[error("interrupted")]
    Interrupted(Signal),
}

impl Stop {
    /// The failure for the file `name`.
    pub(super) fn into_failure(self, name: &str) -> Failure {
        match self {
            row @ (Self::Broken { .. } | Self::Lost { .. }) => {
                Failure::failed(format!("{name}, {row}"))
            }
            Self::Form(message) => Failure::failed(message),
            Self::Read(error) if error.kind() == io::ErrorKind::InvalidData => {
                Failure::damaged(format!("cannot read {name}: {error}"))
            }
            Self::Read(error) => Failure::from(error).within(&format!("cannot read {name}")),
            Self::Interrupted(signal) => Failure::interrupted(signal),
        }
    }
}

/// Rows or errors, each row with the number of its first line, from 1.
type Rows<R> = Box<dyn Iterator<Item = Result<(u64, R), Stop>>>;

pub(super) fn import(context: &mut Context<'_>, args: &args::Import) -> Result<(), Failure> {
    let path = context.path_to_change(&args.store.store)?;
    let found = context.node.manager().find(path, Access::ReadWrite)?;
    match found.meta().store_type.as_str() {
        lattice_kvstore::STORE_TYPE => import_rows::<KvRow>(context, args, found),
        lattice_logstore::STORE_TYPE => import_rows::<LogRow>(context, args, found),
        other => {
            context.registry().resolve(found.recorded())?;
            Err(Failure::usage(format!(
                "store {} is of type {other}, and `import` is for core:kvstore and core:logstore \
                 stores; use `describe` and `call`",
                found.meta().store_id
            )))
        }
    }
}

fn import_rows<R: Row>(
    context: &mut Context<'_>,
    args: &args::Import,
    found: Found,
) -> Result<(), Failure> {
    let shape = Shape {
        key: args.key.clone(),
        value: args.value.clone(),
        time: args.time.clone(),
    };
    let source = Source::open(context, args)?;
    R::check(source.layout(), &shape)?;
    let (name, len, is_cut) = (source.name.clone(), source.len, Rc::clone(&source.is_cut));
    let progress = context.progress.clone();
    // Reads the start of the file before anything is created or opened for it.
    let (form, reader) = source::begin(source, |reader| Box::new(progress.reading(reader)))
        .map_err(|stop| stop.into_failure(&name))?;
    let rows = read::<R>(form.layout, reader, shape).map_err(|stop| stop.into_failure(&name))?;
    let skipped = Skipped::default();
    let rows = match args.skip_errors {
        true => skipped.skip(rows),
        false => rows,
    };
    context.allow(args.writing);
    context.note_use(found.path());
    context.node.become_writer()?;
    let store: R::Store = context.node.open_found_as(found, Access::ReadWrite)?;
    let mut bulk = Bulk::start(context, R::NOUNS);
    context.progress.begin("importing", Counts::Bytes, len);
    let rows = Incoming {
        rows,
        is_stream: len.is_none(),
        is_cut,
    };
    let mut last = None;
    let outcome = if args.atomic {
        bulk.promise_all();
        all_at_once(&mut bulk, &store, rows, args, &name)
    } else {
        one_by_one(&mut bulk, &store, rows, args, &name, &mut last)
    };
    let (rows, ops) = bulk.finish();
    let closed = store.close();
    if let Some(last) = last {
        context.interruption.retell(|story| {
            story.fields.insert("line".into(), last.into());
            (story.next, story.does) = rest(args, form, last);
        });
    }
    outcome.map_err(|failure| skipped.explain(bulk.failure(failure)))?;
    closed?;
    if rows == 0 {
        skipped.check_any(&name)?;
    }
    if context.out.is_json() {
        let value = json!({
            "store_id": store.store_id(),
            "rows": rows,
            "ops": ops,
            "skipped": skipped.count(),
            "errors": skipped.to_json(),
        });
        return context.out.json(&value);
    }
    let summary = format!(
        "imported {} in {} from {name}",
        plural(rows, R::NOUNS),
        plural(ops, ("op", "ops"))
    );
    context.out.note(&summary);
    skipped.note(context, R::NOUNS);
    Ok(())
}

/// Rows that are read, and whether a signal has ended them.
struct Incoming<R> {
    rows: Rows<R>,
    /// What a stream has handed out cannot be read again.
    is_stream: bool,
    is_cut: Rc<Cell<bool>>,
}

/// The command that imports the lines after `last`, and what it does. A row of CSV can have several
/// lines, and its columns are named in the first one.
fn rest(args: &args::Import, form: Form, last: u64) -> (Option<String>, &'static str) {
    let format = match form.layout {
        Layout::JsonLines if !form.is_packed => "jsonl",
        Layout::Lines if !form.is_packed => "lines",
        _ => return (None, "imports all rows again; some are in"),
    };
    let file = match &args.file {
        FileArg::Path(path) => quoted(path.as_os_str()),
        FileArg::Stdio => None,
    };
    match quoted(&args.store.store).zip(file) {
        Some((store, file)) => {
            let next = last.saturating_add(1);
            let options = columns(args);
            let line = format!(
                "tail -n +{next} {file} | lattice import {store} - --format {format}{options}"
            );
            (Some(line), "imports the rest")
        }
        _ => (None, "imports what comes after that line, if it gets that"),
    }
}

/// The options that name columns, as a shell reads them.
fn columns(args: &args::Import) -> String {
    let given = [("--key", &args.key), ("--value", &args.value)];
    let option = |(name, column): (&str, &Option<String>)| {
        let column = column
            .as_ref()
            .and_then(|column| quoted(OsStr::new(column)));
        column.map_or_else(String::new, |column| format!(" {name} {column}"))
    };
    given.map(option).concat()
}

fn one_by_one<R: Row>(
    bulk: &mut Bulk,
    store: &R::Store,
    rows: Incoming<R>,
    args: &args::Import,
    name: &str,
    last: &mut Option<u64>,
) -> Result<(), Failure> {
    for batch in batches(rows, args, bulk) {
        let batch = batch.map_err(|stop| stop.into_failure(name))?;
        let place = batch.place(name);
        let line = batch.last_line();
        let rows = batch.into_rows();
        let (rows, command) = (rows.len(), R::command(rows));
        bulk.commit(rows, || store.engine().append(command))
            .map_err(|error| placed(error, &place))?;
        *last = line;
    }
    match bulk.signals().uncommitted() {
        Uncommitted::More => Ok(()),
        Uncommitted::Commit(signal) | Uncommitted::Drop(signal) => {
            Err(Failure::interrupted(signal))
        }
    }
}

fn all_at_once<R: Row>(
    bulk: &mut Bulk,
    store: &R::Store,
    rows: Incoming<R>,
    args: &args::Import,
    name: &str,
) -> Result<(), Failure> {
    let mut batches = batches(rows, args, bulk);
    let (mut taken, mut place) = (0, String::new());
    let mut commands = iter::from_fn(|| match batches.next() {
        Some(Ok(batch)) => {
            place = batch.place(name);
            let rows = batch.into_rows();
            taken += rows.len();
            Some(Ok(R::command(rows)))
        }
        Some(Err(stop)) => Some(Err(stop)),
        None => None,
    });
    let outcome = store.engine().append_all(&mut commands);
    match outcome {
        Ok(ops) => {
            bulk.add(taken, ops);
            Ok(())
        }
        Err(AppendAllError::Source(stop)) => Err(stop.into_failure(name)),
        Err(AppendAllError::Command { source, .. }) => Err(placed(source, &place)),
        Err(error) => Err(Failure::failed(error.to_string())),
    }
}

/// A refusal concerns rows of the file; any other error concerns the store.
fn placed<E: std::error::Error + 'static>(error: AppendError<E>, place: &str) -> Failure {
    let is_refusal = matches!(
        error,
        AppendError::Refused(_) | AppendError::TooLong { .. } | AppendError::Invalid(_)
    );
    let failure = Failure::from(error);
    if is_refusal {
        failure.within(place)
    } else {
        failure
    }
}

/// Rows that become one op, each with the number of its first line.
struct Batch<R>(Vec<(u64, R)>);

impl<R: Row> Batch<R> {
    fn place(&self, name: &str) -> String {
        let first_line = self.0.first().map_or(0, |(line, _)| *line);
        match self.0.len() {
            1 => format!("{name}, line {first_line}"),
            rows => format!("{name}, the {rows} rows from line {first_line} on"),
        }
    }

    /// The first line of the last row.
    fn last_line(&self) -> Option<u64> {
        self.0.last().map(|(line, _)| *line)
    }

    fn into_rows(self) -> Vec<R> {
        self.0.into_iter().map(|(_, row)| row).collect()
    }
}

/// The batches of an import. A read error comes after the rows before it; Ctrl-C comes at once.
/// Other signals end the rows after those that were read, unless all rows form one transaction.
fn batches<R: Row>(
    incoming: Incoming<R>,
    args: &args::Import,
    bulk: &Bulk,
) -> impl Iterator<Item = Result<Batch<R>, Stop>> + use<R> {
    let Incoming {
        mut rows,
        is_stream,
        is_cut,
    } = incoming;
    let signals = bulk.signals();
    let rows = iter::from_fn(move || {
        let next = match signals.uncommitted() {
            Uncommitted::Commit(_) if !is_stream => None,
            Uncommitted::More | Uncommitted::Commit(_) => rows.next(),
            Uncommitted::Drop(signal) => Some(Err(Stop::Interrupted(signal))),
        };
        match signals.uncommitted() {
            Uncommitted::More => next,
            // The signal may have ended the input within this row.
            Uncommitted::Commit(_) => next.filter(|_| !is_cut.get()),
            Uncommitted::Drop(signal) => Some(Err(Stop::Interrupted(signal))),
        }
    });
    let signals = bulk.signals();
    let most = usize::try_from(args.batch).unwrap_or(usize::MAX);
    let chunks = Chunks::new(rows, most, BYTES_PER_OP, |(_, row): &(u64, R)| {
        row.len_bytes()
    });
    chunks.map(move |chunk| match chunk {
        Ok(chunk) => match signals.uncommitted() {
            Uncommitted::Drop(signal) => Err(Stop::Interrupted(signal)),
            _ => Ok(Batch(chunk)),
        },
        Err(stop) => Err(stop),
    })
}

fn read<R: Row>(
    layout: Layout,
    reader: impl Read + 'static,
    shape: Shape,
) -> Result<Rows<R>, Stop> {
    Ok(match layout {
        Layout::Table { delimiter } => Box::new(table::rows(reader, delimiter, shape)?),
        Layout::Lines => Box::new(Lines::new(reader).map(|line| {
            let (line, bytes) = line?;
            let row = R::from_line(bytes).map_err(|reason| Stop::Broken { line, reason })?;
            Ok((line, row))
        })),
        Layout::JsonLines => {
            let filled = Lines::new(reader)
                .filter(|line| !matches!(line, Ok((_, bytes)) if json::is_blank(bytes)));
            let object = object(shape);
            Box::new(filled.map(move |line| line.and_then(&object)))
        }
        Layout::Json => {
            let object = object(shape);
            Box::new(Elements::new(reader).map(move |value| value.and_then(&object)))
        }
    })
}

/// Parses a line or a value of JSON.
fn object<R: Row>(shape: Shape) -> impl Fn((u64, Vec<u8>)) -> Result<(u64, R), Stop> {
    move |(line, bytes)| {
        let row = json::fields(&bytes).and_then(|fields| R::from_object(&bytes, fields, &shape));
        let row = row.map_err(|reason| Stop::Broken { line, reason })?;
        Ok((line, row))
    }
}

/// Returns how many rows come before the end or the first invalid one.
#[cfg(feature = "fuzzing")]
pub(super) fn count_rows(
    layout: u8,
    of_log: bool,
    key: Option<String>,
    value: Option<String>,
    file: impl Read + 'static,
) -> usize {
    fn count<R: Row>(layout: Layout, file: impl Read + 'static, shape: Shape) -> usize {
        if R::check(layout, &shape).is_err() {
            return 0;
        }
        let rows = read::<R>(layout, file, shape).into_iter().flatten();
        rows.take_while(Result::is_ok).count()
    }
    let layout = match layout % 4 {
        0 => Layout::JsonLines,
        1 => Layout::Table { delimiter: b',' },
        2 => Layout::Lines,
        _ => Layout::Json,
    };
    let shape = Shape {
        key,
        value,
        time: None,
    };
    match of_log {
        true => count::<LogRow>(layout, file, shape),
        false => count::<KvRow>(layout, file, shape),
    }
}
