//! A new log with the entries of another.

use lattice_backend::backend::{BackendError, Cause};
use lattice_backend::machine::Value;
use lattice_registry::{Calls, StoreHandle};

use crate::{Entries, LogStore, Selection};

/// Entries that one op appends, at the most.
const BATCH_ENTRIES: usize = 4096;
/// Bytes after which an op appends no more entries.
const BATCH_BYTES: usize = 1 << 20;

/// Makes a log out of another, for a registry's
/// [`register_migration`](lattice_registry::Registry::register_migration): the same contents in the
/// same order, with a history of its own. Their times and authors are those of the copy.
///
/// # Errors
/// The old store is none of this type, or cannot be read.
pub fn copy_entries(old: &dyn StoreHandle) -> Result<Calls, Cause> {
    let log = old.downcast_ref::<LogStore>().ok_or_else(|| {
        let found = old.store_type();
        format!(
            "expected a store of type {}, found {found}",
            crate::STORE_TYPE
        )
    })?;
    Ok(Box::new(Batches {
        entries: log.read(Selection::all())?,
        ahead: None,
    }))
}

struct Batches {
    entries: Entries,
    ahead: Option<Vec<u8>>,
}

impl Batches {
    fn batch(&mut self) -> Result<Vec<Value>, BackendError> {
        let (mut contents, mut bytes) = (Vec::new(), 0);
        while contents.len() < BATCH_ENTRIES {
            let next = match self.ahead.take() {
                Some(content) => Some(content),
                None => self.entries.next().transpose()?.map(|entry| entry.content),
            };
            let Some(content) = next else { break };
            bytes += content.len();
            if bytes > BATCH_BYTES && !contents.is_empty() {
                self.ahead = Some(content);
                break;
            }
            contents.push(Value::Bytes(content));
        }
        Ok(contents)
    }
}

impl Iterator for Batches {
    type Item = Result<(&'static str, Value), Cause>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.batch() {
            Ok(contents) if contents.is_empty() => None,
            Ok(contents) => Some(Ok((
                "append_many",
                Value::record([("entries", Value::List(contents))]),
            ))),
            Err(error) => Some(Err(error.into())),
        }
    }
}
