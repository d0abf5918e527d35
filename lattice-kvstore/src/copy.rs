//! A new store with the keys and values of another.

use lattice_backend::backend::{BackendError, Cause};
use lattice_backend::machine::Value;
use lattice_registry::{Calls, StoreHandle};

use crate::{KvStore, Scan};

/// Keys that one op puts, at the most.
const BATCH_KEYS: usize = 4096;
/// Bytes after which an op puts no more keys.
const BATCH_BYTES: usize = 1 << 20;

/// Makes a key-value store out of another, for a registry's
/// [`register_migration`](lattice_registry::Registry::register_migration): a copy with a history
/// of its own. It has the value of each key that a read gives; of concurrent values the others stay
/// in the old store.
///
/// # Errors
/// The old store is none of this type, or cannot be read.
pub fn copy_keys(old: &dyn StoreHandle) -> Result<Calls, Cause> {
    let kv = old.downcast_ref::<KvStore>().ok_or_else(|| {
        let found = old.store_type();
        format!(
            "expected a store of type {}, found {found}",
            crate::STORE_TYPE
        )
    })?;
    Ok(Box::new(Batches {
        rows: kv.iter()?,
        ahead: None,
    }))
}

struct Batches {
    rows: Scan,
    ahead: Option<(Vec<u8>, Vec<u8>)>,
}

impl Batches {
    fn batch(&mut self) -> Result<Vec<Value>, BackendError> {
        let (mut writes, mut bytes) = (Vec::new(), 0);
        while writes.len() < BATCH_KEYS {
            let next = match self.ahead.take() {
                Some(row) => Some(row),
                None => self.rows.next().transpose()?,
            };
            let Some((key, value)) = next else { break };
            bytes += key.len() + value.len();
            if bytes > BATCH_BYTES && !writes.is_empty() {
                self.ahead = Some((key, value));
                break;
            }
            writes.push(Value::record([
                ("key", Value::Bytes(key)),
                ("value", Value::Bytes(value)),
            ]));
        }
        Ok(writes)
    }
}

impl Iterator for Batches {
    type Item = Result<(&'static str, Value), Cause>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.batch() {
            Ok(writes) if writes.is_empty() => None,
            Ok(writes) => Some(Ok((
                "batch",
                Value::record([("writes", Value::List(writes))]),
            ))),
            Err(error) => Some(Err(error.into())),
        }
    }
}
