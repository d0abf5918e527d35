//! `lattice metrics`: numbers of stores, for programs that watch them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use lattice_backend::op::ApplyIndex;
use lattice_meta::{StoreId, StoreType};
use serde_json::{Map, Value, json};

use crate::program::args::Metrics;
use crate::program::context::Context;
use crate::program::failure::Failure;
use crate::program::output::json_path;
use crate::{Alias, Aliases};

/// A number of a store: its name, and what it is.
const NUMBERS: [(&str, &str); 8] = [
    ("ops", "Ops applied."),
    ("authors", "Authors with applied ops."),
    ("forks", "Pairs of ops with one author and one number."),
    ("held", "Ops that are stored and not applied."),
    ("bytes", "Length of the file."),
    (
        "last_op_ms",
        "Time of the op that was applied last, in milliseconds since 1970.",
    ),
    (
        "verified",
        "1 if this data directory vouches for the store.",
    ),
    ("copy", "1 if the store is an unconfirmed copy."),
];

/// A store and its numbers, in the order of [`NUMBERS`].
struct Measured {
    store_id: StoreId,
    store_type: StoreType,
    alias: Option<Alias>,
    numbers: [u64; 8],
}

/// A store that cannot be read.
struct Failed {
    path: PathBuf,
    failure: Failure,
}

pub(super) fn metrics(context: &mut Context<'_>, args: &Metrics) -> Result<(), Failure> {
    let Some(store) = &args.store else {
        return all(context);
    };
    let path = context.path(store)?;
    let aliases = context.aliases();
    let measured = measure(context, &path, &aliases)?;
    show(context, &[measured], &[])
}

/// Measures all stores; one that cannot be read is reported, and the others still are.
fn all(context: &mut Context<'_>) -> Result<(), Failure> {
    let (mut measured, mut failed) = (Vec::new(), Vec::new());
    let all = context.node.manager().list()?;
    let aliases = context.aliases();
    for listed in all {
        let path = listed.path;
        match measure(context, &path, &aliases) {
            Ok(one) => measured.push(one),
            Err(failure) => {
                let name = path.file_name().unwrap_or(OsStr::new("")).to_owned();
                let failure = context.complete(failure, &name);
                failed.push(Failed { path, failure });
            }
        }
    }
    show(context, &measured, &failed)
}

fn measure(context: &Context<'_>, path: &Path, aliases: &Aliases) -> Result<Measured, Failure> {
    let manager = context.node.manager();
    let handle = manager.open_history(path)?;
    let meta = handle.info()?;
    let ops = handle.op_count()?;
    let last = match ops.checked_sub(1) {
        Some(last) => handle.op_at(ApplyIndex::new(last))?,
        None => None,
    };
    let file = handle.path();
    let bytes = std::fs::metadata(file)
        .map_err(|error| Failure::from(error).within(&file.display().to_string()))?
        .len();
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let numbers = [
        ops,
        count(meta.tips.len()),
        count(handle.forks()?.len()),
        super::held::held_ops(&*handle)?.0,
        bytes,
        last.map_or(0, |op| op.hlc().ms()),
        u64::from(manager.is_known(path)?),
        u64::from(handle.is_unconfirmed_copy()?),
    ];
    handle.close()?;
    Ok(Measured {
        store_id: meta.store_id,
        store_type: meta.store_type,
        alias: aliases.alias_of(meta.store_id).cloned(),
        numbers,
    })
}

/// Prints JSON, or the text that Prometheus reads.
fn show(
    context: &mut Context<'_>,
    measured: &[Measured],
    failed: &[Failed],
) -> Result<(), Failure> {
    if context.out.is_json() {
        for one in measured {
            context.out.json(&object(one).into())?;
        }
        for one in failed {
            let mut object = Map::new();
            json_path(&mut object, "path", &one.path);
            object.insert("error".into(), one.failure.to_json());
            context.out.json(&object.into())?;
        }
        return Ok(());
    }
    heading(context, "up", "1 if the store can be read.")?;
    for one in measured {
        context
            .out
            .line(&format!("lattice_store_up{{{}}} 1", labels(one)))?;
    }
    for one in failed {
        let name = one.path.file_name().unwrap_or(one.path.as_os_str());
        let name = label("store", &name.display().to_string());
        context.out.line(&format!("lattice_store_up{{{name}}} 0"))?;
        context
            .out
            .note(&format!("lattice: {}", one.failure.message()));
    }
    for (nth, (name, help)) in NUMBERS.iter().enumerate() {
        if measured.is_empty() {
            break;
        }
        heading(context, name, help)?;
        for one in measured {
            let line = format!(
                "lattice_store_{name}{{{}}} {}",
                labels(one),
                one.numbers[nth]
            );
            context.out.line(&line)?;
        }
    }
    Ok(())
}

fn heading(context: &mut Context<'_>, name: &str, help: &str) -> Result<(), Failure> {
    context
        .out
        .line(&format!("# HELP lattice_store_{name} {help}"))?;
    context
        .out
        .line(&format!("# TYPE lattice_store_{name} gauge"))
}

fn object(one: &Measured) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("store_id".into(), json!(one.store_id));
    object.insert("store_type".into(), json!(one.store_type));
    object.insert("alias".into(), json!(one.alias));
    for ((name, _), number) in NUMBERS.iter().zip(one.numbers) {
        // Facts, which the text has as numbers.
        let value = match ["verified", "copy"].contains(name) {
            true => json!(number == 1),
            false => json!(number),
        };
        object.insert((*name).to_owned(), value);
    }
    object
}

fn labels(one: &Measured) -> String {
    let mut all = vec![
        label("store", &one.store_id.to_string()),
        label("type", one.store_type.as_str()),
    ];
    all.extend(one.alias.iter().map(|alias| label("alias", alias.as_str())));
    all.join(",")
}

/// A label, with the escapes of the format.
fn label(name: &str, value: &str) -> String {
    let value = crate::program::output::escape_text(value);
    let value = value.replace('\\', r"\\").replace('"', r#"\""#);
    format!("{name}=\"{value}\"")
}
