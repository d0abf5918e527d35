//! The stores that peers ask for by name.

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
    let id = name.parse().ok();
    let id = id.or_else(|| Aliases::load(manager.dir()).ok()?.store(name));
    let id = id.or_else(|| with_prefix(node, name));
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
fn with_prefix(node: &Node, name: &str) -> Option<StoreId> {
    let digits = name.replace('-', "").to_ascii_lowercase();
    if digits.len() < MIN_DIGITS {
        return None;
    }
    let entries = std::fs::read_dir(node.manager().stores_dir()).ok()?;
    let ids = entries.filter_map(|entry| {
        let name = entry.ok()?.file_name();
        let id: StoreId = name.to_str()?.parse().ok()?;
        let text = id.to_string().replace('-', "");
        text.starts_with(&digits).then_some(id)
    });
    let mut ids = ids.take(2);
    let first = ids.next()?;
    ids.next().is_none().then_some(first)
}
