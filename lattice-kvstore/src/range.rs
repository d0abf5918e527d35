//! Ranges of keys.

use alloc::vec::Vec;
use core::ops::Bound;

use lattice_backend::backend::{PrefixSpan, Span};

use crate::rows;

/// A range of keys that owns its ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyRange {
    start: Bound<Vec<u8>>,
    end: Bound<Vec<u8>>,
}

impl KeyRange {
    /// All keys.
    pub(crate) const ALL: Self = Self {
        start: Bound::Unbounded,
        end: Bound::Unbounded,
    };

    /// From one end to the other.
    #[cfg(feature = "std")]
    pub(crate) fn new<K: AsRef<[u8]>>(range: &impl core::ops::RangeBounds<K>) -> Self {
        let own = |bound: Bound<&K>| bound.map(|key| key.as_ref().to_vec());
        Self {
            start: own(range.start_bound()),
            end: own(range.end_bound()),
        }
    }

    /// The keys that start with a prefix.
    pub(crate) fn prefix(prefix: &[u8]) -> Self {
        let span = PrefixSpan::new(prefix);
        let (start, end) = span.span();
        Self {
            start: start.map(<[u8]>::to_vec),
            end: end.map(<[u8]>::to_vec),
        }
    }

    /// Those of its keys that start with a prefix.
    #[cfg(feature = "std")]
    pub(crate) fn with_prefix(self, prefix: &[u8]) -> Self {
        let Self { start, end } = Self::prefix(prefix);
        // The ends of a prefix are an included first key and an excluded one behind the last.
        let start = match (&self.start, start) {
            (Bound::Included(own) | Bound::Excluded(own), Bound::Included(first))
                if *own >= first =>
            {
                self.start
            }
            (_, first) => first,
        };
        let end = match (&self.end, end) {
            (Bound::Included(own), Bound::Excluded(behind)) if *own >= behind => {
                Bound::Excluded(behind)
            }
            (Bound::Excluded(own), Bound::Excluded(behind)) if *own > behind => {
                Bound::Excluded(behind)
            }
            (Bound::Unbounded, behind) => behind,
            _ => self.end,
        };
        Self { start, end }
    }

    /// Those of its keys that are `from` or follow it.
    pub(crate) fn starting(mut self, from: Vec<u8>) -> Self {
        let later = match &self.start {
            Bound::Included(start) | Bound::Excluded(start) => from > *start,
            Bound::Unbounded => true,
        };
        if later {
            self.start = Bound::Included(from);
        }
        self
    }

    /// Those of its keys that precede `to`.
    pub(crate) fn ending(mut self, to: Vec<u8>) -> Self {
        let earlier = match &self.end {
            Bound::Included(end) => to <= *end,
            Bound::Excluded(end) => to < *end,
            Bound::Unbounded => true,
        };
        if earlier {
            self.end = Bound::Excluded(to);
        }
        self
    }

    /// Those of its keys that follow one of them.
    #[cfg(feature = "std")]
    pub(crate) fn after(mut self, key: Vec<u8>) -> Self {
        self.start = Bound::Excluded(key);
        self
    }

    /// The range of the cells of these keys.
    pub(crate) fn cell_span(&self) -> CellSpan {
        let cell = |key: &Vec<u8>| rows::cell_key(key);
        let start = match self.start.as_ref().map(cell) {
            Bound::Unbounded => Bound::Included(rows::FIRST_CELL.to_vec()),
            bound => bound,
        };
        let end = match self.end.as_ref().map(cell) {
            Bound::Unbounded => Bound::Excluded(rows::AFTER_CELLS.to_vec()),
            bound => bound,
        };
        CellSpan { start, end }
    }
}

/// A range of rows that owns its ends.
pub(crate) struct CellSpan {
    start: Bound<Vec<u8>>,
    end: Bound<Vec<u8>>,
}

impl CellSpan {
    /// The range in the form that transactions take.
    pub(crate) fn span(&self) -> Span<'_> {
        (
            self.start.as_ref().map(Vec::as_slice),
            self.end.as_ref().map(Vec::as_slice),
        )
    }
}
