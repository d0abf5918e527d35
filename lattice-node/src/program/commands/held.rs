//! How held ops are shown.

use lattice_backend::engine::read::HeldOp;
use serde_json::{Value, json};

use crate::StoreHandle;
use crate::program::failure::Failure;
use crate::program::output::escape_text;

/// Held ops that are shown one by one.
const SHOWN: usize = 64;

/// How many ops a store holds, and the first of them.
pub(super) fn held_ops(store: &dyn StoreHandle) -> Result<(u64, Vec<HeldOp>), Failure> {
    let (mut count, mut first) = (0, Vec::new());
    for held in store.held_ops()? {
        let held = held?;
        count += 1;
        if first.len() < SHOWN {
            first.push(held);
        }
    }
    Ok((count, first))
}

/// A held op in a line.
pub(super) fn held_line(held: &HeldOp) -> String {
    let op = held.op.reference();
    let reason = escape_text(&held.reason.to_string());
    let logic = escape_text(&held.logic);
    format!("{} by {:.8}, by {logic}: {reason}", op.id, op.author)
}

/// A held op in fields.
pub(super) fn held_json(held: &HeldOp) -> Value {
    let op = held.op.reference();
    json!({
        "op": op.id,
        "author": op.author,
        "seq": op.seq.to_string(),
        "time": held.op.hlc().ms(),
        "logic_version": held.logic,
        "reason": held.reason.to_string(),
    })
}
