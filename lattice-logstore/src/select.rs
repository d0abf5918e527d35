//! Selections of entries, and the order of reading.

use alloc::vec::{self, Vec};
use core::ops::{Bound, Range};

use lattice_backend::backend::{BackendError, Direction, Rows};
use lattice_backend::machine::{DataRead, History};

use crate::run::Run;
use crate::{Entry, Position};

/// Selects entries of a log, and the end from which they are read. Bounds narrow each other: of two
/// starts the later one counts, of two ends the earlier one.
///
/// ```
/// use lattice_logstore::Selection;
/// // The last ten entries of one second.
/// let second = Selection::all().from_ms(1_700_000_000_000).until_ms(1_700_000_001_000);
/// let last_ten = second.newest_first().limit(10);
/// # let _ = last_ten;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    start: Bound<Position>,
    /// The selection ends before this position.
    end: Option<Position>,
    direction: Direction,
    limit: u64,
}

impl Selection {
    /// Every entry, oldest first.
    pub const fn all() -> Self {
        Self {
            start: Bound::Unbounded,
            end: None,
            direction: Direction::Forward,
            limit: u64::MAX,
        }
    }

    /// Only entries of this millisecond (since the Unix epoch) or later.
    pub fn from_ms(self, ms: u64) -> Self {
        self.starting_at(Position::at_ms(ms))
    }

    /// Only entries before this millisecond (since the Unix epoch).
    pub fn until_ms(self, ms: u64) -> Self {
        self.before(Position::at_ms(ms))
    }

    /// Selects only entries at or after this position.
    pub fn starting_at(mut self, position: Position) -> Self {
        if starts_later(Bound::Included(position), self.start) {
            self.start = Bound::Included(position);
        }
        self
    }

    /// Selects only entries after this position, e.g. after the last one read.
    pub fn after(mut self, position: Position) -> Self {
        if starts_later(Bound::Excluded(position), self.start) {
            self.start = Bound::Excluded(position);
        }
        self
    }

    /// Selects only entries before this position.
    pub fn before(mut self, position: Position) -> Self {
        if self.end.is_none_or(|end| position < end) {
            self.end = Some(position);
        }
        self
    }

    /// Reads from the newest entry to the oldest.
    pub fn newest_first(mut self) -> Self {
        self.direction = Direction::Backward;
        self
    }

    /// At most this many entries, counted from the end that is read first.
    pub fn limit(mut self, limit: u64) -> Self {
        self.limit = self.limit.min(limit);
        self
    }

    /// The rows of selected entries, and the direction in which they are read.
    pub(crate) fn runs<'a>(&self, data: &'a dyn DataRead) -> Result<Rows<'a>, BackendError> {
        // An op has no entry after the greatest possible index, so its row is excluded.
        let start = match self.start {
            Bound::Unbounded => None,
            Bound::Included(position) => Some((position.run_key(), true)),
            Bound::Excluded(position) => Some((position.run_key(), position.index < u32::MAX)),
        };
        let start = match &start {
            None => Bound::Unbounded,
            Some((start, true)) => Bound::Included(&start[..]),
            Some((start, false)) => Bound::Excluded(&start[..]),
        };
        // An end at an op's first entry selects none of its entries.
        let end = self.end.map(|end| (end.run_key(), end.index));
        let end = match &end {
            None => Bound::Unbounded,
            Some((end, 0)) => Bound::Excluded(&end[..]),
            Some((end, _)) => Bound::Included(&end[..]),
        };
        data.range((start, end), self.direction)
    }

    /// At most `most` selected entries of a run, in the order of reading.
    pub(crate) fn entries(
        &self,
        run: &Run,
        history: &dyn History,
        most: u64,
    ) -> Result<Vec<Entry>, BackendError> {
        let mut places = self.places(run);
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        match self.direction {
            Direction::Forward => places.end = places.end.min(places.start.saturating_add(most)),
            Direction::Backward => places.start = places.start.max(places.end.saturating_sub(most)),
        }
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let mut entries = run.entries(history, places)?;
        if self.direction == Direction::Backward {
            entries.reverse();
        }
        Ok(entries)
    }

    /// The indexes of the selected entries of a run.
    fn places(&self, run: &Run) -> Range<u32> {
        let this = |position: &Position| (position.hlc, position.op) == (run.hlc, run.op);
        let start = match self.start {
            Bound::Included(position) if this(&position) => position.index,
            Bound::Excluded(position) if this(&position) => position.index.saturating_add(1),
            _ => 0,
        };
        let end = self.end.filter(this).map_or(u32::MAX, |end| end.index);
        start..end.min(run.count)
    }

    /// The selection that remains after a run has been read.
    #[cfg(feature = "std")]
    pub(crate) fn beyond(self, run: &Run) -> Self {
        match self.direction {
            Direction::Forward => self.after(run.position(u32::MAX)),
            Direction::Backward => self.before(run.position(0)),
        }
    }

    #[cfg(feature = "std")]
    pub(crate) fn most(&self) -> u64 {
        self.limit
    }
}

impl Default for Selection {
    fn default() -> Self {
        Self::all()
    }
}

fn starts_later(one: Bound<Position>, other: Bound<Position>) -> bool {
    let rank = |start| match start {
        Bound::Unbounded => None,
        Bound::Included(position) => Some((position, false)),
        Bound::Excluded(position) => Some((position, true)),
    };
    rank(one) > rank(other)
}

/// Reads entries one after another from a state that outlives it.
pub(crate) struct Scan<'a> {
    rows: Rows<'a>,
    history: &'a dyn History,
    selection: Selection,
    left: u64,
    /// The remaining entries of the current op.
    op: vec::IntoIter<Entry>,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(
        data: &'a dyn DataRead,
        history: &'a dyn History,
        selection: Selection,
    ) -> Result<Self, BackendError> {
        Ok(Self {
            rows: selection.runs(data)?,
            history,
            left: selection.limit,
            selection,
            op: Vec::new().into_iter(),
        })
    }

    pub(crate) fn next(&mut self) -> Result<Option<Entry>, BackendError> {
        loop {
            if let Some(entry) = self.op.next() {
                self.left -= 1;
                return Ok(Some(entry));
            }
            if self.left == 0 {
                return Ok(None);
            }
            let Some(row) = self.rows.next()? else {
                return Ok(None);
            };
            let run = Run::from_row(row)?;
            let entries = self.selection.entries(&run, self.history, self.left)?;
            self.op = entries.into_iter();
        }
    }
}

/// Counts the entries without reading their ops.
pub(crate) fn count(data: &dyn DataRead) -> Result<u64, BackendError> {
    let mut rows = data.range(lattice_backend::backend::EVERYTHING, Direction::Forward)?;
    let mut count: u64 = 0;
    while let Some(row) = rows.next()? {
        let more = u64::from(Run::from_row(row)?.count);
        // Only damaged rows can exceed a `u64`.
        count = count.saturating_add(more);
    }
    Ok(count)
}
