//! `lattice code`: modules, and trust in them and in their publishers.

pub(super) mod proposal;
mod prove;
mod publish;
mod trust;
mod why;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use lattice_backend::machine::manifest::Manifest;
use lattice_code::{Because, LibraryError, Located, Place};
use lattice_meta::{Cid, StoreId, StoreType};
use lattice_wasm::{abi, read_manifest};
use serde_json::json;

use super::dynamic::{description, method_json};
use super::garbage::gc;
use crate::program::args::CodeCommand;
use crate::program::bulk::plural;
use crate::program::context::Context;
use crate::program::failure::{Failure, chain};
use crate::program::output::{escape_text, styles};
use crate::program::pipes::FileArg;

pub(super) fn code(context: &mut Context<'_>, command: CodeCommand) -> Result<(), Failure> {
    match command {
        CodeCommand::Add { file } => add(context, &file),
        CodeCommand::List => list(context),
        CodeCommand::Show { what } => show(context, &what),
        CodeCommand::Remove { what } => remove(context, &what),
        CodeCommand::Gc { yes } => gc(context, yes),
        CodeCommand::Prove { store, by } => prove::prove(context, &store.store, &by),
        CodeCommand::Why { store } => why::why(context, &store.store),
        CodeCommand::Publish(args) => publish::publish(context, &args),
        CodeCommand::Withdraw {
            what,
            registry,
            reason,
            writing,
        } => {
            context.allow(writing);
            publish::withdraw(context, &what, &registry, &reason)
        }
        CodeCommand::Trust(args) => trust::trust(context, &args),
        CodeCommand::Untrust { store_type } => trust::untrust(context, &store_type),
        CodeCommand::Pin { store_type, what } => trust::pin(context, &store_type, &what),
        CodeCommand::Unpin { store_type } => trust::unpin(context, &store_type),
    }
}

pub(super) use why::{newer_json, newer_line};

/// Notes that a new store uses the release of a trusted publisher, so that no older one is chosen
/// for its type.
pub(super) fn note_use(context: &Context<'_>, store_id: StoreId) -> Result<(), Failure> {
    let path = context.node.manager().store_path(store_id);
    let peek = context.node.manager().peek_logic(path)?;
    match peek.logic.and_then(|logic| logic.parse::<Cid>().ok()) {
        Some(cid) => Ok(context.code.used(&cid, &peek.meta.store_type)?),
        None => Ok(()),
    }
}

/// Reads a module, at most one byte beyond the limit.
pub(super) fn read_module(context: &Context<'_>, file: &FileArg) -> Result<Vec<u8>, Failure> {
    let opened = file.open(context, "module")?;
    let wasm = opened.read_at_most(abi::MAX_CODE_BYTES + 1)?;
    match wasm.len() > abi::MAX_CODE_BYTES {
        true => Err(Failure::failed(format!(
            "{file} is longer than {} bytes, the limit of a module; build it with optimisation and \
             without debug information, as `cargo build --release` does",
            abi::MAX_CODE_BYTES
        ))),
        false => Ok(wasm),
    }
}

fn add(context: &mut Context<'_>, file: &FileArg) -> Result<(), Failure> {
    let wasm = read_module(context, file)?;
    // A rejected module must not create a data directory.
    let name = file.to_string();
    context.code.check(&wasm, &name)?;
    context.node.become_writer()?;
    let (code, is_new) = context.code.add(&wasm, &name)?;
    let manifest = code.manifest();
    let value = json!({
        "cid": code.cid().to_string(),
        "store_type": code.store_type(),
        "schema_version": manifest.schemas.end(),
        "method_count": manifest.methods.len(),
        "bytes": code.bytes(),
        "added": is_new,
    });
    if context.out.is_json() {
        return context.out.json(&value);
    }
    let note = match is_new {
        true => format!(
            "added code for {}, {}",
            code.store_type(),
            plural(
                u64::try_from(code.bytes()).unwrap_or(u64::MAX),
                ("byte", "bytes")
            )
        ),
        false => format!("code for {} was already added", code.store_type()),
    };
    context.out.note(&note);
    context.out.either(value, |_| code.cid().to_string())
}

/// A module that the user named. Its manifest was read; nothing is compiled.
struct Named {
    cid: Cid,
    wasm: Vec<u8>,
    manifest: Manifest,
    /// The location, for display.
    place: String,
    file: PathBuf,
}

/// The module with a content id, or in a file. It need not be trusted. Reads its bytes once: the
/// input may be a pipe, and a file may change.
fn named(context: &Context<'_>, name: &OsStr) -> Result<Named, Failure> {
    let cid = name.to_str().and_then(|text| text.parse::<Cid>().ok());
    let (wasm, place, file) = match cid {
        Some(cid) => {
            let found = context.code.find(&cid)?;
            let Located { wasm, place } = found.ok_or_else(|| missing(context, &cid))?;
            (wasm, place.to_string(), place.file().to_path_buf())
        }
        None => {
            let file = FileArg::from(name.to_owned());
            let wasm = read_module(context, &file)?;
            (wasm, file.to_string(), PathBuf::from(name))
        }
    };
    let manifest = read_manifest(&wasm).map_err(|source| LibraryError::Refused {
        name: name.display().to_string(),
        source,
    })?;
    Ok(Named {
        cid: Cid::of(&wasm),
        wasm,
        manifest,
        place,
        file,
    })
}

/// How `list` and `info` say whether a module may run.
fn trust_text(because: Option<&Because>) -> String {
    match because {
        Some(because @ (Because::Published { .. } | Because::Pinned)) => {
            format!("trusted: {because}")
        }
        Some(_) => "trusted".to_owned(),
        None => "not trusted".to_owned(),
    }
}

fn missing(context: &Context<'_>, cid: &Cid) -> Failure {
    let places = context.code.sources().join(", ");
    Failure::not_found(format!("no code {cid}; looked in {places}"))
}

/// The stores of the data directory that record a logic version.
fn users(context: &Context<'_>, logic: &str) -> Result<Vec<StoreId>, Failure> {
    let manager = context.node.manager();
    let listed = manager.list()?;
    let paths = listed.iter().filter(|listed| listed.meta.is_ok());
    let mut users = Vec::new();
    for listed in paths {
        // A store that has become unreadable does not count.
        if let Ok(found) = manager.find(&listed.path, crate::Access::ReadOnly)
            && found.recorded().logic == Some(logic)
        {
            users.push(found.meta().store_id);
        }
    }
    Ok(users)
}

fn remove(context: &mut Context<'_>, what: &OsStr) -> Result<(), Failure> {
    // The trust list can contain a module whose file is gone.
    let cid = match what.to_str().and_then(|text| text.parse::<Cid>().ok()) {
        Some(cid) => cid,
        None => Cid::of(&read_module(context, &what.to_owned().into())?),
    };
    let stores = users(context, &cid.to_string())?;
    let was_trusted = context.code.remove(&cid)?;
    let value = json!({
        "cid": cid.to_string(),
        "removed": was_trusted,
        "stores": stores,
    });
    if !context.out.is_json() {
        let count = u64::try_from(stores.len()).unwrap_or(u64::MAX);
        let stores = match count {
            0 => String::new(),
            _ => format!("; used by {}", plural(count, ("store", "stores"))),
        };
        let note = match was_trusted {
            true => format!("removed the module{stores}"),
            false => format!("the module was not trusted{stores}"),
        };
        context.out.note(&note);
    }
    context.out.either(value, |_| cid.to_string())
}

fn list(context: &mut Context<'_>) -> Result<(), Failure> {
    let trusted = context.code.trusted()?;
    let mut cids = context.code.cached()?;
    cids.extend(trusted.iter());
    cids.sort_unstable();
    cids.dedup();
    for cid in &cids {
        let located = context.code.find(cid)?;
        // Another program may have added a module that this one cannot read.
        let manifest = located.as_ref().map(|located| read_manifest(&located.wasm));
        let (manifest, error) = match manifest {
            Some(Ok(manifest)) => (Some(manifest), None),
            Some(Err(error)) => (None, Some(error.to_string())),
            None => (None, None),
        };
        let found = located.as_ref().map(|located| located.place.to_string());
        let stores = users(context, &cid.to_string())?;
        let because = context.code.why_trusted(cid)?;
        let is_trusted = because.is_some();
        let store_type = manifest.as_ref().map(|manifest| &manifest.store_type);
        let value = json!({
            "cid": cid.to_string(),
            "store_type": store_type,
            "schema_version": manifest.as_ref().map(|manifest| manifest.schemas.end()),
            "bytes": located.as_ref().map(|located| located.wasm.len()),
            "trusted": is_trusted,
            "code": found,
            "reason": error,
            "stores": stores,
        });
        context.out.either(value, |out| {
            let name = store_type.map_or("-", StoreType::as_str);
            let name = out.paint(styles::TYPE, &format!("{name:<20}"));
            let trust = trust_text(because.as_ref());
            let place = match (&found, &error) {
                (Some(_), Some(error)) => format!(", {}", escape_text(error)),
                (Some(_), None) => String::new(),
                (None, _) => ", missing".to_owned(),
            };
            let count = stores.len();
            format!("{cid}  {name}  {trust}{place}, used by {count}")
        })?;
    }
    if cids.is_empty() {
        let note = "no code has been added; `lattice code add FILE` adds a module";
        context.out.note(note);
    }
    Ok(())
}

fn show(context: &mut Context<'_>, what: &OsStr) -> Result<(), Failure> {
    let as_type = what.to_str().filter(|text| !Path::new(text).exists());
    let as_type = as_type.and_then(|text| text.parse::<StoreType>().ok());
    let (code, place) = match as_type {
        Some(store_type) => {
            let code = context.code.of_type(&store_type)?.into_iter().next().ok_or_else(|| {
                Failure::not_found(format!(
                    "no code has been added for {store_type}; `lattice code add FILE` adds a module"
                ))
            })?;
            let cid = code.cid();
            let located = context.code.find(&cid)?;
            let located = located.ok_or_else(|| missing(context, &cid))?;
            (code, located.place.to_string())
        }
        None => {
            let named = named(context, what)?;
            (context.code.check(&named.wasm, &named.place)?, named.place)
        }
    };
    let (manifest, cid) = (code.manifest(), code.cid());
    let is_trusted = context.code.is_trusted(&cid)?;
    let (first, last) = (manifest.schemas.start(), manifest.schemas.end());
    let value = json!({
        "cid": cid.to_string(),
        "store_type": manifest.store_type,
        "first_schema": first,
        "schema_version": last,
        "bytes": code.bytes(),
        "trusted": is_trusted,
        "code": place,
        "converts": manifest.converts,
        "methods": manifest.methods.iter().map(method_json).collect::<Vec<_>>(),
    });
    context.out.either(value, |out| {
        let line = |name: &str, value: String| {
            format!(
                "{}{value}",
                out.paint(styles::FAINT, &format!("{name:<16}"))
            )
        };
        let mut lines = vec![
            line("code", cid.to_string()),
            line("store type", manifest.store_type.to_string()),
            line("schema version", last.to_string()),
            line("bytes", code.bytes().to_string()),
            line("found in", place),
            line(
                "trusted",
                match is_trusted {
                    true => "yes".into(),
                    false => {
                        let step = "no; `lattice code add FILE` trusts it";
                        out.hints().complete(step)
                    }
                },
            ),
        ];
        for from in &manifest.converts {
            lines.push(line("converts", from.to_string()));
        }
        lines.push(description(out, &manifest.store_type, &manifest.methods));
        lines.join("\n")
    })
}

/// The types of added modules, in the format of `types`.
pub(super) fn types(context: &mut Context<'_>) -> Result<(), Failure> {
    let trusted = context.code.trusted()?;
    for cid in trusted.iter() {
        let Some(located) = context.code.find(cid)? else {
            continue;
        };
        // A list needs no compilation.
        let manifest = read_manifest(&located.wasm);
        let manifest = manifest.map_err(|source| LibraryError::Refused {
            name: cid.to_string(),
            source,
        })?;
        let store_type = &manifest.store_type;
        let place = place_of(context, &cid.to_string());
        let value = json!({
            "store_type": store_type,
            "schema_version": manifest.schemas.end(),
            "logic_version": cid.to_string(),
            "method_count": manifest.methods.len(),
            "code": place,
        });
        context.out.either(value, |out| {
            let name = out.paint(styles::TYPE, &format!("{:<20}", store_type.as_str()));
            let place = place.map_or_else(String::new, |place| format!(", {place}"));
            format!(
                "{name}  schema {}  logic {cid}{place}",
                manifest.schemas.end()
            )
        })?;
    }
    Ok(())
}

/// The location of a logic version's module, and whether it is trusted; `None` for native code.
pub(super) fn place_of(context: &Context<'_>, logic: &str) -> Option<String> {
    let cid: Cid = logic.parse().ok()?;
    let trust = match context.code.why_trusted(&cid) {
        Ok(because) => trust_text(because.as_ref()),
        Err(error) => format!("trust unknown: {}", chain(&error)),
    };
    match context.code.find(&cid) {
        Ok(Some(Located { place, .. })) => Some(match place {
            Place::Cache(_) => format!("in the cache, {trust}"),
            place => format!("in {place}, {trust}"),
        }),
        Ok(None) => Some(format!("missing, {trust}")),
        Err(error) => Some(format!("not found: {}; {trust}", chain(&error))),
    }
}
