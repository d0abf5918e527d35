//! Keeps rows that are read for an op, so that later steps need not read them again: `prepare` reads
//! what `apply` reads, and `apply` reads what it replaces.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::backend::{Direction, Result, Rows, Span};
use crate::machine::DataRead;

/// The most bytes of keys and values that are kept.
const MAX_BYTES: usize = 16 << 20;

/// Rows by key, as they are before the op: a value, or `None` if there is no row. A row that the op
/// writes is taken out.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    rows: RefCell<BTreeMap<Vec<u8>, Option<Vec<u8>>>>,
    bytes: Cell<usize>,
}

impl Reads {
    /// Takes a row out, with its key, if it was read.
    pub(crate) fn take(&mut self, key: &[u8]) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        self.rows.get_mut().remove_entry(key)
    }

    /// Reads the rows of `base` that are not kept, and keeps them.
    pub(crate) fn over<'a>(&'a self, base: &'a dyn DataRead) -> Kept<'a> {
        Kept { base, reads: self }
    }
}

/// Rows of `base`, of which those that are read are kept.
pub(crate) struct Kept<'a> {
    base: &'a dyn DataRead,
    reads: &'a Reads,
}

impl DataRead for Kept<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        if let Some(value) = self.reads.rows.borrow().get(key) {
            return Ok(value.clone());
        }
        let value = self.base.get(key)?;
        let bytes = self.reads.bytes.get() + key.len() + value.as_ref().map_or(0, Vec::len);
        if bytes <= MAX_BYTES {
            self.reads.bytes.set(bytes);
            let mut rows = self.reads.rows.borrow_mut();
            rows.insert(key.to_vec(), value.clone());
        }
        Ok(value)
    }

    fn show(&self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        // `see` may read other rows, so nothing is borrowed while it runs.
        let known = self.reads.rows.borrow().get(key).cloned();
        match known {
            Some(value) => Ok(value.inspect(|value| see(value)).is_some()),
            None => self.base.show(key, see),
        }
    }

    fn range(&self, span: Span<'_>, direction: Direction) -> Result<Rows<'_>> {
        self.base.range(span, direction)
    }
}
