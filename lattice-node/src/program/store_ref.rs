//! Resolves the STORE argument.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use lattice_meta::{StoreId, shell_word};

use super::Failure;
use super::output::echo;
use super::suggest::did_you_mean;
use crate::{Aliases, StoreManager};

/// The minimum number of digits in an id prefix, and for a command that changes a store.
const MIN_PREFIX_DIGITS: usize = 4;
const MIN_DIGITS_TO_CHANGE: usize = 8;
/// The maximum number of ids in a message.
const SHOWN_IDS: usize = 5;

/// What a command does with the store that an argument names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    Reading,
    /// A prefix must be long enough that a mistyped one is no other store's.
    Changing,
}

/// The path of the store that an argument names. Tried in this order: a path if the argument
/// contains `/`, a full id, an alias, a prefix that exactly one store's id has.
pub(super) fn resolve(
    manager: &StoreManager,
    store: &OsStr,
    purpose: For,
) -> Result<PathBuf, Failure> {
    if store.as_encoded_bytes().contains(&b'/') {
        return Ok(PathBuf::from(store));
    }
    let shown = format!("\"{}\"", echo(store.as_encoded_bytes()));
    let what = format!(
        "expected an alias, a store id, its first {MIN_PREFIX_DIGITS} or more hex digits, or a path \
         that contains /; `lattice list` lists all stores"
    );
    let Some(text) = store.to_str() else {
        return Err(Failure::no_store(format!("no store {shown}; {what}")));
    };
    if let Ok(id) = text.parse::<StoreId>() {
        return existing(manager, id, &format!("no store {id}"));
    }
    let aliases = Aliases::load(manager.dir());
    if let Some(id) = aliases.as_ref().ok().and_then(|all| all.store(text)) {
        let missing =
            format!("alias {shown} names store {id}, which is not in this data directory");
        return existing(manager, id, &missing);
    }
    let digits = digits(text);
    let mut step = what;
    if let Some(digits) = digits.filter(|digits| digits.len() >= MIN_PREFIX_DIGITS) {
        match with_prefix(manager, &digits, &shown)? {
            Some(id) if purpose == For::Changing && digits.len() < MIN_DIGITS_TO_CHANGE => {
                return Err(Failure::usage(format!(
                    "{shown} is too short for a command that changes a store: give the alias or at \
                     least {MIN_DIGITS_TO_CHANGE} hex digits of the id, which is {id}"
                )));
            }
            Some(id) => return Ok(manager.store_path(id)),
            None => {
                step = format!("no id starts with {shown}; `lattice list` lists all stores");
            }
        }
    }
    let aliases = aliases?;
    let names = aliases.iter().map(|(alias, _)| alias.as_str());
    if let Some(meant) = did_you_mean(text, names) {
        step = meant;
    } else if is_empty(manager) {
        let dir = manager.dir().display();
        step = format!("there are no stores in {dir}; `lattice create core:kvstore` creates one");
    }
    if Path::new(store).is_file() {
        let path = shell_word(&format!("./{text}")).into_owned();
        step = format!("did you mean the file {path}?");
    }
    Err(Failure::no_store(format!("no store {shown}; {step}")))
}

/// Whether a data directory has no store, and none that is damaged.
fn is_empty(manager: &StoreManager) -> bool {
    match fs::read_dir(manager.stores_dir()) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// The store with leftovers ([`StoreManager::leftovers`]) that an argument names, by its id, an
/// alias, or a prefix that exactly one of their ids has. An alias may outlive all files of its
/// store.
pub(super) fn of_leftovers(
    store: &OsStr,
    aliases: &Aliases,
    left: &BTreeSet<StoreId>,
) -> Option<StoreId> {
    let text = store.to_str()?;
    let named = text.parse().ok().or_else(|| aliases.store(text));
    named.or_else(|| {
        let digits = digits(text).filter(|digits| digits.len() >= MIN_DIGITS_TO_CHANGE)?;
        let mut ids = left.iter().filter(|id| has_prefix(**id, &digits));
        ids.next().filter(|_| ids.next().is_none()).copied()
    })
}

/// The hex digits of an argument that has no other characters.
fn digits(text: &str) -> Option<String> {
    let digits = text.replace('-', "").to_ascii_lowercase();
    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_hex.then_some(digits)
}

fn has_prefix(id: StoreId, digits: &str) -> bool {
    id.to_string().replace('-', "").starts_with(digits)
}

fn existing(manager: &StoreManager, id: StoreId, missing: &str) -> Result<PathBuf, Failure> {
    let path = manager.store_path(id);
    match path.try_exists() {
        Ok(true) => Ok(path),
        // A directory without its file can be restored or removed.
        Ok(false) if path.parent().is_some_and(std::path::Path::is_dir) => Ok(path),
        Ok(false) => Err(Failure::no_store(format!(
            "{missing}; `lattice list` lists all stores"
        ))),
        Err(error) => {
            Err(Failure::from(error).within(&format!("cannot look for {}", path.display())))
        }
    }
}

/// The store whose id has a prefix, unless several have it.
fn with_prefix(
    manager: &StoreManager,
    digits: &str,
    shown: &str,
) -> Result<Option<StoreId>, Failure> {
    let stores = manager.stores_dir();
    let failed = |error: io::Error| {
        Failure::from(error).within(&format!("cannot list {}", stores.display()))
    };
    let mut found = Vec::new();
    let entries = match fs::read_dir(&stores) {
        Ok(entries) => Some(entries),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
    };
    for entry in entries.into_iter().flatten() {
        let name = entry.map_err(failed)?.file_name();
        let id = name.to_str().and_then(|name| name.parse::<StoreId>().ok());
        if let Some(id) = id.filter(|id| has_prefix(*id, digits)) {
            found.push(id);
        }
    }
    match found[..] {
        [id] => Ok(Some(id)),
        [] => Ok(None),
        _ => {
            found.sort();
            let ids: Vec<_> = found
                .iter()
                .take(SHOWN_IDS)
                .map(StoreId::to_string)
                .collect();
            let more = match found.len() - ids.len() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            Err(Failure::usage(format!(
                "{shown} is ambiguous; give more hex digits: {}{more}",
                ids.join(", ")
            )))
        }
    }
}
