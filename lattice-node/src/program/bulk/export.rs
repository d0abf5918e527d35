//! Exports rows of a store as JSON Lines or as a table.

use std::ffi::{OsStr, OsString};
use std::ops::Bound;
use std::path::Path;

use lattice_logstore::Selection;
use serde_json::json;

use super::write::{Ended, Field, Form, Rows, Written, write_rows};
use super::{instant, plural};
use crate::program::args::{self, Delimiter, ExportFormat};
use crate::program::context::{Context, given};
use crate::program::failure::Failure;
use crate::program::output::echo;
use crate::program::pipes::{FileArg, Target};
use crate::program::progress::Counts;
use crate::{Access, KvStore, LogStore, StoreHandle};

pub(in crate::program) fn export(
    context: &mut Context<'_>,
    args: &args::Export,
) -> Result<(), Failure> {
    let target = Target {
        file: args.file.as_ref().unwrap_or(&FileArg::Stdio),
        mode: args.mode,
    };
    target.check_mode()?;
    let form = form_of(args)?;
    check_output(context, target, form)?;
    let job = Job { args, target, form };
    let path = context.path(&args.store.store)?;
    context.note_read(&args.store.store, &path);
    let store = context.node.manager().open_path(path, Access::ReadOnly)?;
    if let Some(kv) = store.downcast_ref::<KvStore>() {
        return export_keys(context, job, kv);
    }
    if let Some(log) = store.downcast_ref::<LogStore>() {
        return export_entries(context, job, log);
    }
    Err(Failure::usage(format!(
        "store {} is of type {}, and `export` is for core:kvstore and core:logstore stores; use \
         `describe` and `call`",
        store.store_id(),
        store.store_type()
    )))
}

/// An export: what, to where, and how.
#[derive(Clone, Copy)]
struct Job<'a> {
    args: &'a args::Export,
    target: Target<'a>,
    form: Form,
}

impl Job<'_> {
    /// Writes the rows that `fill` passes to its argument. Shows progress, unless the rows
    /// themselves go to a terminal; `total` is known if all are written.
    fn write(
        self,
        context: &mut Context<'_>,
        (one, many): (&'static str, &'static str),
        total: Option<u64>,
        fill: impl FnOnce(&mut Rows<'_>) -> Result<(), Ended>,
    ) -> Result<(Written, u64), Failure> {
        if !self.target.is_stdout() || !context.out.is_terminal() {
            let counts = Counts::Things(one, many);
            context.progress.begin("exporting", counts, total);
        }
        let form = self.form;
        self.target
            .write(context, |sink| write_rows(sink, form, fill))
    }
}

/// The format, by the arguments and the name of the file.
fn form_of(args: &args::Export) -> Result<Form, Failure> {
    let name = match &args.file {
        Some(FileArg::Path(path)) => path.as_path(),
        _ => Path::new(""),
    };
    let ending = |name: &Path| {
        let ending = name.extension().and_then(OsStr::to_str)?;
        Some(ending.to_ascii_lowercase())
    };
    let last = ending(name);
    let is_gzip = matches!(last.as_deref(), Some("gz" | "gzip"));
    let inner = match is_gzip {
        true => name.file_stem().map(Path::new).and_then(ending),
        false => last.clone(),
    };
    if last.as_deref() == Some("zst") {
        return Err(Failure::usage(
            "export compresses with gzip (.gz) only; `lattice export STORE | zstd > FILE` \
             compresses with zstd",
        ));
    }
    let tab = (inner.as_deref() == Some("tsv")).then_some(b'\t');
    let named = tab.or((inner.as_deref() == Some("csv")).then_some(b','));
    let given = args.delimiter.map(|Delimiter(byte)| byte);
    let delimiter = match args.format {
        Some(ExportFormat::Jsonl) if given.is_some() => {
            return Err(Failure::usage(
                "--delimiter separates the columns of --format csv; omit it for other formats",
            ));
        }
        Some(ExportFormat::Jsonl) => None,
        Some(ExportFormat::Csv) => Some(given.or(tab).unwrap_or(b',')),
        None => given.or(named),
    };
    Ok(Form {
        delimiter,
        is_base64: args.encoding.b64,
        is_gzip,
    })
}

/// Refuses what would control a terminal, or what is no JSON with --json.
fn check_output(context: &Context<'_>, target: Target<'_>, form: Form) -> Result<(), Failure> {
    if form.delimiter.is_none() || !target.is_stdout() {
        return Ok(());
    }
    if context.out.is_json() {
        return Err(Failure::usage(
            "--format csv prints a table, so it cannot be used with --json; name a FILE",
        ));
    }
    if context.out.is_terminal() && !form.is_base64 {
        return Err(Failure::usage(
            "--format csv prints raw bytes, which can control a terminal; name a FILE, give --b64, \
             or pipe the output to a program",
        ));
    }
    Ok(())
}

const KEYS: (&str, &str) = ("key", "keys");
const ENTRIES: (&str, &str) = ("entry", "entries");

fn export_keys(context: &mut Context<'_>, job: Job<'_>, kv: &KvStore) -> Result<(), Failure> {
    let args = job.args;
    let bytes = |argument: &Option<OsString>| {
        let bytes = argument.clone();
        bytes.map(|bytes| given(bytes, args.encoding)).transpose()
    };
    let (prefix, from, to) = (bytes(&args.prefix)?, bytes(&args.from)?, bytes(&args.to)?);
    let prefix = prefix.unwrap_or_else(Vec::new);
    let is_selected = |key: &[u8]| {
        key.starts_with(&prefix)
            && from.as_deref().is_none_or(|from| key >= from)
            && to.as_deref().is_none_or(|to| key < to)
    };
    let snapshot = kv.snapshot()?;
    let span = (
        from.as_deref().map_or(Bound::Unbounded, Bound::Included),
        to.as_deref().map_or(Bound::Unbounded, Bound::Excluded),
    );
    let is_all = prefix.is_empty() && from.is_none() && to.is_none();
    let total = is_all.then(|| snapshot.count()).transpose()?;
    let progress = context.progress.clone();
    let fill = |rows: &mut Rows<'_>| {
        rows.columns(&["key", "value"])?;
        for (nth, row) in (1..).zip(snapshot.scan_prefix::<&[u8]>(&prefix, span)) {
            let (key, value) = row?;
            progress.set(nth);
            rows.row(&[Field::Bytes("key", &key), Field::Bytes("value", &value)])?;
        }
        Ok(())
    };
    let written = job.write(context, KEYS, total, fill)?;
    let mut conflicted = 0;
    for key in snapshot.conflicted_keys() {
        conflicted += u64::from(is_selected(&key?));
    }
    if conflicted > 0 {
        let keys = plural(conflicted, KEYS);
        context.out.note(&format!(
            "{keys} in conflict: only the current value is exported; `lattice conflicts STORE` shows all"
        ));
    }
    summarise(context, job, kv, written, KEYS)
}

fn export_entries(context: &mut Context<'_>, job: Job<'_>, log: &LogStore) -> Result<(), Failure> {
    let args = job.args;
    if args.prefix.is_some() {
        return Err(Failure::usage(
            "log entries have no keys; omit --prefix, and select by time with --from and --to",
        ));
    }
    let time = |argument: &Option<OsString>| {
        let Some(argument) = argument else {
            return Ok(None);
        };
        let parsed = argument.to_str().and_then(instant::parse);
        parsed.map(Some).ok_or_else(|| {
            let found = echo(argument.as_encoded_bytes());
            Failure::usage(format!(
                "expected a time in milliseconds since 1970 or as 2026-01-31T23:59:59Z, found {found}"
            ))
        })
    };
    let (from, to) = (time(&args.from)?, time(&args.to)?);
    let snapshot = log.snapshot()?;
    let mut first = 0;
    let mut selection = Selection::all();
    if let Some(from) = from {
        for entry in snapshot.read(Selection::all().until_ms(from)) {
            entry?;
            first += 1;
        }
        selection = selection.from_ms(from);
    }
    if let Some(to) = to {
        selection = selection.until_ms(to);
    }
    let is_all = from.is_none() && to.is_none();
    let total = is_all.then(|| snapshot.len()).transpose()?;
    let progress = context.progress.clone();
    let fill = |rows: &mut Rows<'_>| {
        rows.columns(&["entry", "time", "author", "content"])?;
        for (index, entry) in (first..).zip(snapshot.read(selection)) {
            let entry = entry?;
            progress.set(index - first + 1);
            rows.row(&[
                Field::Known("entry", u64::into(index)),
                Field::Known("time", entry.time_ms().into()),
                Field::Known("author", json!(entry.author)),
                Field::Bytes("content", &entry.content),
            ])?;
        }
        Ok(())
    };
    let written = job.write(context, ENTRIES, total, fill)?;
    summarise(context, job, log, written, ENTRIES)
}

/// Says what was exported, if the user has named a file.
fn summarise(
    context: &mut Context<'_>,
    Job { args, target, .. }: Job<'_>,
    store: &dyn StoreHandle,
    (written, bytes): (Written, u64),
    nouns: (&str, &str),
) -> Result<(), Failure> {
    if written.not_utf8 > 0 {
        let rows = plural(written.not_utf8, ("row has", "rows have"));
        context.out.note(&format!(
            "{rows} bytes that are not UTF-8, which `lattice import` reads; --b64 writes base64 for \
             other programs"
        ));
    }
    if args.file.is_none() {
        return Ok(());
    }
    let (store_id, name) = (store.store_id(), target.name());
    let value = json!({
        "store_id": store_id,
        "file": name,
        "rows": written.rows,
        "bytes": bytes,
    });
    let rows = plural(written.rows, nouns);
    let text = format!("exported {rows} of store {store_id} to {name}");
    target.summarise(context, &value, &text)
}
