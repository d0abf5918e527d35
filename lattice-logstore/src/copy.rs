//! Copies the entries of a log to a new one.

use lattice_backend::backend::Cause;
use lattice_backend::chunks::Chunks;
use lattice_backend::machine::Value;
use lattice_registry::{Calls, StoreHandle};

use crate::{LogStore, Selection};

/// Maximum number of entries that one op appends.
const BATCH_ENTRIES: usize = 4096;
/// Maximum bytes that one op appends; a single longer entry may exceed it.
const BATCH_BYTES: usize = 1 << 20;

/// Makes a log from another one, for a registry's
/// [`register_migration`](lattice_registry::Registry::register_migration): the same contents in the
/// same order, with a history of its own. The copied entries have new times and authors.
///
/// # Errors
/// The old store has a different type, or cannot be read.
pub fn copy_entries(old: &dyn StoreHandle) -> Result<Calls<'_>, Cause> {
    let log = old.downcast_ref::<LogStore>().ok_or_else(|| {
        let found = old.store_type();
        format!(
            "expected a store of type {}, found {found}",
            crate::STORE_TYPE
        )
    })?;
    let contents = log.read(Selection::all())?;
    let contents = contents.map(|entry| entry.map(|entry| entry.content));
    let batches = Chunks::new(contents, BATCH_ENTRIES, BATCH_BYTES, Vec::len);
    Ok(Box::new(batches.map(|contents| {
        let entries = contents?.into_iter().map(Value::Bytes).collect();
        let entries = Value::record([("entries", Value::List(entries))]);
        Ok(("append_many".into(), entries))
    })))
}
