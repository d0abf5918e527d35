//! The stores that peers ask for by name.

use std::io;

use lattice_meta::StoreId;
use lattice_sync::wire::StoreRecord;

use crate::sync::{Offers, StoreError};
use crate::{Aliases, Node};

/// The fewest digits that name a store to a peer.
const MIN_DIGITS: usize = 8;

/// The record of the store that a peer means, by its id, the first digits of one, or an alias; if
/// it is offered.
pub(super) fn record(
    node: &Node,
    offers: &Offers,
    name: &str,
) -> Result<Option<Vec<u8>>, StoreError> {
    let manager = node.manager();
    let id = match name.parse() {
        Ok(id) => Some(id),
        Err(_) => match Aliases::load(manager.dir())?.store(name) {
            Some(id) => Some(id),
            None => with_prefix(node, name)?,
        },
    };
    let Some(id) = id.filter(|id| offers.contains(id)) else {
        return Ok(None);
    };
    let path = manager.store_path(id);
    if !path.exists() {
        return Ok(None);
    }
    let store = manager.open_history(path)?;
    let record = StoreRecord {
        genesis: store.genesis().encode(),
        logic: store.logic_version().as_str().to_owned(),
    };
    Ok(record.encode().ok())
}

/// The one store whose id begins with these digits.
fn with_prefix(node: &Node, name: &str) -> Result<Option<StoreId>, StoreError> {
    let digits = name.replace('-', "").to_ascii_lowercase();
    if digits.len() < MIN_DIGITS {
        return Ok(None);
    }
    let path = node.manager().stores_dir();
    let failed = |source| StoreError::List {
        path: path.clone(),
        source,
    };
    let entries = match std::fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut found = None;
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        let id: Option<StoreId> = name.to_str().and_then(|name| name.parse().ok());
        let has_prefix = |id: &StoreId| id.to_string().replace('-', "").starts_with(&digits);
        let Some(id) = id.filter(has_prefix) else {
            continue;
        };
        if found.replace(id).is_some() {
            return Ok(None);
        }
    }
    Ok(found)
}
