//! Display of held ops.

use lattice_backend::engine::read::HeldOp;
use serde_json::{Value, json};

use crate::StoreHandle;
use crate::program::failure::Failure;
use crate::program::output::escape_text;

/// The most held ops listed individually.
const SHOWN: usize = 64;

/// Returns how many ops a store holds, and the first of them.
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

/// Formats a held op as one line.
pub(super) fn held_line(held: &HeldOp) -> String {
    let op = held.op.reference();
    let reason = escape_text(&held.reason.to_string());
    let logic = escape_text(&held.logic);
    format!("{} by {:.8}, held by {logic}: {reason}", op.id, op.author)
}

/// Formats a held op as JSON.
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
