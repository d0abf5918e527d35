//! Which store is meant.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;

use lattice_meta::StoreId;
use lattice_node::StoreManager;

use super::Failure;
use super::output::escape;

/// Digits that a prefix of an id has at the least.
const MIN_PREFIX_DIGITS: usize = 4;

/// The file or directory of the store that is meant: a path if there is a `/` in it, else a full
/// id, else a prefix that only one store's id has.
pub(super) fn resolve(manager: &StoreManager, store: &OsStr) -> Result<PathBuf, Failure> {
    if store.as_encoded_bytes().contains(&b'/') {
        return Ok(PathBuf::from(store));
    }
    let shown = escape(store.as_encoded_bytes());
    let Some(text) = store.to_str() else {
        return Err(Failure::usage(format!(
            "{shown} is no store id; a path needs a / in it"
        )));
    };
    if let Ok(id) = text.parse::<StoreId>() {
        let path = manager.store_path(id);
        return match path.exists() {
            true => Ok(path),
            false => Err(Failure::not_found(format!(
                "no store {id}; `lattice list` shows all"
            ))),
        };
    }
    let digits: String = text.chars().filter(|&digit| digit != '-').collect();
    let all_digits = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if !all_digits || digits.len() < MIN_PREFIX_DIGITS {
        return Err(Failure::not_found(format!(
            "no store {shown}: expected a path with a / in it, a store id, or at least \
             {MIN_PREFIX_DIGITS} digits that it starts with"
        )));
    }
    by_prefix(manager, &digits.to_ascii_lowercase(), &shown)
}

fn by_prefix(manager: &StoreManager, digits: &str, shown: &str) -> Result<PathBuf, Failure> {
    let mut found = Vec::new();
    let entries = match fs::read_dir(manager.stores_dir()) {
        Ok(entries) => Some(entries),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    for entry in entries.into_iter().flatten() {
        let name = entry?.file_name();
        let id = name.to_str().and_then(|name| name.parse::<StoreId>().ok());
        if let Some(id) = id.filter(|id| id.to_string().replace('-', "").starts_with(digits)) {
            found.push(id);
        }
    }
    match found[..] {
        [id] => Ok(manager.store_path(id)),
        [] => Err(Failure::not_found(format!(
            "no store's id starts with {shown}; `lattice list` shows all"
        ))),
        _ => {
            found.sort();
            let ids: Vec<_> = found.iter().map(StoreId::to_string).collect();
            Err(Failure::usage(format!(
                "{shown} is ambiguous: {}",
                ids.join(", ")
            )))
        }
    }
}
