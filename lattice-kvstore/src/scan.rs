//! Iterators that read a snapshot page by page.

use std::collections::VecDeque;
use std::iter::FusedIterator;
use std::ops::ControlFlow;

use lattice_backend::{BackendError, Direction, Snapshot};

use crate::range::KeyRange;
use crate::read;

/// Rows of the first page: a caller may want but a few.
const FIRST_PAGE: usize = 16;
/// Rows of a page at the most.
const LARGEST_PAGE: usize = 512;
/// A page is full once its keys and values have so many bytes.
const PAGE_BYTES: usize = 256 << 10;

/// A key and its value.
type Entry = (Vec<u8>, Vec<u8>);

/// Keys and values of a range, in ascending order of keys, or in descending order from the other
/// end. However long the range, no more than a page from each end is in memory. After an error
/// there is nothing more.
#[derive(Debug, Clone)]
pub struct Scan(Pages);

/// The keys of a range; see [`Scan::keys`].
#[derive(Debug, Clone)]
pub struct Keys(Pages);

impl Scan {
    pub(crate) fn new(snapshot: Snapshot, range: KeyRange) -> Self {
        Self(Pages::new(snapshot, range))
    }

    /// The keys alone: their values are not copied.
    pub fn keys(self) -> Keys {
        let mut pages = self.0;
        pages.keys_only = true;
        Keys(pages)
    }
}

impl Iterator for Scan {
    type Item = Result<Entry, BackendError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().transpose()
    }
}

impl DoubleEndedIterator for Scan {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back().transpose()
    }
}

impl FusedIterator for Scan {}

impl Iterator for Keys {
    type Item = Result<Vec<u8>, BackendError>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.0.next().transpose()?;
        Some(entry.map(|(key, _)| key))
    }
}

impl DoubleEndedIterator for Keys {
    fn next_back(&mut self) -> Option<Self::Item> {
        let entry = self.0.next_back().transpose()?;
        Some(entry.map(|(key, _)| key))
    }
}

impl FusedIterator for Keys {}

#[derive(Debug, Clone)]
struct Pages {
    snapshot: Snapshot,
    /// What has been read from neither end; nothing once all has.
    rest: Option<KeyRange>,
    /// Entries read in front of the rest, in ascending order.
    front: VecDeque<Entry>,
    /// Entries read behind the rest, in ascending order.
    back: VecDeque<Entry>,
    page_rows: usize,
    keys_only: bool,
}

impl Pages {
    fn new(snapshot: Snapshot, range: KeyRange) -> Self {
        Self {
            snapshot,
            rest: Some(range),
            front: VecDeque::new(),
            back: VecDeque::new(),
            page_rows: FIRST_PAGE,
            keys_only: false,
        }
    }

    fn next(&mut self) -> Result<Option<Entry>, BackendError> {
        if self.front.is_empty()
            && let Some(rest) = self.rest.take()
        {
            let page = self.read(&rest, Direction::Forward)?;
            if let Some((key, _)) = page.last_if_full() {
                self.rest = Some(rest.after(key.clone()));
            }
            self.front = page.entries;
        }
        Ok(self.front.pop_front().or_else(|| self.back.pop_front()))
    }

    fn next_back(&mut self) -> Result<Option<Entry>, BackendError> {
        if self.back.is_empty()
            && let Some(rest) = self.rest.take()
        {
            let mut page = self.read(&rest, Direction::Backward)?;
            if let Some((key, _)) = page.last_if_full() {
                self.rest = Some(rest.ending(key.clone()));
            }
            page.entries.make_contiguous().reverse();
            self.back = page.entries;
        }
        Ok(self.back.pop_back().or_else(|| self.front.pop_back()))
    }

    /// Reads the next page from one end of the rest.
    fn read(&mut self, rest: &KeyRange, direction: Direction) -> Result<Page, BackendError> {
        let mut page = Page {
            entries: VecDeque::new(),
            full: false,
        };
        let mut bytes = 0;
        read::scan(&self.snapshot, rest, direction, |key, value| {
            let value = if self.keys_only { &[] } else { value };
            bytes += key.len() + value.len();
            page.entries.push_back((key.to_vec(), value.to_vec()));
            page.full = page.entries.len() >= self.page_rows || bytes >= PAGE_BYTES;
            if page.full {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .inspect_err(|_| {
            self.front.clear();
            self.back.clear();
        })?;
        self.page_rows = (2 * self.page_rows).min(LARGEST_PAGE);
        Ok(page)
    }
}

/// Entries in the order in which they were read.
struct Page {
    entries: VecDeque<Entry>,
    full: bool,
}

impl Page {
    /// Where the next page continues, if there may be one.
    fn last_if_full(&self) -> Option<&Entry> {
        self.entries.back().filter(|_| self.full)
    }
}

/// The keys with more than one value, in the order of their lengths, and those of one length in
/// the order of their bytes. After an error there is nothing more.
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
