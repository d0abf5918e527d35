//! The ops that another replica lacks, read in slices.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::ops;
use std::sync::Arc;

use crate::backend::{BackendError, ReadTx, Result, StateDb, Table};
use crate::engine::read::exchange::View;
use crate::engine::read::lacking::{Applied, Missing, Range, after_tips, before_end};
use crate::engine::read::replica::MAX_SLICE_OPS;
use crate::history::held::read_held;
use crate::history::{Place, Tail, missing, read_indexed, read_op};
use crate::op::{ApplyIndex, BranchTips, Lacking, Op, OpHasher, OpRef, OpsEnd};

/// The most bytes that the iterator reads from one snapshot.
const SLICE_BYTES: usize = 256 << 10;

/// The ops that another replica lacks, in causal order, as of the time when this was created. They
/// are read in slices of at most 1,024 ops or 256 KiB; a longer op is a slice by itself. Each slice
/// is read from its own snapshot, so a slow consumer keeps no snapshot alive. Memory: one slice,
/// and a constant amount for each branch with ops to send.
///
/// [`next_slice`](Self::next_slice) returns the same ops as the iterator, a slice at a time.
pub struct OpsAfter {
    db: Arc<dyn StateDb>,
    hasher: OpHasher,
    applied: Source,
    /// Held ops and their numbers; they come after all applied ops.
    held: VecDeque<(u64, OpRef)>,
    /// Ops that have been read and not returned yet.
    slice: VecDeque<(OpRef, Vec<u8>)>,
    /// The number of ops not returned yet.
    left: usize,
    has_failed: bool,
}

/// The applied ops that have not been read yet.
enum Source {
    Run(ops::Range<u64>),
    Branches(Branches),
}

/// Ops of branches, in the order of application.
struct Branches {
    ranges: Vec<Range>,
    /// The next op of each range: its apply index, and the position of the range.
    next: BinaryHeap<Reverse<(ApplyIndex, usize)>>,
    /// Ops that were not indexed when this was created; they come after the indexed ones.
    tail: VecDeque<ApplyIndex>,
    /// The apply index of the first op that was not indexed when this was created.
    indexed: ApplyIndex,
}

impl std::fmt::Debug for OpsAfter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpsAfter")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

impl Branches {
    fn new(tx: &dyn ReadTx, view: &View<'_>, ranges: Vec<Range>, until: u64) -> Result<Self> {
        let mut branches = Self {
            tail: tail_of(&view.tail, &ranges, until),
            ranges,
            next: BinaryHeap::new(),
            indexed: view.tail.first(),
        };
        for place in 0..branches.ranges.len() {
            branches.queue(tx, place)?;
        }
        Ok(branches)
    }

    /// The number of ops.
    fn count(&self) -> Option<usize> {
        let mut count = 0_usize;
        for range in &self.ranges {
            let more = usize::try_from(range.last_seq - range.next_seq).ok()?;
            count = count.checked_add(more)?.checked_add(1)?;
        }
        Some(count)
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

    /// The apply index of the next op.
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
}

impl OpsAfter {
    /// What a replica with these tips lacks of the ops of a snapshot of `db`.
    pub(crate) fn new(
        db: &Arc<dyn StateDb>,
        snapshot: &dyn ReadTx,
        hasher: &OpHasher,
        known: &BranchTips,
    ) -> Result<Self> {
        let view = View::new(snapshot, hasher)?;
        let missing = after_tips(&view, known)?;
        Self::of(db, &view, hasher, missing)
    }

    /// What another replica lacks of the ops before a place.
    pub(crate) fn lacking(
        db: &Arc<dyn StateDb>,
        snapshot: &dyn ReadTx,
        hasher: &OpHasher,
        lacking: &Lacking,
        until: OpsEnd,
    ) -> Result<Self> {
        let view = View::new(snapshot, hasher)?;
        let missing = before_end(&view, lacking, until)?;
        Self::of(db, &view, hasher, missing)
    }

    fn of(
        db: &Arc<dyn StateDb>,
        view: &View<'_>,
        hasher: &OpHasher,
        missing: Missing,
    ) -> Result<Self> {
        let (applied, count) = match missing.applied {
            Applied::Before(end) => (Source::Run(0..end), usize::try_from(end).ok()),
            Applied::Ranges { ranges, until } => {
                let branches = Branches::new(view.tx, view, ranges, until)?;
                let count = branches.count();
                (Source::Branches(branches), count)
            }
        };
        let left = count.and_then(|count| count.checked_add(missing.held.len()));
        Ok(Self {
            db: Arc::clone(db),
            hasher: hasher.clone(),
            applied,
            held: missing.held.into(),
            slice: VecDeque::new(),
            left: left.ok_or_else(|| BackendError::Damaged {
                detail: "an author has more ops than can be counted".into(),
            })?,
            has_failed: false,
        })
    }

    /// The next ops, from a snapshot that lives only during this call: at most 1,024, and at most
    /// this many bytes; a longer op comes by itself. `None` at the end.
    ///
    /// # Errors
    /// What the backend reports. After an error there are no more ops.
    #[allow(clippy::type_complexity)]
    pub fn next_slice(&mut self, max_bytes: usize) -> Result<Option<Vec<(OpRef, Vec<u8>)>>> {
        if self.left == 0 || self.has_failed {
            return Ok(None);
        }
        self.fill(max_bytes)?;
        let (mut slice, mut bytes) = (Vec::new(), 0_usize);
        while let Some((op, content)) = self.slice.pop_front() {
            bytes = bytes.saturating_add(content.len());
            if !slice.is_empty() && (bytes > max_bytes || slice.len() == MAX_SLICE_OPS) {
                self.slice.push_front((op, content));
                break;
            }
            slice.push((op, content));
        }
        self.left -= slice.len();
        Ok(Some(slice))
    }

    fn next_index(&mut self, tx: &dyn ReadTx) -> Result<Option<ApplyIndex>> {
        match &mut self.applied {
            Source::Run(run) => Ok(run.next().map(ApplyIndex::new)),
            Source::Branches(branches) => branches.next_index(tx),
        }
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

    /// Reads the next slice, unless ops are left of the last one.
    fn fill(&mut self, max_bytes: usize) -> Result<()> {
        if !self.slice.is_empty() {
            return Ok(());
        }
        let read = self.read(max_bytes);
        self.has_failed = read.is_err();
        read
    }

    /// Reads ops from a new snapshot; applied ops do not change.
    fn read(&mut self, max_bytes: usize) -> Result<()> {
        let snapshot = self.db.snapshot()?;
        let mut bytes = 0;
        while self.slice.is_empty() || self.slice.len() < MAX_SLICE_OPS && bytes < max_bytes {
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
            self.slice.push_back((op.reference(), op.into_bytes()));
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
        if let Err(error) = self.fill(SLICE_BYTES) {
            return Some(Err(error));
        }
        self.left -= 1;
        self.slice.pop_front().map(|(_, bytes)| Ok(bytes))
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

/// The apply indexes of the tail's ops that are in the ranges, ascending.
fn tail_of(tail: &Tail, ranges: &[Range], until: u64) -> VecDeque<ApplyIndex> {
    let wanted: BTreeMap<_, _> = ranges
        .iter()
        .map(|range| ((range.author, range.branch), range.next_seq))
        .collect();
    let is_wanted = |(op, place): &(&OpRef, &Place)| {
        let from = wanted.get(&(op.author, place.branch));
        place.index.get() < until && from.is_some_and(|from| op.seq >= *from)
    };
    let mut indexes: Vec<_> = tail
        .iter()
        .filter(is_wanted)
        .map(|(_, p)| p.index)
        .collect();
    indexes.sort_unstable();
    indexes.into()
}
