//! Iterates over entries lazily.

use std::vec;

use lattice_backend::backend::BackendError;
use lattice_backend::engine::read::Snapshot;

use crate::run::Run;
use crate::{Entry, Selection};

/// Rows of the first page; small, since a caller may want only a few entries.
const FIRST_PAGE: usize = 16;
/// Maximum number of rows of a page.
const LARGEST_PAGE: usize = 512;

/// Entries of a snapshot, read an op at a time. After an error the iterator ends.
#[derive(Debug)]
pub struct Entries {
    snapshot: Snapshot,
    selection: Selection,
    /// Rows that are not read yet; `None` once all are read.
    rest: Option<Selection>,
    page: vec::IntoIter<Run>,
    page_rows: usize,
    /// The remaining entries of the current op.
    op: vec::IntoIter<Entry>,
    /// How many more entries the caller wants.
    left: u64,
}

impl Entries {
    pub(crate) fn new(snapshot: Snapshot, selection: Selection) -> Self {
        Self {
            snapshot,
            rest: Some(selection.clone()),
            page: Vec::new().into_iter(),
            page_rows: FIRST_PAGE,
            op: Vec::new().into_iter(),
            left: selection.most(),
            selection,
        }
    }

    /// Reads the next op that has selected entries, if there is one.
    fn turn(&mut self) -> Result<(), BackendError> {
        while self.left > 0 && self.op.as_slice().is_empty() {
            let Some(run) = self.next_run()? else {
                return Ok(());
            };
            let history = self.snapshot.history();
            let entries = self.selection.entries(&run, &history, self.left)?;
            self.op = entries.into_iter();
        }
        Ok(())
    }

    fn next_run(&mut self) -> Result<Option<Run>, BackendError> {
        if let Some(run) = self.page.next() {
            return Ok(Some(run));
        }
        let Some(selection) = self.rest.take() else {
            return Ok(None);
        };
        let mut rows = selection.runs(&self.snapshot)?;
        let mut page = Vec::new();
        while page.len() < self.page_rows
            && let Some(row) = rows.next()?
        {
            page.push(Run::from_row(row)?);
        }
        drop(rows);
        if let Some(last) = page.last().filter(|_| page.len() == self.page_rows) {
            self.rest = Some(selection.beyond(last));
        }
        self.page_rows = (2 * self.page_rows).min(LARGEST_PAGE);
        self.page = page.into_iter();
        Ok(self.page.next())
    }

    fn end(&mut self) {
        (self.rest, self.left) = (None, 0);
        self.page = Vec::new().into_iter();
    }
}

impl Iterator for Entries {
    type Item = Result<Entry, BackendError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.op.as_slice().is_empty()
            && let Err(error) = self.turn()
        {
            self.end();
            return Some(Err(error));
        }
        let entry = self.op.next()?;
        self.left -= 1;
        Some(Ok(entry))
    }
}

impl std::iter::FusedIterator for Entries {}
