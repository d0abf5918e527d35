//! Reads the held ops of a store.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use crate::backend::{Result, StateDb};
use crate::history::held::{Held, HeldOp, read_held};
use crate::op::OpHasher;

/// The number of held op numbers that are read from one snapshot.
const SLICE: usize = 1024;

/// The held ops of a store, in causal order.
pub struct HeldOps {
    db: Arc<dyn StateDb>,
    hasher: OpHasher,
    numbers: VecDeque<u64>,
    next: Option<u64>,
}

impl fmt::Debug for HeldOps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldOps")
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl HeldOps {
    pub(crate) fn new(db: Arc<dyn StateDb>, hasher: OpHasher) -> Result<Self> {
        let is_empty = Held::read(&*db.snapshot()?)?.is_empty();
        Ok(Self {
            db,
            hasher,
            numbers: VecDeque::new(),
            next: (!is_empty).then_some(0),
        })
    }

    fn read(&mut self) -> Result<Option<HeldOp>> {
        let snapshot = self.db.snapshot()?;
        loop {
            if self.numbers.is_empty() {
                let Some(first) = self.next else {
                    return Ok(None);
                };
                self.numbers = Held::numbers(&*snapshot, first, SLICE)?.into();
                self.next = self.numbers.back().and_then(|last| last.checked_add(1));
                if self.numbers.is_empty() {
                    return Ok(None);
                }
            }
            let Some(number) = self.numbers.pop_front() else {
                continue;
            };
            // An op that was settled after its number was read is no longer held.
            if let Some(held) = read_held(&*snapshot, &self.hasher, number)? {
                return Ok(Some(held));
            }
        }
    }
}

impl Iterator for HeldOps {
    type Item = Result<HeldOp>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.read();
        if read.is_err() {
            (self.next, self.numbers) = (None, VecDeque::new());
        }
        read.transpose()
    }
}

impl std::iter::FusedIterator for HeldOps {}
