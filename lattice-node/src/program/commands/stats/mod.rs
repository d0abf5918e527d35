//! `lattice stats`: what takes how much space in a store.

mod groups;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use lattice_backend::backend::Direction;
use lattice_backend::engine::read::StoreUsage;
use lattice_backend::op::ApplyIndex;
use lattice_meta::PubKey;
use serde_json::{Map, Value, json};

use super::stores::{Contents, contents};
use crate::program::args;
use crate::program::bulk::plural;
use crate::program::columns::{Column, Columns};
use crate::program::context::Context;
use crate::program::failure::Failure;
use crate::program::human::{number, size};
use crate::program::output::{escape, json_bytes, styles};
use crate::program::progress::Counts;
use crate::{Access, KvStore, StoreHandle};
use groups::{Groups, Largest};

/// The pages of the backend.
const PAGE_BYTES: u64 = 4096;
/// What a compacted file holds beside the pages of its tables.
const FIXED_PAGES: u64 = 12;
/// Of so many pages, one is lost because rows do not fill pages to the end.
const PAGES_PER_LOST: u64 = 64;

/// The largest shares, and last the sum of all others.
type Shares<T> = Vec<(Option<T>, Share)>;

/// How many ops or keys, and how many bytes they have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Share {
    count: u64,
    bytes: u64,
}

impl Share {
    fn add(&mut self, bytes: usize) {
        self.count += 1;
        self.bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
    }
}

pub(super) fn stats(context: &mut Context<'_>, args: &args::Stats) -> Result<(), Failure> {
    let store = &args.store.store;
    let path = context.path(store)?;
    context.note_read(store, &path);
    let by_prefix = prefixes(context, &path, args)?;
    let found = context.node.manager().find(&path, Access::ReadOnly)?;
    let contents = contents(context, found);
    let handle = context.node.manager().open_history(&path)?;
    let file = std::fs::metadata(handle.path())
        .map_err(|error| Failure::from(error).within(&handle.path().display().to_string()))?;
    let usage = handle.usage()?;
    let by_author = authors(context, &*handle, args.limit)?;
    context.clear_progress();
    let all = Stats {
        bytes: file.len(),
        ops: handle.op_count()?,
        elements: handle.element_count()?,
        contents,
        usage,
        by_author,
        by_prefix,
    };
    if context.out.is_json() {
        let mut value = Map::from_iter([
            ("store_id".to_owned(), json!(handle.store_id())),
            ("store_type".to_owned(), json!(handle.store_type())),
        ]);
        value.extend(all.json());
        return context.out.json(&Value::Object(value));
    }
    all.print(context)
}

struct Stats {
    bytes: u64,
    ops: u64,
    elements: u64,
    contents: Option<Contents>,
    usage: Option<StoreUsage>,
    by_author: Shares<PubKey>,
    /// `None` if the store has no keys, or no code here to read them.
    by_prefix: Option<Shares<Vec<u8>>>,
}

impl Stats {
    /// What compaction would give back, about.
    fn reclaimable_bytes(&self) -> Option<u64> {
        let used = self.usage?.total().used_bytes();
        let pages = used.div_ceil(PAGE_BYTES);
        let pages = pages + pages / PAGES_PER_LOST + FIXED_PAGES;
        Some(self.bytes.saturating_sub(pages * PAGE_BYTES))
    }

    fn json(&self) -> Map<String, Value> {
        let part = |bytes: fn(&StoreUsage) -> u64| json!(self.usage.as_ref().map(bytes));
        let author = |(author, share): &(Option<PubKey>, Share)| json!({ "author": author, "ops": share.count, "bytes": share.bytes });
        let prefix = |(prefix, share): &(Option<Vec<u8>>, Share)| {
            let mut object = Map::new();
            match prefix {
                Some(prefix) => json_bytes(&mut object, "prefix", prefix),
                None => drop(object.insert("prefix".into(), Value::Null)),
            }
            object.insert("key_count".into(), json!(share.count));
            object.insert("bytes".into(), json!(share.bytes));
            Value::Object(object)
        };
        let by_prefix = self.by_prefix.as_ref();
        let by_prefix = by_prefix.map(|all| all.iter().map(prefix).collect::<Vec<_>>());
        let mut object = Map::from_iter([
            ("bytes".to_owned(), json!(self.bytes)),
            ("ops".to_owned(), json!(self.ops)),
            ("elements".to_owned(), json!(self.elements)),
        ]);
        object.extend(Contents::json(self.contents));
        object.extend([
            (
                "state_bytes".to_owned(),
                part(|usage| usage.state.row_bytes),
            ),
            (
                "history_bytes".to_owned(),
                part(|usage| usage.history.row_bytes),
            ),
            (
                "records_bytes".to_owned(),
                part(|usage| usage.records.row_bytes),
            ),
            (
                "reclaimable_bytes".to_owned(),
                json!(self.reclaimable_bytes()),
            ),
            (
                "by_author".to_owned(),
                self.by_author.iter().map(author).collect(),
            ),
            ("by_prefix".to_owned(), json!(by_prefix)),
        ]);
        object
    }

    fn print(&self, context: &mut Context<'_>) -> Result<(), Failure> {
        let mut parts = Columns::new([
            Column::of("PART"),
            Column::number("SIZE"),
            Column::of("WHAT").cut(),
        ]);
        let mut part = |name: &str, bytes: u64, what: String| {
            parts.row([name.to_owned(), size(bytes), what]);
        };
        part("file", self.bytes, String::new());
        if let Some(usage) = &self.usage {
            let elements = plural(self.elements, ("element", "elements"));
            let kept = self.contents.map_or(elements, Contents::text);
            part("state", usage.state.row_bytes, kept);
            let ops = plural(self.ops, ("op", "ops"));
            part("history", usage.history.row_bytes, ops);
            part("records", usage.records.row_bytes, String::new());
        }
        if let Some(bytes) = self.reclaimable_bytes() {
            let hint = match bytes {
                0 => "",
                _ => "about; `lattice compact STORE` gives it back",
            };
            part("unused", bytes, context.out.hints().complete(hint));
        }
        parts.print(&mut context.out)?;
        self.print_authors(context)?;
        self.print_prefixes(context)
    }

    fn print_authors(&self, context: &mut Context<'_>) -> Result<(), Failure> {
        let mut table = Columns::new([
            Column::of("AUTHOR"),
            Column::number("OPS"),
            Column::number("SIZE"),
        ]);
        for (author, share) in &self.by_author {
            let author = author.map_or("all others".into(), |author| match context.out.width() {
                Some(_) => format!("{author:.8}"),
                None => author.to_string(),
            });
            table.row([author, number(share.count), size(share.bytes)]);
        }
        section(context, table)
    }

    fn print_prefixes(&self, context: &mut Context<'_>) -> Result<(), Failure> {
        let mut table = Columns::new([
            Column::of("PREFIX").cut().style(styles::NAME),
            Column::number("KEYS"),
            Column::number("SIZE"),
        ]);
        for (prefix, share) in self.by_prefix.iter().flatten() {
            let prefix = match prefix {
                Some(prefix) if prefix.is_empty() => "(none)".to_owned(),
                Some(prefix) => escape(prefix),
                None => "all others".to_owned(),
            };
            table.row([prefix, number(share.count), size(share.bytes)]);
        }
        section(context, table)
    }
}

/// Prints a table after a blank line, unless it is empty.
fn section<const N: usize>(context: &mut Context<'_>, table: Columns<N>) -> Result<(), Failure> {
    if !table.is_empty() {
        context.out.line("")?;
    }
    table.print(&mut context.out)
}

/// The ops of each author.
fn authors(
    context: &Context<'_>,
    handle: &dyn StoreHandle,
    limit: usize,
) -> Result<Shares<PubKey>, Failure> {
    let total = handle.op_count()?;
    let ops = Counts::Things("op", "ops");
    context.progress.begin("reading ops", ops, Some(total));
    let mut all = BTreeMap::<PubKey, Share>::new();
    for index in 0..total {
        let Some(op) = handle.op_at(ApplyIndex::new(index))? else {
            break;
        };
        let share = all.entry(op.reference().author).or_default();
        share.add(op.bytes().len());
        context.progress.set(index + 1);
    }
    let mut largest = Largest::new(limit);
    for (author, share) in all {
        largest.offer(author, share);
    }
    Ok(largest.finish())
}

/// The keys by prefix, if this program's own code can read them.
fn prefixes(
    context: &Context<'_>,
    path: &std::path::Path,
    args: &args::Stats,
) -> Result<Option<Shares<Vec<u8>>>, Failure> {
    let found = context.node.manager().find(path, Access::ReadOnly)?;
    if found.meta().store_type.as_str() != lattice_kvstore::STORE_TYPE {
        return Ok(None);
    }
    let Ok(kv) = context
        .node
        .open_found_as::<KvStore>(found, Access::ReadOnly)
    else {
        return Ok(None);
    };
    let snapshot = kv.snapshot()?;
    let keys = Counts::Things("key", "keys");
    context
        .progress
        .begin("reading keys", keys, snapshot.count().ok());
    let delimiter = args.delimiter.as_encoded_bytes();
    let mut groups = Groups::new(delimiter, args.depth, args.limit);
    let mut done = 0;
    snapshot.visit::<&[u8]>(.., Direction::Forward, |key, value| {
        groups.add(key, value.len());
        done += 1;
        context.progress.set(done);
        ControlFlow::Continue(())
    })?;
    Ok(Some(groups.finish()))
}
