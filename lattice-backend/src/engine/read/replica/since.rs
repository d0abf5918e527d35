//! The tips of the authors of new ops.

use std::collections::BTreeMap;

use lattice_meta::PubKey;

use crate::backend::Result;
use crate::engine::inner::Inner;
use crate::engine::read::replica::SinceTip;
use crate::engine::read::replica::tips::with_tips;
use crate::history::read_head;
use crate::machine::StateMachine;
use crate::op::{ApplyIndex, OpsEnd};

/// The number of heads of ops that are read from one snapshot.
const HEADS: u64 = 4096;

/// Finds tips; see [`Engine::tips_since`](crate::engine::Engine::tips_since).
pub(super) fn tips_since<M: StateMachine>(
    inner: &Inner<M>,
    from: u64,
) -> Result<(Vec<SinceTip>, OpsEnd)> {
    let (tips, end, mut after) = with_tips(inner, |kept, _| {
        let mut after = BTreeMap::<PubKey, u64>::new();
        // Ascending, so the first op of each author is the one with the least number.
        for op in &kept.held {
            after.entry(op.author).or_insert(op.seq);
        }
        (kept.tips.clone(), kept.end, after)
    })?;
    let mut next = from;
    while next < end.applied {
        let tx = inner.db.snapshot()?;
        let last = end.applied.min(next.saturating_add(HEADS));
        for index in next..last {
            let (_, author, seq, _) = read_head(&*tx, ApplyIndex::new(index))?;
            let least = after.entry(author).or_insert(seq);
            *least = seq.min(*least);
        }
        next = last;
    }
    let tips = tips.iter().filter_map(|op| {
        let after = *after.get(&op.author)?;
        Some(SinceTip { op: *op, after })
    });
    Ok((tips.collect(), end))
}
