//! What each command does.

use std::env;
use std::ffi::OsStr;
use std::io::{self, BufRead, IsTerminal, Read};
use std::path::PathBuf;

use lattice_meta::{MetaInfo, StoreType};
use lattice_node::{Access, KvStore, LogStore, Node, StoreHandle};
use lattice_registry::TypedStore;
use serde_json::{Map, Value, json};

use super::args;
use super::failure::{Failure, manager_kind};
use super::output::{self, escape, json_bytes};
use super::store_ref::resolve;

/// Lines of standard input that become one op, at the most.
const LINES_PER_OP: usize = 1000;

/// What all commands need.
pub(super) struct Context {
    data_dir: PathBuf,
    json: bool,
    /// Finds and reads stores, and makes nothing.
    reader: Node,
}

impl Context {
    pub(super) fn new(data_dir: Option<PathBuf>, json: bool) -> Result<Self, Failure> {
        let data_dir = data_dir.map_or_else(default_data_dir, Ok)?;
        Ok(Self {
            reader: Node::reader(&data_dir)?,
            data_dir,
            json,
        })
    }

    fn path(&self, store: &OsStr) -> Result<PathBuf, Failure> {
        resolve(self.reader.manager(), store)
    }

    /// Opens a store for a command that is for one type of stores only.
    fn open<T: TypedStore>(
        &self,
        store: &OsStr,
        access: Access,
        expected: &StoreType,
    ) -> Result<T, Failure> {
        let path = self.path(store)?;
        let meta = self.reader.manager().peek_path(&path)?;
        if meta.store_type != *expected {
            return Err(Failure::usage(format!(
                "store {} is of type {}; this command is for {expected} stores",
                meta.store_id, meta.store_type
            )));
        }
        Ok(match access {
            Access::ReadOnly => self.reader.open_path_as(path, access)?,
            Access::ReadWrite => Node::open(&self.data_dir)?.open_path_as(path, access)?,
        })
    }

    fn print(&self, value: &Value, text: &str) -> Result<(), Failure> {
        Ok(output::line(&if self.json {
            value.to_string()
        } else {
            text.to_owned()
        })?)
    }
}

/// `$LATTICE_DATA_DIR`, else `lattice` in the user's data directory (XDG base directories).
fn default_data_dir() -> Result<PathBuf, Failure> {
    let set = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let xdg = || set("XDG_DATA_HOME").filter(|dir| dir.is_absolute());
    let home = || set("HOME").map(|home| home.join(".local/share"));
    set("LATTICE_DATA_DIR")
        .or_else(|| xdg().or_else(home).map(|data| data.join("lattice")))
        .ok_or_else(|| {
            Failure::usage("no data directory: give --data-dir, or set LATTICE_DATA_DIR or HOME")
        })
}

pub(super) fn create(context: &Context, create: &args::Create) -> Result<(), Failure> {
    // An unknown type is refused before an identity is made for it.
    let resolved = context
        .reader
        .manager()
        .registry()
        .resolve(&create.store_type);
    resolved.map_err(lattice_node::ManagerError::from)?;
    let node = Node::open(&context.data_dir)?;
    let id = node.manager().create(&create.store_type)?;
    let meta = node.manager().peek(id)?;
    let value = json!({
        "store_id": id,
        "store_type": meta.store_type,
        "schema_version": meta.schema_version,
        "alias": null,
    });
    context.print(&value, &id.to_string())
}

pub(super) fn list(context: &Context) -> Result<(), Failure> {
    for listed in context.reader.manager().list()? {
        let (value, text) = match &listed.meta {
            Ok(meta) => (
                json!({
                    "store_id": meta.store_id,
                    "store_type": meta.store_type,
                    "schema_version": meta.schema_version,
                    "alias": null,
                    "bytes": listed.size_bytes,
                }),
                format!(
                    "{}  {:<20}  {:>12}",
                    meta.store_id,
                    meta.store_type,
                    listed
                        .size_bytes
                        .map_or_else(|| "-".into(), |bytes| bytes.to_string())
                ),
            ),
            Err(error) => {
                let (path, kind) = (listed.path.display().to_string(), manager_kind(error));
                let error = Failure::of(kind, error).into_json();
                let text = format!("{}  {}", path, error["message"].as_str().unwrap_or("?"));
                (
                    json!({ "path": path, "error": error }),
                    escape(text.as_bytes()),
                )
            }
        };
        context.print(&value, &text)?;
    }
    Ok(())
}

fn meta_json(meta: &MetaInfo) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("store_id".into(), json!(meta.store_id));
    object.insert("store_type".into(), json!(meta.store_type));
    object.insert("schema_version".into(), json!(meta.schema_version));
    object.insert("tips".into(), json!(meta.tips));
    object
}

fn meta_text(meta: &MetaInfo) -> String {
    let mut text = format!(
        "store id        {}\nstore type      {}\nschema version  {}",
        meta.store_id, meta.store_type, meta.schema_version
    );
    for (author, tip) in &meta.tips {
        text.push_str(&format!("\ntip of {author}\n                {tip}"));
    }
    text
}

pub(super) fn peek(context: &Context, store: &OsStr) -> Result<(), Failure> {
    let meta = context.reader.manager().peek_path(context.path(store)?)?;
    context.print(&meta_json(&meta).into(), &meta_text(&meta))
}

pub(super) fn info(context: &Context, store: &OsStr) -> Result<(), Failure> {
    let path = context.path(store)?;
    let handle = context
        .reader
        .manager()
        .open_path(&path, Access::ReadOnly)?;
    let meta = handle.info()?;
    let state_hash = handle.state_hash()?;
    let ops = handle.op_count()?;
    let frontier: Vec<_> = handle.frontier()?.iter().map(|head| head.id).collect();
    let forks = handle.forks()?.len();
    let logic = handle.logic_version().to_string();
    let bytes = std::fs::metadata(handle.path())?.len();
    let mut value = meta_json(&meta);
    value.extend([
        ("state_hash".to_owned(), json!(state_hash)),
        ("ops".to_owned(), json!(ops)),
        ("authors".to_owned(), json!(meta.tips.len())),
        ("frontier".to_owned(), json!(frontier)),
        ("forks".to_owned(), json!(forks)),
        ("logic_version".to_owned(), json!(logic)),
        ("bytes".to_owned(), json!(bytes)),
    ]);
    let mut text = meta_text(&meta);
    text.push_str(&format!(
        "\nstate hash      {state_hash}\nops             {ops}\nauthors         {}\n\
         logic version   {logic}\nbytes           {bytes}",
        meta.tips.len()
    ));
    for head in frontier {
        text.push_str(&format!("\nhead            {head}"));
    }
    if forks > 0 {
        text.push_str(&format!(
            "\nforks           {forks} (an author wrote from an old copy)"
        ));
    }
    context.print(&value.into(), &text)
}

pub(super) fn put(context: &Context, put: args::Put) -> Result<(), Failure> {
    let value = match put.value {
        Some(value) => value.into_encoded_bytes(),
        None => read_value()?,
    };
    let key = put.key.into_encoded_bytes();
    let kv = kv(context, &put.store.store, Access::ReadWrite)?;
    let receipt = kv.put(key, value)?;
    close(&kv)?;
    if context.json {
        output::line(&json!({ "op": receipt.op.id, "seq": receipt.op.seq }).to_string())?;
    }
    Ok(())
}

/// The whole of standard input. A terminal is asked for nothing: a forgotten value would look like
/// a program that hangs.
fn read_value() -> Result<Vec<u8>, Failure> {
    if io::stdin().is_terminal() {
        return Err(Failure::usage(
            "no VALUE: give one, or pipe it to standard input",
        ));
    }
    let mut value = Vec::new();
    // One byte more than fits, so that the store says what is wrong.
    let limit = u64::try_from(lattice_backend::MAX_OP_BYTES + 1).expect("16 MiB");
    io::stdin().lock().take(limit).read_to_end(&mut value)?;
    Ok(value)
}

pub(super) fn get(context: &Context, get: &args::Get) -> Result<(), Failure> {
    let key = get.key.as_encoded_bytes();
    let kv = kv(context, &get.store.store, Access::ReadOnly)?;
    let Some(value) = kv.get(key)? else {
        let shown = escape(key);
        return Err(Failure::not_found(format!(
            "store {} has no key {shown}",
            kv.store_id()
        )));
    };
    if context.json {
        let mut object = Map::new();
        json_bytes(&mut object, "key", key);
        json_bytes(&mut object, "value", &value);
        return Ok(output::line(&Value::from(object).to_string())?);
    }
    Ok(output::value(&value)?)
}

pub(super) fn append(context: &Context, append: args::Append) -> Result<(), Failure> {
    let log = log(context, &append.store.store, Access::ReadWrite)?;
    let mut entries = 0;
    if append.text.is_empty() {
        entries = append_lines(&log)?;
    } else {
        let texts: Vec<_> = append
            .text
            .into_iter()
            .map(|text| text.into_encoded_bytes())
            .collect();
        entries += texts.len();
        log.append_many(texts)?;
    }
    close(&log)?;
    if context.json {
        output::line(&json!({ "entries": entries }).to_string())?;
    }
    Ok(())
}

/// Appends each line of standard input, as they come, many in one op; says how many.
fn append_lines(log: &LogStore) -> Result<usize, Failure> {
    if io::stdin().is_terminal() {
        return Err(Failure::usage(
            "no TEXT: give some, or pipe lines to standard input",
        ));
    }
    let mut lines = io::stdin().lock().split(b'\n');
    let mut entries = 0;
    loop {
        let chunk = lines
            .by_ref()
            .take(LINES_PER_OP)
            .collect::<io::Result<Vec<_>>>()?;
        if chunk.is_empty() {
            return Ok(entries);
        }
        entries += chunk.len();
        log.append_many(chunk)?;
    }
}

pub(super) fn tail(context: &Context, tail: &args::Tail) -> Result<(), Failure> {
    let log = log(context, &tail.store.store, Access::ReadOnly)?;
    let snapshot = log.snapshot()?;
    let entries = snapshot.tail(tail.count)?;
    let shown = u64::try_from(entries.len()).expect("what is in memory can be counted");
    let first = snapshot.len()?.saturating_sub(shown);
    for (index, entry) in (first..).zip(entries) {
        let mut object = Map::new();
        object.insert("index".into(), index.into());
        object.insert("time".into(), entry.time_ms().into());
        object.insert("author".into(), json!(entry.author));
        json_bytes(&mut object, "content", &entry.content);
        let text = format!(
            "{}  {:.8}  {}",
            timestamp(entry.time_ms()),
            entry.author,
            escape(&entry.content)
        );
        context.print(&object.into(), &text)?;
    }
    Ok(())
}

/// Milliseconds since the Unix epoch as RFC 3339 text in UTC.
fn timestamp(ms: u64) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_millis(ms);
    humantime::format_rfc3339_millis(time).to_string()
}

fn kv(context: &Context, store: &OsStr, access: Access) -> Result<KvStore, Failure> {
    context.open(store, access, &lattice_kvstore::store_type())
}

fn log(context: &Context, store: &OsStr, access: Access) -> Result<LogStore, Failure> {
    context.open(store, access, &lattice_logstore::store_type())
}

/// Closes a store that was written: an error here is one of the command.
fn close(store: &impl StoreHandle) -> Result<(), Failure> {
    Ok(store.close()?)
}
