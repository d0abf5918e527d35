//! `lattice watch`: prints changes as they arrive.

use std::ffi::OsString;
use std::time::Duration;

use lattice_backend::engine::read::{Cursor, CursorOp};
use lattice_backend::op::ApplyIndex;
use lattice_kvstore::Change;
use lattice_logstore::Entry;
use lattice_meta::OpId;
use serde_json::{Map, Value, json};

use super::timestamp;
use crate::program::args::{self, Encoding};
use crate::program::context::{Context, given, shown};
use crate::program::failure::Failure;
use crate::program::interrupt::quoted;
use crate::program::output::{echo, escape_text, json_base64, json_bytes, styles};
use crate::{Access, KvStore, LogStore, StoreHandle};

/// How long one wait for ops of an unknown type lasts before it is repeated.
const WAIT: Duration = Duration::from_secs(60);

pub(super) fn watch(context: &mut Context<'_>, watch: args::Watch) -> Result<(), Failure> {
    let path = context.path(&watch.store.store)?;
    context.note_read(&watch.store.store, &path);
    let store = context.node.manager().open_path(path, Access::ReadOnly)?;
    let encoding = watch.encoding;
    let mut options = String::new();
    if let Some(prefix) = watch.prefix.as_deref().and_then(quoted) {
        options = format!(" --prefix {prefix}");
    }
    if encoding.b64 {
        options.push_str(" --b64");
    }
    let seen = Seen {
        store: watch.store.store,
        options,
    };
    let prefix = watch
        .prefix
        .map(|prefix| given(prefix, encoding))
        .transpose()?;
    let from = cursor(&*store, watch.since.as_deref(), watch.all)?;
    let limit = watch.limit.unwrap_or(u64::MAX);
    seen.note(context, from, None);
    if let Some(kv) = store.downcast_ref::<KvStore>() {
        let mut changes = kv.changes_to(prefix.unwrap_or_else(Vec::new), from)?;
        for _ in 0..limit {
            let Some(change) = changes.next() else { break };
            let change = change?;
            let (cursor, place) = (changes.cursor(), changes.place());
            print_change(context, head(cursor, place), &change, encoding)?;
            context.out.flush()?;
            seen.note(context, cursor, place);
        }
        return Ok(());
    }
    if prefix.is_some() {
        return Err(Failure::usage(format!(
            "store {} is of type {}, and --prefix works only with core:kvstore stores",
            store.store_id(),
            store.store_type()
        )));
    }
    if let Some(log) = store.downcast_ref::<LogStore>() {
        let mut follow = log.follow(from)?;
        for _ in 0..limit {
            let Some(entry) = follow.next() else { break };
            let entry = entry?;
            let (cursor, place) = (follow.cursor(), follow.place());
            print_entry(context, head(cursor, place), &entry, encoding)?;
            context.out.flush()?;
            seen.note(context, cursor, place);
        }
        return Ok(());
    }
    let first = from.op.map_or(0, |op| op.index.get().saturating_add(1));
    watch_ops(context, &*store, &seen, first, limit)
}

/// What continues after the last change that was printed.
pub(super) struct Seen {
    pub(super) store: OsString,
    /// Options of `watch`, as a shell reads them.
    pub(super) options: String,
}

impl Seen {
    pub(super) fn note(&self, context: &Context<'_>, cursor: Cursor, place: Option<u32>) {
        if let Some(op) = cursor.op {
            let change = place.map_or_else(String::new, |place| format!(":{place}"));
            self.note_at(context, &format!("{}:{}{change}", op.index.get(), op.id));
        }
    }

    fn note_at(&self, context: &Context<'_>, since: &str) {
        let store = quoted(&self.store);
        let next =
            store.map(|store| format!("lattice watch {store} --since {since}{}", self.options));
        context.interruption.retell(|story| {
            story.does = "continues after the last one that was printed";
            story.next = next;
        });
    }
}

/// The last change that the user has seen.
struct Since {
    index: ApplyIndex,
    id: Option<OpId>,
    /// The index of the change within the op; `None` for all of the op's changes.
    change: Option<u32>,
}

impl Since {
    /// All changes of an op.
    const fn whole(index: ApplyIndex, id: Option<OpId>) -> Self {
        let change = None;
        Self { index, id, change }
    }
}

/// The cursor to start from. If the user gave the op's id too, the cursor proves that the position
/// belongs to the same history.
fn cursor(store: &dyn StoreHandle, since: Option<&str>, all: bool) -> Result<Cursor, Failure> {
    let count = store.op_count()?;
    let Since { index, id, change } = match since {
        _ if all => return Ok(Cursor::START),
        None => match count.checked_sub(1) {
            None => return Ok(Cursor::START),
            Some(last) => Since::whole(ApplyIndex::new(last), None),
        },
        Some(since) => parse(since)?,
    };
    let there = store.op_at(index)?.map(|op| op.reference().id);
    let id = match (id, there) {
        (Some(id), _) => id,
        (None, Some(there)) => there,
        (None, None) => {
            return Err(Failure::failed(format!(
                "store {} has {count} ops, and none has index {index}; if it was restored to an \
                 earlier state, start again with --all",
                store.store_id()
            )));
        }
    };
    if there != Some(id) {
        let error = lattice_backend::engine::read::FeedError::Rewound {
            index,
            expected: id,
            found: there,
        };
        return Err(error.into());
    }
    let passed = change.map_or(u32::MAX, |change| change.saturating_add(1));
    Ok(Cursor {
        op: Some(CursorOp { index, id, passed }),
    })
}

fn parse(since: &str) -> Result<Since, Failure> {
    let wrong = || {
        Failure::usage(format!(
            "--since {}: expected INDEX[:OP[:CHANGE]], the index and the id of an op and the number of \
             a change in it",
            echo(since.as_bytes())
        ))
    };
    let mut parts = since.split(':');
    let index = parts.next().and_then(|index| index.parse().ok());
    let id = parts.next().map(|id| id.parse().map_err(|_| wrong()));
    let change = parts
        .next()
        .map(|change| change.parse().map_err(|_| wrong()));
    match (index, parts.next()) {
        (Some(index), None) => Ok(Since {
            index: ApplyIndex::new(index),
            id: id.transpose()?,
            change: change.transpose()?,
        }),
        _ => Err(wrong()),
    }
}

/// The position of a change, which `--since` accepts.
fn head(cursor: Cursor, place: Option<u32>) -> Map<String, Value> {
    let mut object = Map::new();
    if let Some(op) = cursor.op {
        object.insert("apply_index".into(), op.index.get().into());
        object.insert("op".into(), json!(op.id));
        object.insert("change".into(), json!(place));
    }
    object
}

fn print_change(
    context: &mut Context<'_>,
    mut object: Map<String, Value>,
    change: &Change,
    encoding: Encoding,
) -> Result<(), Failure> {
    let put = |object: &mut Map<String, Value>, name: &str, bytes: &[u8]| {
        if encoding.b64 {
            json_base64(object, name, bytes);
        } else {
            json_bytes(object, name, bytes);
        }
    };
    object.insert("author".into(), json!(change.op.author));
    object.insert("time".into(), change.hlc.ms().into());
    put(&mut object, "key", &change.key);
    match &change.value {
        Some(value) => put(&mut object, "value", value),
        None => {
            object.insert("value".into(), Value::Null);
        }
    }
    context.out.row(object, |out| {
        let by = format!("{}  {:.8}", timestamp(change.hlc.ms()), change.op.author);
        let key = out.paint(styles::NAME, &shown(&change.key, encoding));
        let what = match &change.value {
            Some(value) => format!("put\t{key}\t{}", shown(value, encoding)),
            None => format!("delete\t{key}"),
        };
        format!("{}  {what}", out.paint(styles::FAINT, &by))
    })
}

fn print_entry(
    context: &mut Context<'_>,
    mut object: Map<String, Value>,
    entry: &Entry,
    encoding: Encoding,
) -> Result<(), Failure> {
    object.insert("author".into(), json!(entry.author));
    object.insert("time".into(), entry.time_ms().into());
    if encoding.b64 {
        json_base64(&mut object, "content", &entry.content);
    } else {
        json_bytes(&mut object, "content", &entry.content);
    }
    context.out.row(object, |out| {
        let by = format!("{}  {:.8}", timestamp(entry.time_ms()), entry.author);
        format!(
            "{}  {}",
            out.paint(styles::FAINT, &by),
            shown(&entry.content, encoding)
        )
    })
}

/// Prints ops of a type whose events this program does not know, each op as a description.
fn watch_ops(
    context: &mut Context<'_>,
    store: &dyn StoreHandle,
    seen: &Seen,
    first: u64,
    limit: u64,
) -> Result<(), Failure> {
    for index in first..first.saturating_add(limit) {
        while store.wait_for_ops(index, WAIT)? <= index {}
        let Some(op) = store.op_at(ApplyIndex::new(index))? else {
            break;
        };
        let what = store.describe(&op);
        let reference = op.reference();
        let value = json!({
            "apply_index": index,
            "op": reference.id,
            "change": 0,
            "author": reference.author,
            "time": op.hlc().ms(),
            "what": what,
        });
        context.out.row(value, |out| {
            let by = format!("{}  {:.8}", timestamp(op.hlc().ms()), reference.author);
            format!("{}  {}", out.paint(styles::FAINT, &by), escape_text(&what))
        })?;
        context.out.flush()?;
        seen.note_at(context, &format!("{index}:{}", reference.id));
    }
    Ok(())
}
