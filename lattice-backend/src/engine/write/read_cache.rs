//! Caches rows that were read for an op, so that later steps need not read them again: `prepare`
//! reads what `apply` reads, and `apply` reads what it replaces.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use crate::backend::{Direction, Result, Rows, Span};
use crate::machine::DataRead;

/// The most bytes of keys and values that the cache keeps.
const MAX_BYTES: usize = 16 << 20;

/// Values by key, as they are before the op. The map holds single keys and is never iterated, so
/// its random order has no effect.
#[derive(Debug, Default)]
pub(crate) struct ReadCache {
    rows: RefCell<HashMap<Vec<u8>, Option<Vec<u8>>>>,
    bytes: Cell<usize>,
}

impl ReadCache {
    /// Takes a row that was read: `None` if the key was not read, `Some(None)` if it has no row.
    pub(crate) fn take(&self, key: &[u8]) -> Option<Option<Vec<u8>>> {
        self.rows.borrow_mut().remove(key)
    }

    /// Reads the rows of `base` through the cache.
    pub(crate) fn over<'a>(&'a self, base: &'a dyn DataRead) -> Cached<'a> {
        Cached { base, cache: self }
    }
}

/// Rows of `base`, read through the cache.
pub(crate) struct Cached<'a> {
    base: &'a dyn DataRead,
    cache: &'a ReadCache,
}

impl DataRead for Cached<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        if let Some(value) = self.cache.rows.borrow().get(key) {
            return Ok(value.clone());
        }
        let value = self.base.get(key)?;
        let bytes = self.cache.bytes.get() + key.len() + value.as_ref().map_or(0, Vec::len);
        if bytes <= MAX_BYTES {
            self.cache.bytes.set(bytes);
            let mut rows = self.cache.rows.borrow_mut();
            rows.insert(key.to_vec(), value.clone());
        }
        Ok(value)
    }

    fn show(&self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        // `see` may read other rows, so the cache is not borrowed while it runs.
        let known = self.cache.rows.borrow().get(key).cloned();
        match known {
            Some(value) => Ok(value.inspect(|value| see(value)).is_some()),
            None => self.base.show(key, see),
        }
    }

    fn range(&self, span: Span<'_>, direction: Direction) -> Result<Rows<'_>> {
        self.base.range(span, direction)
    }
}
