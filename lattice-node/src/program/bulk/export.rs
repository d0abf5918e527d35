//! Exports all rows of a store as JSON Lines.

use lattice_logstore::Selection;
use serde_json::{Map, json};

use super::plural;
use crate::program::args;
use crate::program::context::Context;
use crate::program::failure::Failure;
use crate::program::output::json_bytes;
use crate::program::progress::Counts;
use crate::{Access, KvStore, LogStore};

pub(in crate::program) fn export(
    context: &mut Context<'_>,
    args: &args::Export,
) -> Result<(), Failure> {
    let path = context.path(&args.store.store)?;
    context.note_read(&args.store.store, &path);
    let store = context.node.manager().open_path(path, Access::ReadOnly)?;
    if let Some(kv) = store.downcast_ref::<KvStore>() {
        return export_keys(context, kv);
    }
    if let Some(log) = store.downcast_ref::<LogStore>() {
        return export_entries(context, log);
    }
    Err(Failure::usage(format!(
        "store {} is of type {}, and `export` is for core:kvstore and core:logstore stores; use \
         `describe` and `call`",
        store.store_id(),
        store.store_type()
    )))
}

/// Shows progress, unless the export itself goes to a terminal.
fn begin(context: &Context<'_>, (one, many): (&'static str, &'static str), total: u64) {
    if !context.out.is_terminal() {
        let counts = Counts::Things(one, many);
        context.progress.begin("exporting", counts, Some(total));
    }
}

fn export_keys(context: &mut Context<'_>, kv: &KvStore) -> Result<(), Failure> {
    let snapshot = kv.snapshot()?;
    begin(context, ("key", "keys"), snapshot.count()?);
    for (nth, row) in (1..).zip(snapshot.iter()) {
        let (key, value) = row?;
        context.progress.set(nth);
        let mut object = Map::new();
        json_bytes(&mut object, "key", &key);
        json_bytes(&mut object, "value", &value);
        context.out.json(&object.into())?;
    }
    let mut conflicted = 0;
    for key in snapshot.conflicted_keys() {
        key?;
        conflicted += 1;
    }
    if conflicted > 0 {
        let keys = plural(conflicted, ("key", "keys"));
        context.out.note(&format!(
            "{keys} in conflict: only the current value is exported; `lattice conflicts` shows all"
        ));
    }
    Ok(())
}

fn export_entries(context: &mut Context<'_>, log: &LogStore) -> Result<(), Failure> {
    begin(context, ("entry", "entries"), log.len()?);
    for (index, entry) in (0_u64..).zip(log.read(Selection::all())?) {
        let entry = entry?;
        context.progress.set(index + 1);
        let mut object = Map::new();
        object.insert("entry".into(), index.into());
        object.insert("time".into(), entry.time_ms().into());
        object.insert("author".into(), json!(entry.author));
        json_bytes(&mut object, "content", &entry.content);
        context.out.json(&object.into())?;
    }
    Ok(())
}
