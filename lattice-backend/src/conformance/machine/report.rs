//! The message of a failure.

use lattice_meta::Hlc;

use crate::backend::BackendError;
use crate::conformance::machine::case::{Case, Check};
use crate::engine::contain::contain;
use crate::machine::StateMachine;
use crate::op::{Op, OpKind};

/// The most ops that a message lists.
const MAX_LISTED: usize = 24;
/// The most characters of a description.
const MAX_CHARS: usize = 120;

/// Lists the ops of a case, and its orders.
pub(super) fn ops_of<M: StateMachine>(machine: &M, case: &Case) -> String {
    let mut text = String::new();
    for op in case.ops().iter().take(MAX_LISTED) {
        text.push_str("\n    ");
        text.push_str(&line(machine, op));
    }
    if let Some(more) = case
        .ops()
        .len()
        .checked_sub(MAX_LISTED)
        .filter(|more| *more > 0)
    {
        text.push_str(&format!("\n    and {more} more"));
    }
    if case.check == Check::Orders {
        for (nth, order) in (1..).zip(&case.orders) {
            let names: Vec<_> = order.iter().map(|op| op.reference().to_string()).collect();
            let listed = names[..names.len().min(MAX_LISTED)].join(" ");
            text.push_str(&format!("\n  order {nth}: {listed}"));
        }
    }
    text
}

/// One op: reference, parents, timestamp, and description.
fn line<M: StateMachine>(machine: &M, op: &Op) -> String {
    let mut line = op.reference().to_string();
    match op.prev() {
        None => line.push_str(" first"),
        Some(prev) => line.push_str(&format!(" prev {prev}")),
    }
    if !op.deps().is_empty() {
        let deps: Vec<_> = op.deps().iter().map(ToString::to_string).collect();
        line.push_str(&format!(" deps {}", deps.join(" ")));
    }
    line.push_str(&format!(" hlc {}: ", time(op.hlc())));
    if op.kind() == OpKind::Merge {
        line.push_str("merge");
        return line;
    }
    let described = contain(|| Ok::<_, BackendError>(machine.describe(op.payload())));
    let described = described.unwrap_or_else(|error| error.to_string());
    let shown = described.escape_debug().take(MAX_CHARS);
    line.extend(shown);
    line
}

/// Formats milliseconds since the Unix epoch, and the counter within the millisecond.
fn time(hlc: Hlc) -> String {
    format!("{}+{}", hlc.ms(), hlc.to_u64() & 0xffff)
}
