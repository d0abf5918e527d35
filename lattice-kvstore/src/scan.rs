//! Iterators that read a snapshot page by page.

use std::iter::FusedIterator;
use std::ops::{ControlFlow, Range};

use lattice_backend::backend::{BackendError, Direction};
use lattice_backend::engine::read::Snapshot;

use crate::range::KeyRange;
use crate::read;

/// Rows of the first page; small, since a caller may want only a few.
const FIRST_PAGE: usize = 16;
/// Maximum number of rows of a page.
const LARGEST_PAGE: usize = 512;
/// A page is full once its keys and values have this many bytes.
const PAGE_BYTES: usize = 256 << 10;

/// A key and its value.
type Entry = (Vec<u8>, Vec<u8>);

/// Keys and values of a range, in ascending order of keys, or in descending order from the other
/// end. At most one page from each end is in memory, however long the range. After an error the
/// iterator ends.
#[derive(Debug, Clone)]
pub struct Scan(Pages);

/// The keys of a range; see [`Scan::keys`].
#[derive(Debug, Clone)]
pub struct Keys(Pages);

impl Scan {
    pub(crate) fn new(snapshot: Snapshot, range: KeyRange) -> Self {
        Self(Pages::new(snapshot, range))
    }

    /// The keys only, without copying their values.
    pub fn keys(self) -> Keys {
        let mut pages = self.0;
        pages.keys_only = true;
        Keys(pages)
    }
}

impl Iterator for Scan {
    type Item = Result<Entry, BackendError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

impl DoubleEndedIterator for Scan {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back()
    }
}

impl FusedIterator for Scan {}

impl Iterator for Keys {
    type Item = Result<Vec<u8>, BackendError>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.0.next()?;
        Some(entry.map(|(key, _)| key))
    }
}

impl DoubleEndedIterator for Keys {
    fn next_back(&mut self) -> Option<Self::Item> {
        let entry = self.0.next_back()?;
        Some(entry.map(|(key, _)| key))
    }
}

impl FusedIterator for Keys {}

#[derive(Debug, Clone)]
struct Pages {
    snapshot: Snapshot,
    /// The part not yet read from either end; `None` once all is read.
    rest: Option<KeyRange>,
    /// Entries read before the rest, in ascending order.
    front: Page,
    /// Entries read after the rest, in descending order.
    back: Page,
    page_rows: usize,
    keys_only: bool,
}

impl Pages {
    fn new(snapshot: Snapshot, range: KeyRange) -> Self {
        Self {
            snapshot,
            rest: Some(range),
            front: Page::default(),
            back: Page::default(),
            page_rows: FIRST_PAGE,
            keys_only: false,
        }
    }

    #[inline]
    fn next(&mut self) -> Option<Result<Entry, BackendError>> {
        match self.front.pop_front() {
            Some(entry) => Some(Ok(entry)),
            None => self.next_page().transpose(),
        }
    }

    #[inline]
    fn next_back(&mut self) -> Option<Result<Entry, BackendError>> {
        match self.back.pop_front() {
            Some(entry) => Some(Ok(entry)),
            None => self.next_back_page().transpose(),
        }
    }

    /// The first entry of the next page; after the last page, entries read from the other end.
    fn next_page(&mut self) -> Result<Option<Entry>, BackendError> {
        if let Some(rest) = self.rest.take() {
            let last = self.read(&rest, Direction::Forward)?;
            self.rest = last.map(|key| rest.after(key));
        }
        Ok(self.front.pop_front().or_else(|| self.back.pop_back()))
    }

    fn next_back_page(&mut self) -> Result<Option<Entry>, BackendError> {
        if let Some(mut rest) = self.rest.take()
            && let Some(last) = self.read(&rest, Direction::Backward)?
        {
            rest.end_before(last);
            self.rest = Some(rest);
        }
        Ok(self.back.pop_front().or_else(|| self.front.pop_back()))
    }

    /// Reads the next page from one end of the rest. Returns its last key if there may be more.
    fn read(
        &mut self,
        rest: &KeyRange,
        direction: Direction,
    ) -> Result<Option<Vec<u8>>, BackendError> {
        let (rows, keys_only) = (self.page_rows, self.keys_only);
        let page = match direction {
            Direction::Forward => &mut self.front,
            Direction::Backward => &mut self.back,
        };
        page.clear();
        let mut is_full = false;
        let mut push = |key: &[u8], value: &[u8]| {
            page.push(key, value);
            is_full = page.len() >= rows || page.bytes.len() >= PAGE_BYTES;
            match is_full {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        };
        let read = match keys_only {
            true => read::scan_keys(&self.snapshot, rest, direction, &mut |key| push(key, &[])),
            false => read::scan(&self.snapshot, rest, direction, &mut push),
        };
        let last = page.last_key().filter(|_| is_full);
        let last = last.map(<[u8]>::to_vec);
        if let Err(error) = read {
            self.front.clear();
            self.back.clear();
            return Err(error);
        }
        self.page_rows = (2 * self.page_rows).min(LARGEST_PAGE);
        Ok(last)
    }
}

/// Entries in the order of reading, in one buffer that successive pages reuse. An entry is
/// allocated only when it is returned.
#[derive(Debug, Clone, Default)]
struct Page {
    bytes: Vec<u8>,
    /// Where each key and its value end; they begin where the previous entry ends.
    ends: Vec<(usize, usize)>,
    /// The entries that have not been returned yet.
    left: Range<usize>,
}

impl Page {
    fn len(&self) -> usize {
        self.ends.len()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.left = 0..0;
    }

    fn push(&mut self, key: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(key);
        let key_end = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.ends.push((key_end, self.bytes.len()));
        self.left.end = self.ends.len();
    }

    fn last_key(&self) -> Option<&[u8]> {
        Some(self.entry(self.ends.len().checked_sub(1)?).0)
    }

    #[inline]
    fn pop_front(&mut self) -> Option<Entry> {
        let place = self.left.next()?;
        Some(self.owned(place))
    }

    fn pop_back(&mut self) -> Option<Entry> {
        let place = self.left.next_back()?;
        Some(self.owned(place))
    }

    #[inline]
    fn entry(&self, place: usize) -> (&[u8], &[u8]) {
        let start = match place.checked_sub(1) {
            Some(before) => self.ends[before].1,
            None => 0,
        };
        let (key_end, end) = self.ends[place];
        (&self.bytes[start..key_end], &self.bytes[key_end..end])
    }

    #[inline]
    fn owned(&self, place: usize) -> Entry {
        let (key, value) = self.entry(place);
        (key.to_vec(), value.to_vec())
    }
}

/// The keys with more than one value, in the order of their lengths, and keys of the same length in
/// the order of their bytes. After an error the iterator ends.
#[derive(Debug, Clone)]
pub struct ConflictedKeys {
    snapshot: Snapshot,
    last: Option<Vec<u8>>,
    done: bool,
}

impl ConflictedKeys {
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        Self {
            snapshot,
            last: None,
            done: false,
        }
    }
}

impl Iterator for ConflictedKeys {
    type Item = Result<Vec<u8>, BackendError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = read::next_conflicted(&self.snapshot, self.last.as_deref()).transpose();
        match &next {
            Some(Ok(key)) => self.last = Some(key.clone()),
            _ => self.done = true,
        }
        next
    }
}

impl FusedIterator for ConflictedKeys {}
