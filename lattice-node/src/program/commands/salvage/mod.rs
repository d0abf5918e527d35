//! `lattice salvage`: exports what can be read of a damaged store, and marks what is in doubt.
//!
//! If the history is intact, a replay of it says what the state must be: rows that differ, or that
//! only one of both has, are in doubt. If it is not, the rows are believed only if they match the
//! recorded state hash.
//!
//! Of a file that cannot be opened, the ops are searched in its bytes, and replayed.

mod carved;
mod entries;
mod keys;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lattice_meta::StoreId;
use serde_json::{Map, Value, json};

use crate::program::args;
use crate::program::bulk::plural;
use crate::program::context::Context;
use crate::program::failure::{Failure, Kind, chain};
use crate::program::output::json_text;
use crate::program::pipes::{FileArg, Sink, Target};
use crate::{Access, Depth, KvStore, LogStore, Node, StoreHandle};

/// What a row is marked with.
mod doubt {
    pub(super) const DIFFERS: &str =
        "the stored value differs from the history, which this is from";
    pub(super) const ONLY_HISTORY: &str = "it is in the history only";
    pub(super) const UNREADABLE: &str = "the stored row cannot be read; this is from the history";
    pub(super) const NOT_HISTORY: &str = "it is not in the history";
    pub(super) const CARVED: &str = "it is from the ops that were found in a file that cannot be opened; later ones can be missing";
    pub(super) const UNPROVEN: &str = "the history is damaged, and the state hash does not match";
}

/// What can be read of a store.
struct Sources {
    store_id: StoreId,
    /// The state as its history determines it, if the history is intact.
    replay: Option<Arc<dyn StoreHandle>>,
    /// The state as it is stored, if it can be opened.
    stored: Option<Arc<dyn StoreHandle>>,
    /// What is wrong with the history.
    history: Option<String>,
    /// Whether the file cannot be opened, and the ops were searched in its bytes.
    is_carved: bool,
    /// What is known to be missing.
    missing: Vec<String>,
    /// Why a row is in doubt that nothing but the file says.
    alone: Option<&'static str>,
}

impl Sources {
    /// The doubt of a row of the replay if nothing that is stored can be read.
    fn unstored(&self) -> &'static str {
        match self.is_carved {
            true => doubt::CARVED,
            false => doubt::ONLY_HISTORY,
        }
    }
}

/// What only a damaged journal had.
const LOST: &str = "the newest writes, which only the damaged or missing journal had";

/// What was written.
#[derive(Debug, Default)]
struct Salvaged {
    rows: u64,
    in_doubt: u64,
    missing: Vec<String>,
}

pub(super) fn salvage(context: &mut Context<'_>, args: &args::Salvage) -> Result<(), Failure> {
    let stdout = FileArg::Stdio;
    let target = Target {
        file: args.file.as_ref().unwrap_or(&stdout),
        mode: args.mode,
    };
    target.check_mode()?;
    let path = place(context, args)?;
    if args.ops {
        return carved::write_ops(context, &path, target);
    }
    let scratch = tempfile::tempdir()
        .map_err(|error| Failure::from(error).within("cannot make a temporary directory"))?;
    let opened = open(context, &path, &scratch.path().join("state.db"));
    let sources = match opened {
        Err(failure) if failure.is_damage() || failure.kind() == Kind::NotAStore => {
            carved::open(context, &path, &scratch.path().join("carved"), failure)?
        }
        opened => opened?,
    };
    let (salvaged, bytes) = target.write(context, |sink| write(&sources, sink))?;
    let name = target.name();
    let summary = json!({
        "store_id": sources.store_id,
        "file": name,
        "rows": salvaged.rows,
        "in_doubt": salvaged.in_doubt,
        "missing": salvaged.missing,
        "history": sources.history,
        "bytes": bytes,
    });
    let rows = plural(salvaged.rows, ("row", "rows"));
    let text = format!("salvaged {rows}, {} of them in doubt", salvaged.in_doubt);
    let is_json = context.out.is_json();
    target.summarise(context, &summary, &text)?;
    if !is_json {
        for missing in &salvaged.missing {
            context.out.note(&format!("missing: {missing}"));
        }
        if let Some(history) = &sources.history {
            let what = match sources.is_carved {
                true => "the file cannot be opened",
                false => "the history cannot be replayed",
            };
            context.out.note(&format!("{what}: {history}"));
        }
    }
    if sources.is_carved {
        return Err(Failure::damaged(
            "the store's file cannot be opened; `lattice restore FILE` restores a copy, and without one \
             `lattice salvage STORE BUNDLE --ops` writes the ops that were found in it, which make a store \
             with the same id",
        ));
    }
    let is_whole = salvaged.in_doubt == 0 && salvaged.missing.is_empty();
    match is_whole && sources.history.is_none() {
        true => Ok(()),
        false => Err(Failure::damaged(
            "the store is damaged; rows whose `doubt` is null are intact, and `lattice import` takes the \
             rows into a new store",
        )),
    }
}

/// The store's path, or that of a file that has no slash in its name.
fn place(context: &Context<'_>, args: &args::Salvage) -> Result<PathBuf, Failure> {
    let store = &args.store.store;
    match context.path(store) {
        Err(_) if Path::new(store).is_file() => Ok(PathBuf::from(store)),
        path => path,
    }
}

fn open(context: &Context<'_>, path: &Path, scratch: &Path) -> Result<Sources, Failure> {
    let lacks_journal = context.node.manager().has_journal_fault(path);
    let reader = Node::builder(&context.data_dir)
        .registry(context.registry().clone())
        .open_salvager()?;
    let manager = match lacks_journal {
        true => reader.manager(),
        false => context.node.manager(),
    };
    let store_id = manager.peek_path(path)?.store_id;
    let stored = manager.open_path(path, Access::ReadOnly);
    let replayed = manager.replay_to(path, scratch);
    let history = replayed.as_ref().err().map(|error| chain(error));
    let replay = match replayed {
        // One manager opens a store from one file only.
        Ok(()) => Some(
            Node::builder(scratch.with_file_name("none"))
                .registry(context.registry().clone())
                .open_reader()?
                .manager()
                .open_path(scratch, Access::ReadOnly)?,
        ),
        Err(_) => None,
    };
    let alone = match (&replay, manager.verify_path(path, Depth::Quick)) {
        (Some(_), _) => Some(doubt::NOT_HISTORY),
        (None, Ok(verified)) if verified.is_ok() => None,
        (None, _) => Some(doubt::UNPROVEN),
    };
    let stored = match (stored, &replay) {
        (Ok(stored), _) => Some(stored),
        (Err(_), Some(_)) => None,
        (Err(error), None) => return Err(error.into()),
    };
    Ok(Sources {
        store_id,
        replay,
        stored,
        history,
        alone,
        is_carved: false,
        missing: Vec::from_iter(lacks_journal.then(|| LOST.to_owned())),
    })
}

fn write(sources: &Sources, sink: &mut Sink<'_>) -> Result<Salvaged, Failure> {
    let any = sources.replay.as_ref().or(sources.stored.as_ref());
    let any = any.expect("one of both was opened");
    let mut rows = Rows {
        sink,
        salvaged: Salvaged {
            missing: sources.missing.clone(),
            ..Salvaged::default()
        },
    };
    if any.downcast_ref::<KvStore>().is_some() {
        keys::write(sources, &mut rows)?;
    } else if any.downcast_ref::<LogStore>().is_some() {
        entries::write(sources, &mut rows)?;
    } else {
        let command = match sources.is_carved {
            true => "`lattice salvage STORE BUNDLE --ops` writes the ops that were found in it",
            false => "`lattice bundle create STORE FILE` writes its history",
        };
        return Err(Failure::usage(format!(
            "store {} is of type {}, and `salvage` is for core:kvstore and core:logstore stores; \
             {command}",
            sources.store_id,
            any.store_type()
        )));
    }
    Ok(rows.salvaged)
}

/// Writes rows as JSON Lines that `import` reads.
struct Rows<'a, 'b> {
    sink: &'a mut Sink<'b>,
    salvaged: Salvaged,
}

impl Rows<'_, '_> {
    fn row(&mut self, mut row: Map<String, Value>, doubt: Option<&str>) -> Result<(), Failure> {
        row.insert("doubt".into(), json!(doubt));
        self.salvaged.rows += 1;
        self.salvaged.in_doubt += u64::from(doubt.is_some());
        let line = json_text(&row.into());
        let written = writeln!(self.sink, "{line}");
        written.map_err(|error| self.sink.failed(error))
    }

    fn missing(&mut self, what: String) {
        self.salvaged.missing.push(what);
    }
}

/// The handle of a type, if it is one.
fn typed<T: StoreHandle + Clone>(handle: Option<&Arc<dyn StoreHandle>>) -> Option<T> {
    handle?.downcast_ref::<T>().cloned()
}
