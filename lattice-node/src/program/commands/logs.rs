//! Commands for log stores.

use std::io;

use lattice_backend::engine::write::Receipt;
use lattice_backend::op::MAX_OP_BYTES;
use lattice_logstore::{Append, Entry, LogSnapshot, Selection};
use lattice_meta::OpId;
use lattice_registry::TypedStore;
use serde_json::{Map, Value, json};

use super::keys::receipt_json;
use super::timestamp;
use super::watch::Seen;
use crate::LogStore;
use crate::program::args::{self, Encoding};
use crate::program::bulk::{Bulk, Lines};
use crate::program::context::{Context, close, from_base64, given, shown};
use crate::program::failure::Failure;
use crate::program::interrupt::Input;
use crate::program::output::{json_base64, json_bytes, styles};
use crate::program::progress::Counts;

/// The most lines of standard input in one op.
const LINES_PER_OP: usize = 10_000;
/// The name of the input in messages.
const STDIN: &str = "standard input";
/// Once an op has this many bytes, it gets no more lines.
const BYTES_PER_OP: usize = MAX_OP_BYTES / 4;

pub(super) fn append(context: &mut Context<'_>, append: args::Append) -> Result<(), Failure> {
    let encoding = append.encoding;
    if append.text.is_empty() {
        context.check_stdin("TEXT")?;
    }
    let texts = append
        .text
        .into_iter()
        .map(|text| given(text, encoding))
        .collect::<Result<Vec<_>, _>>()?;
    context.allow(append.writing);
    let log: LogStore = context.write(&append.store.store, &lattice_logstore::store_type())?;
    let mut newest = None;
    let (entries, ops) = if texts.is_empty() {
        append_lines(context, &log, encoding, &mut newest)?
    } else {
        let entries = u64::try_from(texts.len()).expect("what is in memory can be counted");
        newest = Some(log.append_many(texts)?);
        (entries, 1)
    };
    close(&log)?;
    if context.out.is_json() {
        let mut value = Map::from_iter([
            ("entries".to_owned(), json!(entries)),
            ("ops".to_owned(), json!(ops)),
        ]);
        match &newest {
            Some(receipt) => value.extend(receipt_json(receipt)),
            // No lines, no op.
            None => value.extend(
                ["op", "author", "seq", "apply_index"].map(|name| (name.to_owned(), Value::Null)),
            ),
        }
        context.out.json(&value.into())?;
    }
    Ok(())
}

/// Appends each line of standard input. Lines that are already buffered become one op, so that
/// lines of a slow writer are not delayed. Returns the numbers of entries and ops, and sets the
/// receipt of the newest op.
fn append_lines(
    context: &Context<'_>,
    log: &LogStore,
    encoding: Encoding,
    newest: &mut Option<Receipt>,
) -> Result<(u64, u64), Failure> {
    let mut bulk = Bulk::start(context, ("entry", "entries"));
    context
        .interruption
        .retell(|story| (story.next, story.does) = (None, ""));
    let input = Input::new(&context.interruption, io::stdin());
    let is_cut = input.is_cut();
    let progress = &context.progress;
    progress.begin("appending", Counts::Bytes, None);
    let mut lines = Lines::new(progress.reading(input));
    let (mut entries, mut bytes) = (Vec::new(), 0);
    loop {
        let line = lines
            .next()
            .transpose()
            .map_err(|stop| bulk.failure(stop.into_failure(STDIN)))?;
        // A signal ends the input, perhaps within a line, which is not an entry then.
        let line = line.filter(|_| !is_cut.get());
        let is_last = line.is_none();
        if let Some((number, line)) = line {
            let entry = decode(line, encoding).map_err(|reason| {
                bulk.failure(Failure::failed(format!("{STDIN}, line {number}: {reason}")))
            })?;
            bytes += entry.len();
            entries.push(entry);
        }
        let is_full = entries.len() >= LINES_PER_OP || bytes >= BYTES_PER_OP;
        if !entries.is_empty() && (is_last || is_full || !lines.is_ready()) {
            let rows = entries.len();
            let command = Append {
                entries: std::mem::take(&mut entries),
            };
            bytes = 0;
            let receipt = bulk.commit(rows, || log.engine().append(command));
            *newest = Some(receipt.map_err(|error| bulk.failure(error.into()))?);
        }
        if is_last {
            bulk.check()?;
            return Ok(bulk.finish());
        }
    }
}

fn decode(line: Vec<u8>, encoding: Encoding) -> Result<Vec<u8>, String> {
    if encoding.b64 {
        from_base64(&line)
    } else {
        Ok(line)
    }
}

pub(super) fn tail(context: &mut Context<'_>, tail: &args::Tail) -> Result<(), Failure> {
    let log: LogStore = context.read(&tail.store.store, &lattice_logstore::store_type())?;
    let snapshot = log.snapshot()?;
    let entries = snapshot.tail(tail.count)?;
    let count = u64::try_from(entries.len()).expect("what is in memory can be counted");
    let first = snapshot.len()?.saturating_sub(count);
    for (index, entry) in (first..).zip(&entries) {
        print(context, index, entry, tail.encoding)?;
    }
    if tail.follow {
        let seen = Seen {
            store: tail.store.store.clone(),
            options: String::new(),
        };
        follow(context, &log, &snapshot, &seen, tail.encoding)?;
    }
    Ok(())
}

/// Prints every entry after the snapshot as it arrives.
fn follow(
    context: &mut Context<'_>,
    log: &LogStore,
    snapshot: &LogSnapshot,
    seen: &Seen,
    encoding: Encoding,
) -> Result<(), Failure> {
    context.out.flush()?;
    let mut place: Option<(OpId, u64)> = None;
    let from = log.cursor_after(snapshot)?;
    seen.note(context, from, None);
    let mut entries = log.follow(from)?;
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let (cursor, at) = (entries.cursor(), entries.place());
        // An op's entries are consecutive, so the index of the first is looked up once.
        let first = match place {
            Some((op, first)) if op == entry.op => first,
            _ => place_of(log, &entry)?,
        };
        place = Some((entry.op, first));
        print(context, first + u64::from(entry.index), &entry, encoding)?;
        context.out.flush()?;
        seen.note(context, cursor, at);
    }
    Ok(())
}

/// The current index in the log of the first entry of this entry's op.
fn place_of(log: &LogStore, entry: &Entry) -> Result<u64, Failure> {
    let snapshot = log.snapshot()?;
    let first = lattice_logstore::Position {
        index: 0,
        ..entry.position()
    };
    let mut from_there = 0;
    for entry in snapshot.read(Selection::all().starting_at(first)) {
        entry?;
        from_there += 1;
    }
    Ok(snapshot.len()?.saturating_sub(from_there))
}

fn print(
    context: &mut Context<'_>,
    index: u64,
    entry: &Entry,
    encoding: Encoding,
) -> Result<(), Failure> {
    let mut object = Map::<String, Value>::new();
    object.insert("entry".into(), index.into());
    object.insert("time".into(), entry.time_ms().into());
    object.insert("author".into(), json!(entry.author));
    if encoding.b64 {
        json_base64(&mut object, "content", &entry.content);
    } else {
        json_bytes(&mut object, "content", &entry.content);
    }
    context.out.row(object, |out| {
        let by = format!("{}  {:.8}", timestamp(entry.time_ms()), entry.author);
        let by = out.paint(styles::FAINT, &by);
        format!("{by}  {}", shown(&entry.content, encoding))
    })
}
