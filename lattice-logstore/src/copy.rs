//! Copies the entries of a log to a new one.

use lattice_backend::backend::Cause;
use lattice_backend::chunks::Chunks;
use lattice_backend::machine::Value;
use lattice_registry::{Calls, Keep, StoreHandle};

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
    copy_newest(old, Keep::All)
}

/// The same for the newest entries. What is kept depends on the old log alone, so that an
/// interrupted copy can be resumed.
///
/// # Errors
/// The old store has a different type, or cannot be read.
pub fn copy_newest(old: &dyn StoreHandle, keep: Keep) -> Result<Calls<'_>, Cause> {
    let log = old.downcast_ref::<LogStore>().ok_or_else(|| {
        let found = old.store_type();
        format!(
            "expected a store of type {}, found {found}",
            crate::STORE_TYPE
        )
    })?;
    let contents = log.read(selection(log, keep)?)?;
    let contents = contents.map(|entry| entry.map(|entry| entry.content));
    let batches = Chunks::new(contents, BATCH_ENTRIES, BATCH_BYTES, Vec::len);
    Ok(Box::new(batches.map(|contents| {
        let entries = contents?.into_iter().map(Value::Bytes).collect();
        let entries = Value::record([("entries", Value::List(entries))]);
        Ok(("append_many".into(), entries))
    })))
}

/// The entries to keep.
fn selection(log: &LogStore, keep: Keep) -> Result<Selection, Cause> {
    let newest_first = Selection::all().newest_first();
    let first = match keep {
        Keep::All => return Ok(Selection::all()),
        Keep::Newer(ms) => {
            let newest = log.tail(1)?.pop();
            let newest = newest.map_or(0, |entry| entry.time_ms());
            return Ok(Selection::all().from_ms(newest.saturating_sub(ms)));
        }
        Keep::Last(count) => log.read(newest_first.limit(count))?.last().transpose()?,
        Keep::Bytes(most) => {
            let (mut bytes, mut first) = (0_u64, None);
            for entry in log.read(newest_first)? {
                let entry = entry?;
                bytes =
                    bytes.saturating_add(u64::try_from(entry.content.len()).unwrap_or(u64::MAX));
                if bytes > most {
                    break;
                }
                first = Some(entry);
            }
            first
        }
    };
    Ok(match first {
        Some(entry) => Selection::all().starting_at(entry.position()),
        None => Selection::all().limit(0),
    })
}
