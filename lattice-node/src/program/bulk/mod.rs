//! Import and export of many rows.

mod counts;
mod export;
pub(super) mod json;
mod line_count;
mod lines;
mod rows;
mod table;

pub(super) use counts::{Bulk, Uncommitted, plural};
pub(super) use export::export;
pub(super) use lines::Lines;

use std::cell::Cell;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::iter;
use std::path::Path;
use std::rc::Rc;

use lattice_backend::chunks::Chunks;
use lattice_backend::engine::write::{AppendAllError, AppendError};
use lattice_backend::op::MAX_OP_BYTES;
use lattice_registry::Found;
use lattice_registry::TypedStore;
use serde_json::json;

use super::args::{self, ImportFormat};
use super::context::Context;
use super::failure::Failure;
use super::interrupt::{Input, Signal, quoted};
use super::output::echo;
use super::progress::Counts;
use crate::{Access, StoreHandle};
use rows::{KvRow, LogRow, Row, Shape};

/// Once an op has this many bytes, it gets no more rows.
const BYTES_PER_OP: usize = MAX_OP_BYTES / 4;

/// Why the rows end early.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    /// A line that is not a valid row.
    #[error("line {line}: {reason}")]
    Broken { line: u64, reason: String },
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
            broken @ Self::Broken { .. } => Failure::failed(format!("{name}, {broken}")),
            Self::Read(error) => Failure::from(error).within(&format!("cannot read {name}")),
            Self::Interrupted(signal) => Failure::interrupted(signal),
        }
    }
}

/// Rows or errors, each row with the number of its first line, from 1.
type Rows<R> = Box<dyn Iterator<Item = Result<(u64, R), Stop>>>;

/// The file or stream to import.
struct Source {
    name: String,
    reader: Box<dyn Read>,
    /// Its length in bytes, if known.
    len: Option<u64>,
    /// Set if a signal ended it, perhaps within a row.
    is_cut: Rc<Cell<bool>>,
}

pub(super) fn import(context: &mut Context<'_>, args: &args::Import) -> Result<(), Failure> {
    let path = context.path(&args.store.store)?;
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
    check_there(&args.file)?;
    let format = format_of(args)?;
    let shape = Shape {
        key: args.key.clone(),
        value: args.value.clone(),
    };
    R::check(format, &shape)?;
    // Reads the start of the file before anything is created or opened for it.
    let source = open(context, &args.file)?;
    let (name, len, is_cut) = (source.name, source.len, source.is_cut);
    let reading = context.progress.reading(source.reader);
    let rows = read::<R>(format, reading, shape).map_err(|stop| stop.into_failure(&name))?;
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
            (story.next, story.does) = rest(args, format, last);
        });
    }
    outcome.map_err(|failure| bulk.failure(failure))?;
    closed?;
    if context.out.is_json() {
        let value = json!({ "store_id": store.store_id(), "rows": rows, "ops": ops });
        return context.out.json(&value);
    }
    let summary = format!(
        "imported {} in {} from {name}",
        plural(rows, R::NOUNS),
        plural(ops, ("op", "ops"))
    );
    context.out.note(&summary);
    Ok(())
}

/// Reports a missing file before a problem with its name.
fn check_there(file: &Path) -> Result<(), Failure> {
    if file == Path::new("-") {
        return Ok(());
    }
    let there = fs::metadata(file).map(drop);
    there.map_err(|error| Failure::file(file, error))
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
fn rest(args: &args::Import, format: ImportFormat, last: u64) -> (Option<String>, &'static str) {
    let names = quoted(&args.store.store).zip(quoted(args.file.as_os_str()));
    let format = match format {
        ImportFormat::Jsonl => "jsonl",
        ImportFormat::Lines => "lines",
        ImportFormat::Csv => return (None, "imports all rows again; some are in"),
    };
    match names {
        Some((store, file)) if file != "-" => {
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

fn format_of(args: &args::Import) -> Result<ImportFormat, Failure> {
    if let Some(format) = args.format {
        return Ok(format);
    }
    if args.file == Path::new("-") {
        return Ok(ImportFormat::Jsonl);
    }
    let ending = args.file.extension().and_then(OsStr::to_str);
    match ending.map(str::to_ascii_lowercase).as_deref() {
        Some("jsonl" | "ndjson" | "json") => Ok(ImportFormat::Jsonl),
        Some("csv") => Ok(ImportFormat::Csv),
        Some("log" | "txt" | "tsv") => Ok(ImportFormat::Lines),
        _ => Err(Failure::usage(format!(
            "{} has no extension that names its format; give --format jsonl, csv or lines",
            echo(args.file.as_os_str().as_encoded_bytes())
        ))),
    }
}

fn open(context: &Context<'_>, file: &Path) -> Result<Source, Failure> {
    if file == Path::new("-") {
        context.check_stdin("FILE")?;
        let input = Input::new(&context.interruption, io::stdin());
        return Ok(Source {
            name: "standard input".into(),
            is_cut: input.is_cut(),
            reader: Box::new(input),
            len: None,
        });
    }
    let failed = |error| Failure::file(file, error);
    let opened = fs::File::open(file).map_err(failed)?;
    let metadata = opened.metadata().map_err(failed)?;
    if metadata.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    let name = file.display().to_string();
    if metadata.is_file() {
        return Ok(Source {
            name,
            reader: Box::new(opened),
            len: Some(metadata.len()),
            is_cut: Rc::default(),
        });
    }
    let input = Input::new(&context.interruption, opened);
    Ok(Source {
        name,
        is_cut: input.is_cut(),
        reader: Box::new(input),
        len: None,
    })
}

fn read<R: Row>(
    format: ImportFormat,
    reader: impl Read + 'static,
    shape: Shape,
) -> Result<Rows<R>, Stop> {
    let lines = |reader| Lines::new(reader);
    Ok(match format {
        ImportFormat::Csv => Box::new(table::rows(reader, shape)?),
        ImportFormat::Lines => Box::new(lines(reader).map(|line| {
            let (line, bytes) = line?;
            let row = R::from_line(bytes).map_err(|reason| Stop::Broken { line, reason })?;
            Ok((line, row))
        })),
        ImportFormat::Jsonl => {
            let filled = lines(reader)
                .filter(|line| !matches!(line, Ok((_, bytes)) if json::is_blank(bytes)));
            Box::new(filled.map(move |line| {
                let (line, bytes) = line?;
                let row =
                    json::fields(&bytes).and_then(|fields| R::from_object(&bytes, fields, &shape));
                let row = row.map_err(|reason| Stop::Broken { line, reason })?;
                Ok((line, row))
            }))
        }
    })
}

/// Returns how many rows come before the end or the first invalid one.
#[cfg(feature = "fuzzing")]
pub(super) fn count_rows(
    format: ImportFormat,
    of_log: bool,
    key: Option<String>,
    value: Option<String>,
    file: impl Read + 'static,
) -> usize {
    fn count<R: Row>(format: ImportFormat, file: impl Read + 'static, shape: Shape) -> usize {
        if R::check(format, &shape).is_err() {
            return 0;
        }
        let rows = read::<R>(format, file, shape).into_iter().flatten();
        rows.take_while(Result::is_ok).count()
    }
    let shape = Shape { key, value };
    match of_log {
        true => count::<LogRow>(format, file, shape),
        false => count::<KvRow>(format, file, shape),
    }
}
