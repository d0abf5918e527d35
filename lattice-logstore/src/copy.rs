//! A new log with the entries of another.

use lattice_backend::backend::Cause;
use lattice_backend::chunks::Chunks;
use lattice_backend::machine::Value;
use lattice_registry::{Calls, StoreHandle};

use crate::{LogStore, Selection};

/// The most entries that one op appends.
const BATCH_ENTRIES: usize = 4096;
/// The most bytes that one op appends, but for a longer entry.
const BATCH_BYTES: usize = 1 << 20;

/// Makes a log out of another, for a registry's
/// [`register_migration`](lattice_registry::Registry::register_migration): the same contents in the
/// same order, with a history of its own. Their times and authors are those of the copy.
///
/// # Errors
/// The old store is of another type, or cannot be read.
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
