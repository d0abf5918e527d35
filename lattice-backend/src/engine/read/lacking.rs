//! Which ops another replica lacks.

use std::collections::BTreeMap;

use lattice_meta::PubKey;

use crate::backend::Result;
use crate::engine::read::exchange::{Segment, View};
use crate::history::BranchNo;
use crate::history::held::Held;
use crate::op::{BranchTips, Has, Lack, Lacking, OpRef, OpsEnd};

/// Ops that are to be sent.
pub(super) struct Missing {
    pub(super) applied: Applied,
    /// Held ops and their numbers, ascending; they come after all applied ops.
    pub(super) held: Vec<(u64, OpRef)>,
}

/// Applied ops that are to be sent.
pub(super) enum Applied {
    /// All before this apply index.
    Before(u64),
    /// Ops of branches with apply indexes below `until`.
    Ranges { ranges: Vec<Range>, until: u64 },
}

/// Ops of one branch that are to be sent, at least one.
#[derive(Debug)]
pub(super) struct Range {
    pub(super) author: PubKey,
    pub(super) branch: BranchNo,
    pub(super) next_seq: u64,
    pub(super) last_seq: u64,
}

impl Range {
    fn of(author: &PubKey, segment: &Segment, next_seq: u64) -> Option<Self> {
        (next_seq <= segment.end.seq).then_some(Self {
            author: *author,
            branch: segment.branch,
            next_seq,
            last_seq: segment.end.seq,
        })
    }
}

/// For each branch of an author of which the other replica has ops, the first sequence number that
/// it lacks.
type Known = BTreeMap<BranchNo, u64>;

/// What a replica with these tips lacks.
pub(super) fn after_tips(view: &View<'_>, tips: &BranchTips) -> Result<Missing> {
    let held = Held::read(view.tx)?;
    let mut lacking = BTreeMap::new();
    if !held.is_empty() {
        Held::each(view.tx, &mut |op, number| {
            lacking.insert(op, number);
        })?;
    }
    let mut known = BTreeMap::<PubKey, Known>::new();
    for op in tips.iter() {
        let known = known.entry(op.author).or_default();
        pass(view, held, op, &mut lacking, known)?;
    }
    let mut ranges = Vec::new();
    for (author, segments) in view.segments()? {
        let known = std::mem::take(known.entry(author).or_default());
        ranges.extend(after_known(&author, &segments, known));
    }
    let until = view.applied;
    Ok(Missing {
        applied: Applied::Ranges { ranges, until },
        held: by_number(lacking),
    })
}

/// What another replica lacks of the ops before a place.
pub(super) fn before_end(view: &View<'_>, lacking: &Lacking, until: OpsEnd) -> Result<Missing> {
    let held = Held::read(view.tx)?;
    let end = until.applied.min(view.applied);
    let mut held_ops = BTreeMap::new();
    let applied = match lacking {
        Lacking::All => {
            if !held.is_empty() {
                Held::each(view.tx, &mut |op, number| {
                    held_ops.insert(op, number);
                })?;
            }
            Applied::Before(end)
        }
        Lacking::Of(lacks) => {
            let mut ranges = Vec::new();
            for lack in lacks {
                if !held.is_empty() {
                    Held::each_of(view.tx, &lack.author, &mut |op, number| {
                        held_ops.insert(op, number);
                    })?;
                }
                lacked_of(view, held, lack, end, &mut held_ops, &mut ranges)?;
            }
            Applied::Ranges { ranges, until: end }
        }
    };
    let mut held = by_number(held_ops);
    held.retain(|(number, _)| *number < until.held);
    Ok(Missing { applied, held })
}

/// Adds the applied ops of an author that the other replica lacks, before an apply index. Removes
/// the held ops that it has.
fn lacked_of(
    view: &View<'_>,
    held: Held,
    lack: &Lack,
    end: u64,
    lacking: &mut BTreeMap<OpRef, u64>,
    ranges: &mut Vec<Range>,
) -> Result<()> {
    let author = &lack.author;
    let segments = view.segments_of(author)?;
    let found: Vec<Range> = match &lack.has {
        Has::Ops(ops) => {
            let mut known = Known::new();
            for op in ops.iter().filter(|op| op.author == *author) {
                pass(view, held, op, lacking, &mut known)?;
            }
            after_known(author, &segments, known).collect()
        }
        Has::Before(index) => {
            let mut found = Vec::new();
            for segment in &segments {
                let first = view.first_from(author, segment, *index)?;
                found.extend(Range::of(author, segment, first));
            }
            found
        }
    };
    if end == view.applied {
        ranges.extend(found);
        return Ok(());
    }
    for mut range in found {
        let mut segments = segments.iter();
        let Some(segment) = segments.find(|segment| segment.branch == range.branch) else {
            continue;
        };
        let after = view.first_from(author, segment, end)?;
        if let Some(last) = after.checked_sub(1).filter(|last| *last >= range.next_seq) {
            range.last_seq = last;
            ranges.push(range);
        }
    }
    Ok(())
}

/// Notes that the other replica has an op and those before it on its author's chain: removes those
/// that are held, and notes the last one that is applied.
fn pass(
    view: &View<'_>,
    held: Held,
    op: &OpRef,
    lacking: &mut BTreeMap<OpRef, u64>,
    known: &mut Known,
) -> Result<()> {
    let mut at = *op;
    while lacking.remove(&at).is_some() {
        match held.prev_of(view.tx, &at)? {
            Some(prev) => at = prev,
            None => return Ok(()),
        }
    }
    if let Some(place) = view.index().place_of(&at)? {
        let seq = at.seq.saturating_add(1);
        let next = known.entry(place.branch).or_insert(seq);
        *next = seq.max(*next);
    }
    Ok(())
}

/// For each branch of an author, the ops after the last one that the other replica has.
fn after_known(
    author: &PubKey,
    segments: &[Segment],
    mut known: Known,
) -> impl Iterator<Item = Range> {
    // A branch starts after its parent, so its number is greater. In descending order, each branch
    // therefore notes what the other replica has of the parent before the parent's turn.
    let range = move |segment: &Segment| {
        let next = known.get(&segment.branch).copied();
        if let (Some(_), Some(parent)) = (next, segment.parent) {
            let before = known.entry(parent).or_insert(segment.first_seq);
            *before = segment.first_seq.max(*before);
        }
        Range::of(author, segment, next.unwrap_or(segment.first_seq))
    };
    segments.iter().rev().filter_map(range)
}

fn by_number(lacking: BTreeMap<OpRef, u64>) -> Vec<(u64, OpRef)> {
    let lacking = lacking.into_iter().map(|(op, number)| (number, op));
    let mut lacking: Vec<_> = lacking.collect();
    lacking.sort_unstable();
    lacking
}
