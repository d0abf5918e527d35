//! A new store with the keys and values of another.

use lattice_backend::backend::Cause;
use lattice_backend::chunks::Chunks;
use lattice_backend::machine::Value;
use lattice_registry::{Calls, StoreHandle};

use crate::KvStore;

/// The most keys that one op puts.
const BATCH_KEYS: usize = 4096;
/// The most bytes of keys and values that one op puts, but for a longer row.
const BATCH_BYTES: usize = 1 << 20;

/// Makes a key-value store out of another, for a registry's
/// [`register_migration`](lattice_registry::Registry::register_migration): a copy with a history
/// of its own. It has the value of each key that a read gives; of concurrent values the others stay
/// in the old store.
///
/// # Errors
/// The old store is of another type, or cannot be read.
pub fn copy_keys(old: &dyn StoreHandle) -> Result<Calls<'_>, Cause> {
    let kv = old.downcast_ref::<KvStore>().ok_or_else(|| {
        let found = old.store_type();
        format!(
            "expected a store of type {}, found {found}",
            crate::STORE_TYPE
        )
    })?;
    let size = |(key, value): &(Vec<u8>, Vec<u8>)| key.len() + value.len();
    let batches = Chunks::new(kv.iter()?, BATCH_KEYS, BATCH_BYTES, size);
    Ok(Box::new(
        batches.map(|rows| Ok(("batch".into(), puts(rows?)))),
    ))
}

/// The arguments of a batch that puts these rows.
fn puts(rows: Vec<(Vec<u8>, Vec<u8>)>) -> Value {
    let write =
        |(key, value)| Value::record([("key", Value::Bytes(key)), ("value", Value::Bytes(value))]);
    let writes = rows.into_iter().map(write).collect();
    Value::record([("writes", Value::List(writes))])
}
