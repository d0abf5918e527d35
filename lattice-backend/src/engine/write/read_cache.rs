//! Caches rows that `prepare` reads, so that `apply` need not read them again.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use crate::backend::{Direction, Result, Rows, Span};
use crate::machine::DataRead;
use crate::state::staging::MAX_READ_BYTES;

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

    /// Reads the rows of `base`, and keeps them.
    pub(crate) fn fill<'a>(&'a self, base: &'a dyn DataRead) -> Cached<'a> {
        let keeps = true;
        let cache = self;
        Cached { base, cache, keeps }
    }

    /// Reads the rows of `base` that the cache does not have.
    pub(crate) fn over<'a>(&'a self, base: &'a dyn DataRead) -> Cached<'a> {
        let keeps = false;
        let cache = self;
        Cached { base, cache, keeps }
    }
}

/// Rows of `base`, read through the cache.
pub(crate) struct Cached<'a> {
    base: &'a dyn DataRead,
    cache: &'a ReadCache,
    keeps: bool,
}

impl DataRead for Cached<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        if let Some(value) = self.cache.rows.borrow().get(key) {
            return Ok(value.clone());
        }
        let value = self.base.get(key)?;
        if !self.keeps {
            return Ok(value);
        }
        let bytes = self.cache.bytes.get() + key.len() + value.as_ref().map_or(0, Vec::len);
        if bytes <= MAX_READ_BYTES {
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
