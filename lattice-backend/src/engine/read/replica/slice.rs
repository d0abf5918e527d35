//! Ops by their positions.

use std::ops::Range;

use crate::backend::{ReadTx, Result};
use crate::engine::read::replica::{MAX_SLICE_OPS, OpSlice};
use crate::history::held::{Held, read_held};
use crate::history::{missing, read_op};
use crate::op::{ApplyIndex, Op, OpHasher, OpOrder, OpRef, OpsEnd};

/// A slice that is being filled.
struct Filling {
    ops: Vec<(OpRef, Vec<u8>)>,
    bytes: usize,
    max_bytes: usize,
}

impl Filling {
    fn is_full(&self) -> bool {
        self.ops.len() >= MAX_SLICE_OPS
    }

    /// Adds an op, unless it does not fit.
    fn push(&mut self, op: Op) -> bool {
        let bytes = self.bytes.saturating_add(op.bytes().len());
        let fits = self.ops.is_empty() || bytes <= self.max_bytes;
        if fits {
            self.bytes = bytes;
            self.ops.push((op.reference(), op.into_bytes()));
        }
        fits
    }
}

/// Reads a slice; see [`Engine::op_slice`](crate::engine::Engine::op_slice).
pub(super) fn read(
    tx: &dyn ReadTx,
    hasher: &OpHasher,
    order: OpOrder,
    range: Range<u64>,
    max_bytes: usize,
) -> Result<OpSlice> {
    let mut filling = Filling {
        ops: Vec::new(),
        bytes: 0,
        max_bytes,
    };
    let end = OpsEnd::read(tx)?;
    let next = match order {
        OpOrder::Applied => {
            let range = range.start..range.end.min(end.applied);
            applied(tx, hasher, range, &mut filling)?
        }
        OpOrder::Held => {
            let range = range.start..range.end.min(end.held);
            held(tx, hasher, range, &mut filling)?
        }
    };
    let ops = filling.ops;
    Ok(OpSlice { ops, next })
}

fn applied(
    tx: &dyn ReadTx,
    hasher: &OpHasher,
    range: Range<u64>,
    filling: &mut Filling,
) -> Result<u64> {
    for index in range.clone() {
        if filling.is_full() {
            return Ok(index);
        }
        let at = ApplyIndex::new(index);
        let op = read_op(tx, hasher, at)?.ok_or_else(|| missing(at))?;
        if !filling.push(op) {
            return Ok(index);
        }
    }
    Ok(range.end.max(range.start))
}

fn held(
    tx: &dyn ReadTx,
    hasher: &OpHasher,
    range: Range<u64>,
    filling: &mut Filling,
) -> Result<u64> {
    // One more than fit, so that numbers that are left do not look like the end.
    let numbers = Held::numbers(tx, range.start, MAX_SLICE_OPS + 1)?;
    for number in numbers.into_iter().take_while(|number| *number < range.end) {
        if filling.is_full() {
            return Ok(number);
        }
        let Some(held) = read_held(tx, hasher, number)? else {
            continue;
        };
        if !filling.push(held.op) {
            return Ok(number);
        }
    }
    Ok(range.end.max(range.start))
}
