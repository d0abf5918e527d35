//! `lattice code gc`: lists the modules that nothing needs, and removes them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use lattice_code::{Garbage, GarbageKind};
use lattice_meta::{Cid, StoreType};
use lattice_wasm::read_manifest;
use serde_json::{Map, json};

use super::code::read_module;
use super::{file_time, timestamp};
use crate::program::bulk::plural;
use crate::program::context::Context;
use crate::program::failure::{Failure, chain};
use crate::program::output::{escape, json_path, styles};
use crate::program::pipes::FileArg;

pub(super) fn gc(context: &mut Context<'_>, yes: bool) -> Result<(), Failure> {
    let now = SystemTime::now();
    let Some(mut roots) = roots(context)? else {
        return Ok(());
    };
    let mut garbage = context.code.garbage(&roots, now)?;
    if garbage.is_empty() {
        context.out.note("nothing to remove");
        return Ok(());
    }
    let code = Arc::clone(&context.code);
    let collector = yes.then(|| code.collector()).transpose()?;
    if collector.is_some() {
        // A store may have recorded a module before the locks were taken.
        let Some(now_recorded) = self::roots(context)? else {
            return Ok(());
        };
        roots = now_recorded;
        garbage = code.garbage(&roots, now)?;
    }
    // The types are read while the files exist.
    let types: Vec<_> = garbage.iter().map(|file| type_of(context, file)).collect();
    if let Some(collector) = &collector {
        collector.collect(&roots, now)?;
    }
    for (file, store_type) in garbage.iter().zip(types) {
        print(context, file, store_type, yes)?;
    }
    // The sum stands after the list, also on a terminal.
    context.out.flush()?;
    let count = u64::try_from(garbage.len()).unwrap_or(u64::MAX);
    let bytes = garbage.iter().map(|file| file.bytes).sum();
    let (files, bytes) = (
        plural(count, ("file", "files")),
        plural(bytes, ("byte", "bytes")),
    );
    context.out.note(&match yes {
        true => format!("removed {files}, {bytes}"),
        false => format!("{files}, {bytes}; `lattice code gc --yes` removes what is listed"),
    });
    Ok(())
}

/// The modules that the stores of the data directory record, and those that new stores and upgrades
/// may need; `None`, with a note, if a store cannot be read.
fn roots(context: &mut Context<'_>) -> Result<Option<BTreeSet<Cid>>, Failure> {
    let manager = context.node.manager();
    let mut roots = context.code.wanted()?;
    let mut notes = Vec::new();
    for listed in manager.list()? {
        let recorded = listed.meta.and_then(|_| manager.peek_logic(&listed.path));
        match recorded.map(|peek| peek.logic) {
            // Other versions are those of native code.
            Ok(logic) => roots.extend(logic.and_then(|logic| logic.parse::<Cid>().ok())),
            Err(error) => notes.push(format!("{}: {}", listed.path.display(), chain(&error))),
        }
    }
    if notes.is_empty() {
        return Ok(Some(roots));
    }
    for unreadable in notes {
        context.out.note(&unreadable);
    }
    context
        .out
        .note("nothing is removed, because a store that cannot be read may need any module");
    Ok(None)
}

/// The type of a module, if its file can be read.
fn type_of(context: &Context<'_>, file: &Garbage) -> Option<StoreType> {
    let GarbageKind::Module(cid) = file.kind else {
        return None;
    };
    let wasm = read_module(context, &FileArg::Path(file.file.clone())).ok()?;
    let manifest = cid.is_of(&wasm).then(|| read_manifest(&wasm).ok())??;
    Some(manifest.store_type)
}

fn print(
    context: &mut Context<'_>,
    garbage: &Garbage,
    store_type: Option<StoreType>,
    removed: bool,
) -> Result<(), Failure> {
    let (kind, cid) = match garbage.kind {
        GarbageKind::Module(cid) => ("module", Some(cid)),
        GarbageKind::Damaged(cid) => ("damaged", Some(cid)),
        _ => ("unfinished", None),
    };
    let ms = file_time(garbage.last_used);
    let mut value = Map::from_iter([
        ("cid".to_owned(), json!(cid.map(|cid| cid.to_string()))),
        ("kind".to_owned(), json!(kind)),
        ("store_type".to_owned(), json!(store_type)),
        ("bytes".to_owned(), json!(garbage.bytes)),
        ("last_used".to_owned(), json!(ms)),
    ]);
    json_path(&mut value, "file", &garbage.file);
    value.insert("removed".into(), removed.into());
    context.out.either(value, |out| {
        let name = match garbage.kind {
            GarbageKind::Module(cid) => cid.to_string(),
            _ => {
                let name = garbage.file.file_name().unwrap_or(garbage.file.as_os_str());
                escape(name.as_encoded_bytes())
            }
        };
        let what = store_type.as_ref().map_or(kind, StoreType::as_str);
        let what = out.paint(styles::TYPE, what);
        let bytes = plural(garbage.bytes, ("byte", "bytes"));
        let used = match u64::try_from(ms) {
            Ok(ms) => timestamp(ms).to_string(),
            Err(_) => "before 1970".to_owned(),
        };
        format!("{name}  {what}, {bytes}, last used {used}")
    })
}
