//! Copies the keys and values of a store to a new one.

use lattice_backend::backend::Cause;
use lattice_backend::chunks::Chunks;
use lattice_backend::machine::Value;
use lattice_registry::{Calls, StoreHandle};

use crate::KvStore;

/// Maximum number of keys that one op puts.
pub(crate) const BATCH_KEYS: usize = 4096;
/// Maximum bytes of keys and values that one op puts; a single longer row may exceed it.
pub(crate) const BATCH_BYTES: usize = 1 << 20;

/// Makes a key-value store from another one, for a registry's
/// [`register_migration`](lattice_registry::Registry::register_migration): a copy with a history of
/// its own. It has the current value of each key; the other concurrent values stay in the old
/// store.
///
/// # Errors
/// The old store has a different type, or cannot be read.
pub fn copy_keys(old: &dyn StoreHandle) -> Result<Calls<'_>, Cause> {
    let kv = of(old)?;
    let size = |(key, value): &(Vec<u8>, Vec<u8>)| key.len() + value.len();
    let batches = Chunks::new(kv.iter()?, BATCH_KEYS, BATCH_BYTES, size);
    Ok(Box::new(
        batches.map(|rows| Ok(("batch".into(), puts(rows?)))),
    ))
}

/// The old store, if it is one of this type.
pub(crate) fn of(old: &dyn StoreHandle) -> Result<&KvStore, Cause> {
    old.downcast_ref::<KvStore>().ok_or_else(|| {
        let (expected, found) = (crate::STORE_TYPE, old.store_type());
        format!("expected a store of type {expected}, found {found}").into()
    })
}

/// The arguments of a batch that puts these rows.
pub(crate) fn puts(rows: Vec<(Vec<u8>, Vec<u8>)>) -> Value {
    let write =
        |(key, value)| Value::record([("key", Value::Bytes(key)), ("value", Value::Bytes(value))]);
    let writes = rows.into_iter().map(write).collect();
    Value::record([("writes", Value::List(writes))])
}
