//! Entries read lazily.

use std::vec;

use lattice_backend::{BackendError, Snapshot};

use crate::select::Scan;
use crate::{Entry, Selection};

/// Entries of the first page: a caller may want but a few.
const FIRST_PAGE: u64 = 16;
/// Entries of a page at the most.
const LARGEST_PAGE: u64 = 512;
/// A page is full once its contents have so many bytes.
const PAGE_BYTES: usize = 256 << 10;

/// Entries of one view of a log, read a page at a time. After an error there is nothing more.
#[derive(Debug)]
pub struct Entries {
    snapshot: Snapshot,
    /// What is not read yet; nothing once all is.
    rest: Option<Selection>,
    page: vec::IntoIter<Entry>,
    page_entries: u64,
}

impl Entries {
    pub(crate) fn new(snapshot: Snapshot, selection: Selection) -> Self {
        let page = Vec::new().into_iter();
        Self {
            snapshot,
            rest: Some(selection),
            page,
            page_entries: FIRST_PAGE,
        }
    }

    /// Reads the next page, if there is more.
    fn turn(&mut self) -> Result<(), BackendError> {
        let Some(selection) = self.rest.take() else {
            return Ok(());
        };
        let mut scan = Scan::new(&self.snapshot, &selection)?;
        let mut page = Vec::new();
        let mut bytes = 0;
        let mut left = self.page_entries;
        while left > 0 && bytes < PAGE_BYTES {
            let Some(entry) = scan.next()? else { break };
            bytes += entry.content.len();
            left -= 1;
            page.push(entry);
        }
        if let Some(last) = page.last().filter(|_| left == 0 || bytes >= PAGE_BYTES) {
            self.rest = Some(selection.beyond(last.position(), self.page_entries - left));
        }
        self.page_entries = (2 * self.page_entries).min(LARGEST_PAGE);
        self.page = page.into_iter();
        Ok(())
    }
}

impl Iterator for Entries {
    type Item = Result<Entry, BackendError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.as_slice().is_empty()
            && let Err(error) = self.turn()
        {
            return Some(Err(error));
        }
        self.page.next().map(Ok)
    }
}

impl std::iter::FusedIterator for Entries {}
