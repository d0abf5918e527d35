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
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::sync::Arc;

use lattice_meta::{MetaKey, OpId, PubKey};

use crate::backend::{BackendError, Direction, PrefixSpan, ReadTx, Result, StateDb, Table};
use crate::engine::Engine;
use crate::history::held::{Held, read_held};
use crate::history::system::Ledger;
use crate::history::{Branch, BranchNo, Forks, Index, Place, Tail, missing, read_indexed, read_op};
use crate::machine::StateMachine;
use crate::op::{ApplyIndex, BranchTips, Op, OpHasher, OpRef};

/// The most authors whose older ops are named; of further authors only the tips are.
const LOCATED_AUTHORS: usize = 1000;
/// The most ops and bytes that are read from one snapshot.
const SLICE_OPS: usize = 1024;
const SLICE_BYTES: usize = 256 << 10;

/// All applied ops of one snapshot, including those that are not indexed yet.
pub(crate) struct View<'a> {
    tx: &'a dyn ReadTx,
    tail: Tail,
    forks: Forks,
}

/// A branch of an author. An author without a fork has one as well.
#[derive(Debug, Clone, Copy)]
struct Segment {
    branch: BranchNo,
    first_seq: u64,
    parent: Option<BranchNo>,
    end: OpRef,
}

impl<'a> View<'a> {
    pub(crate) fn new(tx: &'a dyn ReadTx, hasher: &OpHasher) -> Result<Self> {
        let ledger = Ledger::read(tx)?;
        let tail = Tail::read(tx, hasher, ledger.indexed, ledger.applied)?;
        let forks = Forks::read(tx)?;
        Ok(Self { tx, tail, forks })
    }

    fn index(&self) -> Index<'_> {
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
    fn segments(&self) -> Result<BTreeMap<PubKey, Vec<Segment>>> {
        let mut segments = BTreeMap::<PubKey, Vec<Segment>>::new();
        Branch::each(self.tx, &mut |author, branch, found| {
            let segment = Segment {
                branch,
                first_seq: found.first_seq,
                parent: found.parent,
                end: found.end_of(&author),
            };
            segments.entry(author).or_default().push(segment);
            Ok(())
        })?;
        for author in self.authors()? {
            if segments.contains_key(&author) {
                continue;
            }
            let tip = self.index().author(&author)?.tip;
            segments
                .entry(author)
                .or_default()
                .extend(tip.map(|(end, branch)| Segment {
                    branch,
                    first_seq: 0,
                    parent: None,
                    end,
                }));
        }
        Ok(segments)
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
        for segment in segments {
            // A held op that follows the last applied op is the tip of the branch instead.
            match held.extends(tx, &segment.end)? {
                true => tips.earlier.push(segment.end),
                false => tips.tips.push(segment.end),
            }
            if !located.as_ref().is_none_or(|some| some.contains(author)) {
                continue;
            }
            let mut distance = 1_u64;
            while let Some(seq) = segment.end.seq.checked_sub(distance)
                && seq >= segment.first_seq
            {
                let earlier = view.on_branch(author, segment.branch, seq)?.0;
                tips.earlier.push(earlier);
                let Some(next) = distance.checked_mul(2) else {
                    break;
                };
                distance = next;
            }
        }
    }
    tips.tips.extend(Held::tips(tx)?);
    tips.tips.sort_unstable();
    tips.earlier.sort_unstable();
    Ok(tips)
}

impl<M: StateMachine> Engine<M> {
    /// Those of the ops that are not here: neither applied nor held.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn lacking(&self, ops: &[OpRef]) -> Result<Vec<OpRef>> {
        let tx = self.inner.db.snapshot()?;
        let (view, held) = (View::new(&*tx, &self.inner.hasher)?, Held::read(&*tx)?);
        let mut lacking = Vec::new();
        for op in ops {
            if view.index().place_of(op)?.is_none() && !held.contains(&*tx, op)? {
                lacking.push(*op);
            }
        }
        Ok(lacking)
    }
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

/// The ops that another replica lacks, in causal order, as of the time when this was created. They
/// are read in slices of at most 1,024 ops or 256 KiB; a longer op is a slice by itself. Each slice
/// is read from its own snapshot, so a slow consumer keeps no snapshot alive. Memory: one slice,
/// and a constant amount for each branch with ops to send.
pub struct OpsAfter {
    db: Arc<dyn StateDb>,
    hasher: OpHasher,
    ranges: Vec<Range>,
    /// The next op of each range: its apply index, and the position of the range.
    next: BinaryHeap<Reverse<(ApplyIndex, usize)>>,
    /// Ops that were not indexed when this was created; they come after the indexed ones.
    tail: VecDeque<ApplyIndex>,
    /// Held ops and their numbers; they come after all applied ops.
    held: VecDeque<(u64, OpRef)>,
    /// The apply index of the first op that was not indexed when this was created.
    indexed: ApplyIndex,
    /// Ops that have been read and not returned yet.
    slice: VecDeque<Vec<u8>>,
    /// The number of ops not returned yet.
    left: usize,
    has_failed: bool,
}

/// Ops of one branch that are still to be read.
#[derive(Debug)]
struct Range {
    author: PubKey,
    branch: BranchNo,
    next_seq: u64,
    last_seq: u64,
}

impl std::fmt::Debug for OpsAfter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpsAfter")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

impl OpsAfter {
    /// The ops of a snapshot of `db`.
    pub(crate) fn new(
        db: &Arc<dyn StateDb>,
        snapshot: &dyn ReadTx,
        hasher: &OpHasher,
        known: &BranchTips,
    ) -> Result<Self> {
        let view = View::new(snapshot, hasher)?;
        let mut after = Self {
            ranges: missing_ranges(&view, known)?,
            next: BinaryHeap::new(),
            tail: VecDeque::new(),
            held: missing_held(&view, hasher, known)?,
            indexed: view.tail.first(),
            slice: VecDeque::new(),
            left: 0,
            has_failed: false,
            hasher: hasher.clone(),
            db: Arc::clone(db),
        };
        for place in 0..after.ranges.len() {
            let Range {
                next_seq, last_seq, ..
            } = after.ranges[place];
            let count = usize::try_from(last_seq - next_seq).ok();
            let left = count.and_then(|count| after.left.checked_add(count + 1));
            after.left = left.ok_or_else(|| BackendError::Damaged {
                detail: "an author has more ops than can be counted".into(),
            })?;
            after.queue(snapshot, place)?;
        }
        after.left += after.held.len();
        after.tail = tail_of(&view.tail, &after.ranges);
        Ok(after)
    }

    /// Queues the next op of a range, if it was indexed when this was created.
    fn queue(&mut self, tx: &dyn ReadTx, place: usize) -> Result<()> {
        let range = &self.ranges[place];
        if range.next_seq > range.last_seq {
            return Ok(());
        }
        let found = read_indexed(tx, &range.author, range.branch, range.next_seq)?;
        if let Some((index, _)) = found.filter(|(index, _)| *index < self.indexed) {
            self.next.push(Reverse((index, place)));
        }
        Ok(())
    }

    /// The apply index of the next applied op.
    fn next_index(&mut self, tx: &dyn ReadTx) -> Result<Option<ApplyIndex>> {
        let Some(Reverse((index, place))) = self.next.pop() else {
            return Ok(self.tail.pop_front());
        };
        let range = &mut self.ranges[place];
        match range.next_seq.checked_add(1) {
            Some(seq) => range.next_seq = seq,
            None => return Ok(Some(index)),
        }
        self.queue(tx, place)?;
        Ok(Some(index))
    }

    /// Reads a held op, or the applied op if it was settled after its number was read.
    fn read_held(&self, tx: &dyn ReadTx, number: u64, op: &OpRef) -> Result<Op> {
        if let Some(held) = read_held(tx, &self.hasher, number)?
            && held.op.reference() == *op
        {
            return Ok(held.op);
        }
        let place = View::new(tx, &self.hasher)?.index().place_of(op)?;
        let read = place.map(|place| read_op(tx, &self.hasher, place.index));
        read.transpose()?.flatten().ok_or_else(|| {
            let found = format!("none of {op}");
            BackendError::row(Table::Held, "a record of each op that is held", found)
        })
    }

    /// Reads the next slice from a new snapshot; applied ops do not change.
    fn fill(&mut self) -> Result<()> {
        let snapshot = self.db.snapshot()?;
        let mut bytes = 0;
        while self.slice.len() < SLICE_OPS && bytes < SLICE_BYTES {
            let op = match self.next_index(&*snapshot)? {
                Some(index) => {
                    let op = read_op(&*snapshot, &self.hasher, index)?;
                    op.ok_or_else(|| missing(index))?
                }
                None => match self.held.pop_front() {
                    Some((number, op)) => self.read_held(&*snapshot, number, &op)?,
                    None => break,
                },
            };
            bytes += op.bytes().len();
            self.slice.push_back(op.into_bytes());
        }
        match self.slice.is_empty() {
            true => Err(BackendError::row(
                Table::Applied,
                "a row for each op",
                format!("none for {} of the ops to be sent", self.left),
            )),
            false => Ok(()),
        }
    }
}

impl Iterator for OpsAfter {
    type Item = Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 || self.has_failed {
            return None;
        }
        if self.slice.is_empty()
            && let Err(error) = self.fill()
        {
            self.has_failed = true;
            return Some(Err(error));
        }
        self.left -= 1;
        self.slice.pop_front().map(Ok)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self.has_failed {
            true => (0, Some(0)),
            false => (self.left, Some(self.left)),
        }
    }
}

impl ExactSizeIterator for OpsAfter {}

impl std::iter::FusedIterator for OpsAfter {}

/// The held ops that the other replica lacks, in causal order: all except those that it names and
/// those before them on their authors' chains.
fn missing_held(
    view: &View<'_>,
    hasher: &OpHasher,
    known: &BranchTips,
) -> Result<VecDeque<(u64, OpRef)>> {
    let held = Held::read(view.tx)?;
    if held.is_empty() {
        return Ok(VecDeque::new());
    }
    let mut lacking = BTreeMap::new();
    Held::each(view.tx, &mut |op, number| {
        lacking.insert(op, number);
    })?;
    for op in known.iter() {
        let mut known = Some(*op);
        while let Some(op) = known.filter(|op| lacking.remove(op).is_some()) {
            let found = held.find(view.tx, hasher, &op)?;
            known = found.and_then(|held| held.op.prev());
        }
    }
    let mut lacking: Vec<_> = lacking
        .into_iter()
        .map(|(op, number)| (number, op))
        .collect();
    lacking.sort_unstable();
    Ok(lacking.into())
}

/// The apply indexes of the tail's ops that are in the ranges, ascending.
fn tail_of(tail: &Tail, ranges: &[Range]) -> VecDeque<ApplyIndex> {
    let wanted: BTreeMap<_, _> = ranges
        .iter()
        .map(|range| ((range.author, range.branch), range.next_seq))
        .collect();
    let is_wanted = |(op, place): &(&OpRef, &Place)| {
        let from = wanted.get(&(op.author, place.branch));
        from.is_some_and(|from| op.seq >= *from)
    };
    let mut indexes: Vec<_> = tail
        .iter()
        .filter(is_wanted)
        .map(|(_, p)| p.index)
        .collect();
    indexes.sort_unstable();
    indexes.into()
}

/// For each branch, the ops after the last one that the other replica has.
fn missing_ranges(view: &View<'_>, known: &BranchTips) -> Result<Vec<Range>> {
    // For each branch, the first sequence number that the other replica lacks.
    let mut lacks = BTreeMap::<(PubKey, BranchNo), u64>::new();
    let mut note = |author, branch, seq| {
        let next = lacks.entry((author, branch)).or_insert(seq);
        *next = seq.max(*next);
    };
    for op in known.iter() {
        if let Some(place) = view.index().place_of(op)? {
            note(op.author, place.branch, op.seq.saturating_add(1));
        }
    }
    let mut ranges = Vec::new();
    for (author, segments) in view.segments()? {
        // A branch starts after its parent, so its number is greater. In descending order, each
        // branch therefore notes what the other replica has of the parent before the parent's turn.
        for segment in segments.iter().rev() {
            let Some(next) = lacks.get(&(author, segment.branch)).copied() else {
                ranges.push(Range {
                    author,
                    branch: segment.branch,
                    next_seq: segment.first_seq,
                    last_seq: segment.end.seq,
                });
                continue;
            };
            if let Some(parent) = segment.parent {
                let before = lacks.entry((author, parent)).or_insert(segment.first_seq);
                *before = segment.first_seq.max(*before);
            }
            if next <= segment.end.seq {
                ranges.push(Range {
                    author,
                    branch: segment.branch,
                    next_seq: next,
                    last_seq: segment.end.seq,
                });
            }
        }
    }
    Ok(ranges)
}
