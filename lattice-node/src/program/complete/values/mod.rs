//! The values that can stand at the cursor.

use std::ffi::{OsStr, OsString};
use std::fs;

use clap::Arg;
use lattice_backend::backend::BackendError;
use lattice_backend::machine::{Method, ValueType};
use lattice_meta::{StoreId, StoreType};

use super::place::Place;
use super::{Answer, Files};
use crate::program::context::{COMMANDS, Context};
use crate::program::failure::Failure;
use crate::program::pipes::FileArg;
use crate::program::topics::TOPICS;
use crate::{Access, Alias, KvStore};

/// The most keys or stores that are offered, and one more.
const MOST: usize = 100;
/// Of more stores the types are not read.
const MOST_READ: usize = 64;
/// Adds the values of an argument that begin with `current`.
pub(super) fn add(
    context: &Context<'_>,
    place: &Place<'_>,
    arg: &Arg,
    current: &str,
    answer: &mut Answer,
) -> Result<(), Failure> {
    let possible = arg.get_possible_values();
    if !possible.is_empty() && arg.get_action().takes_values() {
        for value in possible.iter().filter(|value| !value.is_hide_set()) {
            answer.add(current, value.get_name(), &first_line(value.get_help()));
        }
        return Ok(());
    }
    let kind = arg.get_value_parser().type_id();
    let is = |of: std::any::TypeId| kind == of;
    let name = arg.get_value_names().and_then(|names| names.first());
    let name = name.map_or("", |name| name.as_str());
    if is(std::any::TypeId::of::<FileArg>()) {
        answer.files = Files::All;
        answer.add(current, "-", "standard input or output");
    } else if is(std::any::TypeId::of::<std::path::PathBuf>()) {
        answer.files = match name {
            "DIR" => Files::Dirs,
            _ => Files::All,
        };
    } else if is(std::any::TypeId::of::<Alias>()) && place.path == ["alias", "remove"] {
        let aliases = crate::Aliases::load(&context.data_dir)?;
        for (alias, id) in aliases.iter() {
            answer.add(current, alias.as_str(), &id.to_string());
        }
    } else {
        match (name, place.path[..].first().copied().unwrap_or("")) {
            ("STORE", command) => {
                let typed = COMMANDS
                    .iter()
                    .find(|(_, commands)| commands.contains(&command));
                add_stores(context, typed.map(|(name, _)| *name), current, answer)?;
            }
            ("STORE|TYPE", _) => {
                add_types(context, current, answer);
                add_stores(context, None, current, answer)?;
            }
            ("PEER" | "PEER/STORE", _) => {
                answer.files = Files::Dirs;
                for start in ["ssh://", "unix:"] {
                    answer.add(current, start, "a peer elsewhere");
                }
            }
            ("TOPIC", _) => add_topics(place, current, answer),
            ("TYPE", _) => add_types(context, current, answer),
            ("METHOD", _) => add_methods(context, place, current, answer)?,
            ("NAME=VALUE", _) => add_arguments(context, place, current, answer)?,
            ("KEY" | "BYTES" | "KEY|TIME", command) if !["code", "bundle"].contains(&command) => {
                add_keys(context, place, "", current, answer)?;
            }
            ("CODE" | "CID|FILE" | "CID|FILE|TYPE" | "CID|FILE|native", _) => {
                answer.files = Files::All;
                if name != "CID|FILE" {
                    answer.add(current, "native", "the program's own code");
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The first line of a help text.
pub(super) fn first_line(help: Option<&clap::builder::StyledStr>) -> String {
    let text = help.map_or_else(String::new, ToString::to_string);
    text.lines().next().unwrap_or("").to_owned()
}

/// The aliases of stores, and the ids of stores without one. A store that has an alias is found by
/// its id when the id has begun.
fn add_stores(
    context: &Context<'_>,
    store_type: Option<&str>,
    current: &str,
    answer: &mut Answer,
) -> Result<(), Failure> {
    if current.contains('/') {
        answer.files = Files::All;
        return Ok(());
    }
    let manager = context.node.manager();
    let entries =
        fs::read_dir(manager.stores_dir()).map_or_else(|_| Vec::new(), |all| all.collect());
    let names = entries.into_iter().flatten().map(|entry| entry.file_name());
    let mut ids: Vec<StoreId> = names
        .filter_map(|name| name.to_str()?.parse().ok())
        .collect();
    ids.sort();
    let are_read = ids.len() <= MOST_READ;
    let type_of = |id: StoreId| match are_read {
        true => manager.peek(id).ok().map(|meta| meta.store_type),
        false => None,
    };
    let fits = |found: &Option<StoreType>| match (store_type, found) {
        (Some(wanted), Some(found)) => found.as_str() == wanted,
        _ => true,
    };
    let aliases = crate::Aliases::load(manager.dir())?;
    let begun = |alias: &Alias| alias.as_str().starts_with(current);
    let named: Vec<_> = aliases.iter().filter(|(alias, _)| begun(alias)).collect();
    for (alias, id) in ends(named.into_iter()) {
        let found = type_of(id);
        if fits(&found) {
            let help = found.map_or_else(|| id.to_string(), |found| found.to_string());
            answer.add(current, alias.as_str(), &help);
        }
    }
    let begun = ids.into_iter().filter(|id| {
        let is_unnamed = current.is_empty() && aliases.alias_of(*id).is_none();
        is_unnamed || !current.is_empty() && id.to_string().starts_with(current)
    });
    for id in ends(begun) {
        let found = type_of(id);
        if fits(&found) {
            answer.add(
                current,
                &id.to_string(),
                &found.map_or_else(String::new, |found| found.to_string()),
            );
        }
    }
    Ok(())
}

/// The topics of the help, and the commands of the words so far.
fn add_topics(place: &Place<'_>, current: &str, answer: &mut Answer) {
    let mut command = place.root;
    for word in place.values("words") {
        match word.to_str().and_then(|word| command.find_subcommand(word)) {
            Some(part) => command = part,
            None => return,
        }
    }
    for part in command.get_subcommands().filter(|part| !part.is_hide_set()) {
        answer.add(current, part.get_name(), &first_line(part.get_about()));
    }
    if place.values("words").next().is_none() {
        for topic in TOPICS {
            answer.add(current, topic.name, topic.title());
        }
    }
}

fn add_types(context: &Context<'_>, current: &str, answer: &mut Answer) {
    for store_type in context.registry().types() {
        answer.add(current, store_type.as_str(), "");
    }
    #[cfg(feature = "wasm")]
    for cid in context.code.trusted().iter().flat_map(|all| all.iter()) {
        let Ok(Some(located)) = context.code.find(cid) else {
            continue;
        };
        if let Ok(manifest) = lattice_wasm::read_manifest(&located.wasm) {
            answer.add(current, manifest.store_type.as_str(), "a module");
        }
    }
}

/// The store that the command line names.
fn store<'p>(place: &'p Place<'_>) -> Option<&'p OsStr> {
    place.values("store").next()
}

fn methods(context: &Context<'_>, store: &OsStr) -> Result<Vec<Method>, Failure> {
    let path = context.path(store)?;
    let found = context.node.manager().find(path, Access::ReadOnly)?;
    Ok(context
        .registry()
        .resolve(found.recorded())?
        .methods()
        .to_vec())
}

fn add_methods(
    context: &Context<'_>,
    place: &Place<'_>,
    current: &str,
    answer: &mut Answer,
) -> Result<(), Failure> {
    let Some(store) = store(place) else {
        return Ok(());
    };
    for method in methods(context, store)? {
        answer.add(current, &method.name, &method.doc);
    }
    Ok(())
}

/// `NAME=` for texts and bytes, `NAME:=` for other values, and their values where they are known.
fn add_arguments(
    context: &Context<'_>,
    place: &Place<'_>,
    current: &str,
    answer: &mut Answer,
) -> Result<(), Failure> {
    let (Some(store), Some(method)) = (store(place), place.values("method").next()) else {
        return Ok(());
    };
    let methods = methods(context, store)?;
    let Some(method) = methods.iter().find(|one| OsStr::new(&*one.name) == method) else {
        return Ok(());
    };
    let files = method
        .params
        .iter()
        .map(|param| format!("{}=@", param.name));
    if let Some(before) = files.into_iter().find(|before| current.starts_with(before)) {
        // The value is in a file.
        answer.files = Files::All;
        answer.before = before;
        return Ok(());
    }
    if let Some(value) = current.strip_prefix("key=") {
        return add_keys(context, place, "key=", value, answer);
    }
    let given: Vec<OsString> = place.values("arguments").map(OsStr::to_owned).collect();
    let is_given = |name: &str| {
        let words = given.iter().filter_map(|word| word.to_str());
        words.into_iter().any(|word| {
            let rest = word.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['=', ':']))
        })
    };
    for param in method.params.iter().filter(|param| !is_given(&param.name)) {
        let (name, doc) = (&param.name, &param.doc);
        match param.value_type {
            ValueType::Bytes | ValueType::Text => {
                answer.add_open(current, &format!("{name}="), doc)
            }
            ValueType::Bool => {
                for value in ["true", "false"] {
                    answer.add(current, &format!("{name}:={value}"), doc);
                }
            }
            _ => answer.add_open(current, &format!("{name}:="), doc),
        }
    }
    Ok(())
}

/// The keys of a key-value store that begin with `current`, each after `before` in its word.
fn add_keys(
    context: &Context<'_>,
    place: &Place<'_>,
    before: &str,
    current: &str,
    answer: &mut Answer,
) -> Result<(), Failure> {
    let Some(store) = store(place).filter(|_| place.values("b64").next().is_none()) else {
        return Ok(());
    };
    let found = context
        .node
        .manager()
        .find(context.path(store)?, Access::ReadOnly)?;
    if found.meta().store_type.as_str() != lattice_kvstore::STORE_TYPE {
        return Ok(());
    }
    let kv: KvStore = context.open_typed(found, Access::ReadOnly)?;
    for key in keys(&kv, current)? {
        let Ok(key) = String::from_utf8(key) else {
            continue;
        };
        // It would be an option.
        let is_option = key.starts_with('-') && before.is_empty() && !place.is_escaped;
        if !is_option {
            let word = format!("{before}{current}");
            answer.add(&word, &format!("{before}{key}"), "");
        }
    }
    Ok(())
}

/// Some of the keys that begin with a prefix.
fn keys(kv: &KvStore, prefix: &str) -> Result<Vec<Vec<u8>>, BackendError> {
    ends(kv.snapshot()?.prefix(prefix).keys()).collect()
}

/// The first items and, if there are more, the last one: all items have the beginning that these
/// have in common, since items are in order.
fn ends<I: DoubleEndedIterator>(items: I) -> impl Iterator<Item = I::Item> {
    let mut items = items;
    let mut first: Vec<I::Item> = items.by_ref().take(MOST).collect();
    if first.len() == MOST {
        first.extend(items.next_back());
    }
    first.into_iter()
}

#[cfg(test)]
mod tests;
