//! Which entries are read, and from which end.

use core::ops::Bound;

use lattice_backend::{BackendError, DataRead, Direction, Rows};

use crate::{Entry, Position};

/// Which entries of a log are read, and from which end. Bounds narrow one another: of two starts
/// the later one counts, of two ends the earlier one.
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
    /// The end lies in front of this position.
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

    /// Only entries at this position or behind it.
    pub fn starting_at(mut self, position: Position) -> Self {
        if starts_later(Bound::Included(position), self.start) {
            self.start = Bound::Included(position);
        }
        self
    }

    /// Only entries behind this position, e.g. behind the last one read.
    pub fn after(mut self, position: Position) -> Self {
        if starts_later(Bound::Excluded(position), self.start) {
            self.start = Bound::Excluded(position);
        }
        self
    }

    /// Only entries in front of this position.
    pub fn before(mut self, position: Position) -> Self {
        if self.end.is_none_or(|end| position < end) {
            self.end = Some(position);
        }
        self
    }

    /// From the newest entry to the oldest.
    pub fn newest_first(mut self) -> Self {
        self.direction = Direction::Backward;
        self
    }

    /// So many entries at the most, counted from the end that is read first.
    pub fn limit(mut self, limit: u64) -> Self {
        self.limit = self.limit.min(limit);
        self
    }

    /// The selection of what is left once entries up to `position` have been read.
    #[cfg(feature = "std")]
    pub(crate) fn beyond(self, position: Position, read: u64) -> Self {
        let limit = self.limit.saturating_sub(read);
        let mut rest = match self.direction {
            Direction::Forward => self.after(position),
            Direction::Backward => self.before(position),
        };
        rest.limit = limit;
        rest
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

/// Entries read one after another from a view that outlives it.
pub(crate) struct Scan<'a> {
    rows: Rows<'a>,
    left: u64,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(data: &'a dyn DataRead, selection: &Selection) -> Result<Self, BackendError> {
        let start = selection.start.map(|position| position.to_key());
        let end = selection.end.map(|position| position.to_key());
        let span = (
            start.as_ref().map(<[u8; Position::KEY_LEN]>::as_slice),
            end.as_ref()
                .map_or(Bound::Unbounded, |end| Bound::Excluded(end.as_slice())),
        );
        Ok(Self {
            rows: data.range(span, selection.direction)?,
            left: selection.limit,
        })
    }

    pub(crate) fn next(&mut self) -> Result<Option<Entry>, BackendError> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(None);
        };
        self.left = left;
        self.rows.next()?.map(Entry::from_row).transpose()
    }
}

/// Counts every entry without copying one.
pub(crate) fn count(data: &dyn DataRead) -> Result<u64, BackendError> {
    let mut rows = data.range(lattice_backend::EVERYTHING, Direction::Forward)?;
    let mut count = 0;
    while rows.next()?.is_some() {
        count += 1;
    }
    Ok(count)
}
