//! Ranges of keys.

use alloc::vec::Vec;
use core::ops::Bound;

use lattice_backend::backend::{PrefixSpan, Span};

use crate::rows;

/// A range of keys with owned bounds.
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

    /// The range between two bounds.
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

    /// Narrows the range to the keys that start with a prefix.
    #[cfg(feature = "std")]
    pub(crate) fn with_prefix(self, prefix: &[u8]) -> Self {
        let Self { start, end } = Self::prefix(prefix);
        // A prefix range includes its first key and excludes the key after its last one.
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

    /// Narrows the range to the keys at or after `from`.
    pub(crate) fn start_at(&mut self, from: Vec<u8>) {
        let later = match &self.start {
            Bound::Included(start) | Bound::Excluded(start) => from > *start,
            Bound::Unbounded => true,
        };
        if later {
            self.start = Bound::Included(from);
        }
    }

    /// Narrows the range to the keys before `to`.
    pub(crate) fn end_before(&mut self, to: Vec<u8>) {
        let earlier = match &self.end {
            Bound::Included(end) => to <= *end,
            Bound::Excluded(end) => to < *end,
            Bound::Unbounded => true,
        };
        if earlier {
            self.end = Bound::Excluded(to);
        }
    }

    /// Narrows the range to the keys after one of its keys.
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

/// A range of rows with owned bounds.
pub(crate) struct CellSpan {
    start: Bound<Vec<u8>>,
    end: Bound<Vec<u8>>,
}

impl CellSpan {
    /// The range as backend reads take it.
    pub(crate) fn span(&self) -> Span<'_> {
        (
            self.start.as_ref().map(Vec::as_slice),
            self.end.as_ref().map(Vec::as_slice),
        )
    }
}
