//! What one replica says that it has, and the ops that it sends to another.
//!
//! A replica's ops are causally closed: it has every op that one of its ops follows. An op
//! therefore says that all earlier ops of its author's chain are present, and the tips of an
//! author's branches say which of the author's ops are. The other replica may be ahead of those
//! tips or behind them. A replica therefore also names a few older ops of each branch, at distances
//! of powers of two before the tip, like the block locators of Bitcoin (`getheaders`). A sender
//! that knows none of the newer ones finds the latest one that it knows, and resends fewer ops than
//! the other replica is ahead.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, btree_map};

use lattice_meta::{MetaKey, OpId, PubKey};

use crate::backend::{BackendError, Direction, PrefixSpan, ReadTx, Result, Table};
use crate::history::held::Held;
use crate::history::system::Ledger;
use crate::history::{Branch, BranchNo, Forks, Index, Tail, read_indexed};
use crate::op::{ApplyIndex, BranchTips, OpHasher, OpRef};

/// The most authors whose older ops are named; of further authors only the tips are.
const LOCATED_AUTHORS: usize = 1000;
/// The most held ops of a branch that are passed to name older ones.
const MAX_HELD_STEPS: u64 = 1024;

/// All applied ops of one snapshot, including those that are not indexed yet.
pub(crate) struct View<'a> {
    pub(super) tx: &'a dyn ReadTx,
    pub(super) tail: Tail,
    /// The number of applied ops.
    pub(super) applied: u64,
    forks: Forks,
}

/// A branch of an author. An author without a fork has one as well.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    pub(super) branch: BranchNo,
    pub(super) first_seq: u64,
    pub(super) parent: Option<BranchNo>,
    pub(super) end: OpRef,
}

impl Segment {
    fn of(author: &PubKey, branch: BranchNo, found: &Branch) -> Self {
        Self {
            branch,
            first_seq: found.first_seq,
            parent: found.parent,
            end: found.end_of(author),
        }
    }
}

impl<'a> View<'a> {
    pub(crate) fn new(tx: &'a dyn ReadTx, hasher: &OpHasher) -> Result<Self> {
        let ledger = Ledger::read(tx)?;
        let tail = Tail::read(tx, hasher, ledger.indexed, ledger.applied)?;
        let forks = Forks::read(tx)?;
        Ok(Self {
            tx,
            tail,
            applied: ledger.applied,
            forks,
        })
    }

    pub(super) fn index(&self) -> Index<'_> {
        Index {
            tx: self.tx,
            tail: &self.tail,
            forks: self.forks,
        }
    }

    /// The authors with applied ops.
    fn authors(&self) -> Result<Vec<PubKey>> {
        let span = PrefixSpan::new(b"tip/");
        let mut rows = self
            .tx
            .range(Table::Meta, span.span(), Direction::Forward)?;
        let mut authors = Vec::new();
        while let Some(row) = rows.next()? {
            match MetaKey::from_bytes(row.key) {
                Ok(Some(MetaKey::Tip(author))) => authors.push(author),
                _ => {
                    let found = format!("a key of {} bytes", row.key.len());
                    return Err(BackendError::row(
                        Table::Meta,
                        "`tip/` and a public key",
                        found,
                    ));
                }
            }
        }
        Ok(authors)
    }

    /// The branches of all authors, ascending by number.
    pub(super) fn segments(&self) -> Result<BTreeMap<PubKey, Vec<Segment>>> {
        let mut segments = BTreeMap::<PubKey, Vec<Segment>>::new();
        Branch::each(self.tx, &mut |author, branch, found| {
            let segment = Segment::of(&author, branch, &found);
            segments.entry(author).or_default().push(segment);
            Ok(())
        })?;
        for author in self.authors()? {
            if let btree_map::Entry::Vacant(vacant) = segments.entry(author) {
                vacant.insert(self.only_segment(&author)?.into_iter().collect());
            }
        }
        Ok(segments)
    }

    /// The branches of one author, ascending by number; none of an author without applied ops.
    pub(super) fn segments_of(&self, author: &PubKey) -> Result<Vec<Segment>> {
        let mut segments = Vec::new();
        if self.forks == Forks::Some {
            Branch::each_of(self.tx, author, &mut |author, branch, found| {
                segments.push(Segment::of(&author, branch, &found));
                Ok(())
            })?;
        }
        if segments.is_empty() {
            segments.extend(self.only_segment(author)?);
        }
        Ok(segments)
    }

    /// The branch of an author who has not forked.
    fn only_segment(&self, author: &PubKey) -> Result<Option<Segment>> {
        let tip = self.index().author(author)?.tip;
        Ok(tip.map(|(end, branch)| Segment {
            branch,
            first_seq: 0,
            parent: None,
            end,
        }))
    }

    /// The first sequence number on a branch whose op has this apply index or a later one; one more
    /// than the last if no op has. Apply indexes ascend along a branch.
    pub(super) fn first_from(&self, author: &PubKey, segment: &Segment, index: u64) -> Result<u64> {
        let (mut low, mut high) = (segment.first_seq, segment.end.seq.saturating_add(1));
        while low < high {
            let middle = low + (high - low) / 2;
            let (_, found) = self.on_branch(author, segment.branch, middle)?;
            match found.get() < index {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        Ok(low)
    }

    /// Names the end of a branch, and older ops of it if they are wanted.
    fn name(
        &self,
        author: &PubKey,
        segment: &Segment,
        with_older: bool,
        held: Held,
        tips: &mut BranchTips,
    ) -> Result<()> {
        // A held op that follows the last applied op is the tip of the branch instead.
        match held.extends(self.tx, &segment.end)? {
            true => tips.earlier.push(segment.end),
            false => tips.tips.push(segment.end),
        }
        let mut distance = 1_u64;
        while with_older
            && let Some(seq) = segment.end.seq.checked_sub(distance)
            && seq >= segment.first_seq
        {
            let earlier = self.on_branch(author, segment.branch, seq)?.0;
            tips.earlier.push(earlier);
            let Some(next) = distance.checked_mul(2) else {
                break;
            };
            distance = next;
        }
        Ok(())
    }

    /// The op with this sequence number on an author's branch, and its apply index.
    pub(crate) fn on_branch(
        &self,
        author: &PubKey,
        branch: BranchNo,
        seq: u64,
    ) -> Result<(OpRef, ApplyIndex)> {
        let author = *author;
        let op = |id| OpRef { author, seq, id };
        if let Some((index, id)) = read_indexed(self.tx, &author, branch, seq)? {
            return Ok((op(id), index));
        }
        let ids = op(OpId::from_bytes([0; 32]))..=op(OpId::from_bytes([0xff; 32]));
        let mut in_tail = self.tail.iter().filter(|(op, _)| ids.contains(op));
        let found = in_tail.find(|(_, place)| place.branch == branch);
        match found {
            Some((op, place)) => Ok((*op, place.index)),
            None => Err(unindexed(&author, branch, seq)),
        }
    }
}

fn unindexed(author: &PubKey, branch: BranchNo, seq: u64) -> BackendError {
    BackendError::row(
        Table::Applied,
        "a row for each op",
        format!("none for {seq} of {author} on branch {}", branch.0),
    )
}

/// The tips of all branches, and older ops on branches of the newest authors, ascending.
pub(crate) fn tips(tx: &dyn ReadTx, hasher: &OpHasher) -> Result<BranchTips> {
    let view = View::new(tx, hasher)?;
    let segments = view.segments()?;
    let located = newest_authors(&view, &segments)?;
    let held = Held::read(tx)?;
    let mut tips = BranchTips::default();
    for (author, segments) in &segments {
        let with_older = located.as_ref().is_none_or(|some| some.contains(author));
        for segment in segments {
            view.name(author, segment, with_older, held, &mut tips)?;
        }
    }
    tips.tips.extend(Held::tips(tx)?);
    tips.tips.sort_unstable();
    tips.earlier.sort_unstable();
    Ok(tips)
}

/// The tips of the branches of these authors, held ops included, and older ops of each branch,
/// ascending.
pub(crate) fn tips_of(
    tx: &dyn ReadTx,
    hasher: &OpHasher,
    authors: &BTreeSet<PubKey>,
) -> Result<BranchTips> {
    let view = View::new(tx, hasher)?;
    let held = Held::read(tx)?;
    let mut tips = BranchTips::default();
    for author in authors {
        for segment in view.segments_of(author)? {
            view.name(author, &segment, true, held, &mut tips)?;
        }
        if held.is_empty() {
            continue;
        }
        for tip in Held::tips_of(tx, author)? {
            tips.tips.push(tip);
            name_held(tx, held, tip, &mut tips.earlier)?;
        }
    }
    tips.tips.sort_unstable();
    tips.earlier.sort_unstable();
    tips.earlier.dedup();
    Ok(tips)
}

/// Names older held ops before a held tip, 1, 2, 4, ... positions before it.
fn name_held(tx: &dyn ReadTx, held: Held, tip: OpRef, earlier: &mut Vec<OpRef>) -> Result<()> {
    let mut at = tip;
    for distance in 1..=MAX_HELD_STEPS {
        let prev = held.prev_of(tx, &at)?;
        let Some(prev) = prev else {
            break;
        };
        if !held.contains(tx, &prev)? {
            break;
        }
        if distance.is_power_of_two() {
            earlier.push(prev);
        }
        at = prev;
    }
    Ok(())
}

/// The `LOCATED_AUTHORS` authors whose ops were applied last; `None` if there are no more than
/// that.
fn newest_authors(
    view: &View<'_>,
    segments: &BTreeMap<PubKey, Vec<Segment>>,
) -> Result<Option<BTreeSet<PubKey>>> {
    if segments.len() <= LOCATED_AUTHORS {
        return Ok(None);
    }
    let mut newest = BinaryHeap::with_capacity(LOCATED_AUTHORS + 1);
    for (author, segments) in segments {
        let mut last = ApplyIndex::FIRST;
        for Segment { branch, end, .. } in segments {
            last = last.max(view.on_branch(author, *branch, end.seq)?.1);
        }
        newest.push(Reverse((last, *author)));
        if newest.len() > LOCATED_AUTHORS {
            newest.pop();
        }
    }
    let authors = newest.into_iter().map(|Reverse((_, author))| author);
    Ok(Some(authors.collect()))
}
