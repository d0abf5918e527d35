//! Commands for stores of any type.

use std::ffi::OsStr;

use lattice_meta::{MetaInfo, StoreId, StoreType};
use lattice_registry::Found;
use serde_json::{Map, Value, json};

use super::held::{held_json, held_line, held_ops};
use crate::program::args;
use crate::program::bulk::plural;
use crate::program::context::Context;
use crate::program::failure::Failure;
use crate::program::human;
use crate::program::output::{Output, echo, escape, styles};
use crate::program::suggest::did_you_mean;
use crate::{Access, Aliases, KvStore, LogStore};

pub(super) fn create(context: &mut Context<'_>, create: &args::Create) -> Result<(), Failure> {
    let store_type = parse_type(context, &create.store_type)?;
    // Unknown types and taken aliases are refused before an identity is created.
    context.registry().resolve(&store_type)?;
    context.check_alias(create.alias.as_ref(), None)?;
    context.node.become_writer()?;
    let manager = context.node.manager();
    let id = manager.create(&store_type)?;
    let is_created = format!("store {id} was created");
    if create.group_readable {
        let shared = manager.share_with_group(id);
        shared.map_err(|error| Failure::from(error).within(&is_created))?;
    }
    if let Some(alias) = &create.alias {
        Aliases::set(&context.data_dir, alias, id)
            .map_err(|error| Failure::from(error).within(&is_created))?;
    }
    #[cfg(feature = "wasm")]
    super::code::note_use(context, id)?;
    let meta = context.node.manager().peek(id)?;
    let value = json!({
        "store_id": id,
        "store_type": meta.store_type,
        "schema_version": meta.schema_version,
        "alias": create.alias,
    });
    context
        .out
        .either(value, |_| id.to_string())
        .and_then(|()| context.out.flush())
        .map_err(|failure| failure.and(&is_created))?;
    if create.group_readable {
        let dir = context.data_dir.display();
        context.out.note(&format!(
            "the group of the store's file can read it once it may enter {dir} and {dir}/stores: \
             `chgrp -R GROUP` on the store's directory sets the group, and `chmod g+x` on the two \
             lets it in"
        ));
    }
    Ok(())
}

/// Parses a store type; the error suggests a similar known type.
pub(super) fn parse_type(context: &Context<'_>, text: &str) -> Result<StoreType, Failure> {
    StoreType::new(text).map_err(|error| {
        let failure = Failure::usage(format!("{}: {error}", echo(text.as_bytes())));
        let known = context.registry().types().map(StoreType::as_str);
        match did_you_mean(text, known) {
            Some(meant) => failure.and(&meant),
            None => failure.and("`lattice types` lists the known types"),
        }
    })
}

fn meta_json(meta: &MetaInfo) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("store_id".into(), json!(meta.store_id));
    object.insert("store_type".into(), json!(meta.store_type));
    object.insert("schema_version".into(), json!(meta.schema_version));
    object.insert("tips".into(), json!(meta.tips));
    object
}

/// Lines of a name and a value.
struct Sheet<'a, 'b> {
    out: &'a Output<'b>,
    lines: Vec<String>,
}

impl<'a, 'b> Sheet<'a, 'b> {
    fn of(out: &'a Output<'b>, meta: &MetaInfo) -> Self {
        let mut sheet = Self {
            out,
            lines: Vec::new(),
        };
        sheet.line("store id", meta.store_id);
        sheet.line("store type", &meta.store_type);
        sheet.line("schema version", meta.schema_version);
        sheet
    }

    fn line(&mut self, name: &str, value: impl ToString) {
        let name = self.out.paint(styles::FAINT, &format!("{name:<16}"));
        self.lines.push(format!("{name}{}", value.to_string()));
    }

    fn tips(&mut self, meta: &MetaInfo) {
        for (author, tip) in &meta.tips {
            self.line("tip", tip);
            self.line("  of author", author);
        }
    }

    fn text(self) -> String {
        self.lines.join("\n")
    }
}

pub(super) fn peek(context: &mut Context<'_>, store: &OsStr) -> Result<(), Failure> {
    let path = context.path(store)?;
    let peek = context.node.manager().peek_logic(&path)?;
    context.note_read(store, &path);
    let (meta, logic) = (peek.meta, peek.logic);
    let code = logic
        .as_deref()
        .and_then(|logic| super::code_of(context, logic));
    for key in &meta.unknown_keys {
        let key = escape(key);
        context.out.note(&format!(
            "the `meta` table has a row {key}, which this program does not know"
        ));
    }
    let mut value = meta_json(&meta);
    value.insert("logic_version".into(), json!(logic));
    value.insert("code".into(), json!(code));
    context.out.either(value, |out| {
        let mut sheet = Sheet::of(out, &meta);
        if let Some(logic) = &logic {
            sheet.line("logic version", logic);
        }
        if let Some(code) = &code {
            sheet.line("code", code);
        }
        sheet.tips(&meta);
        sheet.text()
    })
}

pub(super) fn info(context: &mut Context<'_>, store: &OsStr) -> Result<(), Failure> {
    let path = context.path(store)?;
    context.note_read(store, &path);
    let manager = context.node.manager();
    let found = manager.find(&path, Access::ReadOnly)?;
    let recorded = found.recorded().logic.map(str::to_owned);
    #[cfg(feature = "wasm")]
    let newer = context.code.newer(&found.recorded())?;
    // The code that would open it, if that is here; its history needs none.
    let opener = context.registry().resolve(found.recorded()).ok();
    let opened = opener.map(|opener| opener.logic());
    let contents = contents(context, found);
    let manager = context.node.manager();
    let handle = manager.open_history(&path)?;
    let verified = manager.is_known(&path)?;
    let copy = handle.is_unconfirmed_copy()?;
    let meta = handle.info()?;
    let state_hash = handle.state_hash()?;
    let ops = handle.op_count()?;
    let frontier: Vec<_> = handle.frontier()?.iter().map(|op| op.id).collect();
    let forks = handle.forks()?.len();
    let logic = recorded.unwrap_or_else(|| handle.logic_version().to_string());
    let newest = opened.as_ref().map(|opened| opened.newest_schema());
    let is_newer = newest.is_some_and(|newest| meta.schema_version > newest);
    let is_older = opened.as_ref().is_some_and(|opened| {
        !is_newer && (meta.schema_version < opened.newest_schema() || !opened.computes_as(&logic))
    });
    let opened = opened.map(|opened| opened.version().to_string());
    let (held, held_ops) = held_ops(&*handle)?;
    let file = handle.path();
    let bytes = std::fs::metadata(file)
        .map_err(|error| Failure::from(error).within(&file.display().to_string()))?
        .len();
    let journal = handle.journal()?;
    let journal = journal.map(|journal| (journal.transactions, journal.bytes));
    let genesis = handle.genesis();
    let (owner, created_ms) = (genesis.owner(), genesis.created().ms());
    let from = genesis.migrated_from();
    let alias = context.aliases().alias_of(meta.store_id).cloned();
    let code = super::code_of(context, &logic);

    let mut value = meta_json(&meta);
    let migrated_from: Option<Value> = from
        .map(|(store_id, state_hash)| json!({ "store_id": store_id, "state_hash": state_hash }));
    value.extend([
        ("state_hash".to_owned(), json!(state_hash)),
        ("ops".to_owned(), json!(ops)),
        ("elements".to_owned(), json!(handle.element_count()?)),
        ("authors".to_owned(), json!(meta.tips.len())),
        ("frontier".to_owned(), json!(frontier)),
        ("forks".to_owned(), json!(forks)),
        ("held".to_owned(), json!(held)),
        (
            "held_ops".to_owned(),
            held_ops.iter().map(held_json).collect(),
        ),
        ("logic_version".to_owned(), json!(logic)),
        ("opened_by".to_owned(), json!(opened)),
        ("needs_upgrade".to_owned(), json!(is_older)),
        ("code".to_owned(), json!(code)),
        ("bytes".to_owned(), json!(bytes)),
        (
            "journal_transactions".to_owned(),
            json!(journal.map(|(transactions, _)| transactions)),
        ),
        (
            "journal_bytes".to_owned(),
            json!(journal.map(|(_, bytes)| bytes)),
        ),
        ("alias".to_owned(), json!(alias)),
        ("owner".to_owned(), json!(owner)),
        ("created".to_owned(), json!(created_ms)),
        ("migrated_from".to_owned(), json!(migrated_from)),
        ("verified".to_owned(), json!(verified)),
        ("copy".to_owned(), json!(copy)),
    ]);
    value.extend(Contents::json(contents));
    #[cfg(feature = "wasm")]
    value.insert(
        "newer".to_owned(),
        newer.as_ref().map_or(Value::Null, super::code::newer_json),
    );
    context.out.either(value, |out| {
        let mut sheet = Sheet::of(out, &meta);
        if let Some(alias) = &alias {
            sheet.line("alias", alias);
        }
        sheet.line("owner", owner);
        sheet.line("created", super::timestamp(created_ms));
        if let Some((store_id, state_hash)) = from {
            sheet.line("migrated from", from_text(&store_id, state_hash));
        }
        sheet.line("state hash", state_hash);
        if let Some(contents) = contents {
            sheet.line(contents.noun(), human::number(contents.count()));
        }
        sheet.line("ops", human::number(ops));
        sheet.line("authors", meta.tips.len());
        sheet.line("logic version", &logic);
        if let Some(code) = &code {
            sheet.line("code", code);
        }
        if let Some(opened) = opened.filter(|opened| *opened != logic) {
            sheet.line("opened by", &opened);
        }
        if is_older {
            let step = "`lattice upgrade STORE` brings the store up to date";
            sheet.line("older", out.hints().complete(step));
        }
        if let Some(newest) = newest.filter(|_| is_newer) {
            sheet.line(
                "newer",
                format!("this program knows schema {newest} at most"),
            );
        }
        #[cfg(feature = "wasm")]
        if let Some(newer) = &newer {
            let line = super::code::newer_line(newer, store);
            sheet.line("newer code", out.hints().complete(&line));
        }
        let exact = plural(bytes, ("byte", "bytes"));
        sheet.line("size", format!("{} ({exact})", human::size(bytes)));
        if let Some((transactions, bytes)) = journal {
            let transactions = plural(transactions, ("transaction", "transactions"));
            let size = human::size(bytes);
            sheet.line(
                "journal",
                format!("{transactions}, {size}, beside the file"),
            );
        }
        if !verified {
            sheet.line("verified", "no");
        }
        if copy {
            sheet.line(
                "copy",
                "not confirmed: its authors must not have written more elsewhere",
            );
        }
        sheet.tips(&meta);
        for op in frontier {
            sheet.line("frontier", op);
        }
        if forks > 0 {
            sheet.line("forks", format!("{forks} (an author wrote to an old copy)"));
        }
        if held > 0 {
            let step = "(a program whose code can apply them does so when it opens the store)";
            sheet.line("held ops", format!("{held} {step}"));
        }
        for held in &held_ops {
            sheet.line("  held", held_line(held));
        }
        sheet.text()
    })
}

/// What a store has: a number that it keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contents {
    Keys(u64),
    Entries(u64),
}

impl Contents {
    const fn count(self) -> u64 {
        match self {
            Self::Keys(count) | Self::Entries(count) => count,
        }
    }

    const fn noun(self) -> &'static str {
        match self {
            Self::Keys(_) => "keys",
            Self::Entries(_) => "entries",
        }
    }

    pub(super) fn text(self) -> String {
        match self {
            Self::Keys(count) => plural(count, ("key", "keys")),
            Self::Entries(count) => plural(count, ("entry", "entries")),
        }
    }

    /// Both fields, of which one at least is null.
    pub(super) fn json(contents: Option<Self>) -> [(String, Value); 2] {
        let (keys, entries) = match contents {
            Some(Self::Keys(count)) => (Some(count), None),
            Some(Self::Entries(count)) => (None, Some(count)),
            None => (None, None),
        };
        [
            ("key_count".to_owned(), json!(keys)),
            ("entry_count".to_owned(), json!(entries)),
        ]
    }
}

/// What a store has, if this program's own code can read it as it is.
pub(super) fn contents(context: &Context<'_>, found: Found) -> Option<Contents> {
    let node = &context.node;
    match found.meta().store_type.as_str() {
        lattice_kvstore::STORE_TYPE => {
            let kv: KvStore = node.open_found_as(found, Access::ReadOnly).ok()?;
            kv.count().ok().map(Contents::Keys)
        }
        lattice_logstore::STORE_TYPE => {
            let log: LogStore = node.open_found_as(found, Access::ReadOnly).ok()?;
            log.len().ok().map(Contents::Entries)
        }
        _ => None,
    }
}

fn from_text(store_id: &StoreId, state_hash: impl ToString) -> String {
    format!("{store_id}, state {}", state_hash.to_string())
}
