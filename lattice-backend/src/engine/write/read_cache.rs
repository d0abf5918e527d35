//! What `prepare` has read, for the `apply` that follows it on the same state.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use crate::backend::{Direction, Result, Rows, Span};
use crate::machine::DataRead;

/// Bytes of keys and values that are remembered, at the most.
const MAX_BYTES: usize = 16 << 20;

/// Values by key. Only single keys are remembered, and only ever looked up, so no order of a hash
/// map can show.
pub(crate) type Reads = HashMap<Vec<u8>, Option<Vec<u8>>>;

/// Rows that remember what was read of them.
pub(crate) struct Remembering<'a> {
    base: &'a dyn DataRead,
    reads: RefCell<Reads>,
    bytes: Cell<usize>,
}

impl<'a> Remembering<'a> {
    pub(crate) fn new(base: &'a dyn DataRead) -> Self {
        Self {
            base,
            reads: RefCell::default(),
            bytes: Cell::new(0),
        }
    }

    pub(crate) fn into_reads(self) -> Reads {
        self.reads.into_inner()
    }
}

impl DataRead for Remembering<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let value = self.base.get(key)?;
        let bytes = self.bytes.get() + key.len() + value.as_ref().map_or(0, Vec::len);
        if bytes <= MAX_BYTES {
            self.bytes.set(bytes);
            self.reads.borrow_mut().insert(key.to_vec(), value.clone());
        }
        Ok(value)
    }

    fn range(&self, span: Span<'_>, direction: Direction) -> Result<Rows<'_>> {
        self.base.range(span, direction)
    }
}

/// Rows of which some have been read before.
pub(crate) struct Remembered<'a> {
    pub(crate) base: &'a dyn DataRead,
    pub(crate) reads: &'a Reads,
}

impl DataRead for Remembered<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        match self.reads.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.base.get(key),
        }
    }

    fn range(&self, span: Span<'_>, direction: Direction) -> Result<Rows<'_>> {
        self.base.range(span, direction)
    }
}
