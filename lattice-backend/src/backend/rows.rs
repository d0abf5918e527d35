//! What all backends do alike with the rows of a store: peek and copy.

use std::ops::{Bound, ControlFlow};
use std::path::Path;

use lattice_meta::MetaInfo;

use crate::backend::file_error::{FileFault, PeekFault};
use crate::backend::{
    BackendError, Direction, EVERYTHING, FileError, OpenOptions, Peek, PeekError, ReadTx, Result,
    Row, RowCursor, Rows, Span, StateBackend, StateDb, Table, WriteTx,
};
use crate::history::system::{JOURNAL, LOGIC};
use crate::machine::LogicVersion;
use crate::progress::{Counted, ProgressSink, Stage};

/// Reads the `meta` table of an open store.
pub(crate) fn read_meta(tx: &dyn ReadTx) -> Result<MetaInfo, PeekFault> {
    let mut rows = Vec::new();
    let mut cursor = tx.range(Table::Meta, EVERYTHING, Direction::Forward)?;
    while let Some(row) = cursor.next()? {
        rows.push((row.key.to_vec(), row.value.to_vec()));
    }
    Ok(MetaInfo::from_rows(rows)?)
}

/// Reads an open store's peek data.
pub(crate) fn read_peek(tx: &dyn ReadTx) -> Result<Peek, PeekFault> {
    let meta = read_meta(tx)?;
    // Opening the store detects damage outside `meta`; peek shows what can be read.
    let logic = match tx.get(Table::System, LOGIC) {
        Err(BackendError::Damaged { .. }) => None,
        row => row?.and_then(logic_text),
    };
    Ok(Peek { meta, logic })
}

/// What [`StateBackend::peek`] would return for a file that is already open.
///
/// # Errors
/// See [`PeekError`].
pub fn peek_open(db: &dyn StateDb, path: &Path) -> Result<Peek, PeekError> {
    let peek = db.snapshot().map_err(PeekFault::from);
    let peek = peek.and_then(|tx| read_peek(&*tx));
    peek.map_err(|fault| fault.at(path))
}

/// The recorded logic version, if the row is a valid one.
fn logic_text(row: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(row).ok()?;
    LogicVersion::new(&text).is_ok().then_some(text)
}

/// Refuses a store with an open journal: a backend that reads it hides its mark.
pub(crate) fn check_journal(tx: &dyn ReadTx) -> Result<()> {
    match tx.get(Table::System, JOURNAL)? {
        Some(mark) if mark.get(1) != Some(&0) => Err(BackendError::JournalUnread),
        _ => Ok(()),
    }
}

/// Copies a store of `source` row by row to a new file of `backend`. `edit` then changes the copy in
/// the same transaction.
pub(crate) fn copy_store(
    source: &dyn StateBackend,
    backend: &dyn StateBackend,
    path: &Path,
    target: &Path,
    edit: &mut dyn FnMut(&mut dyn WriteTx) -> Result<()>,
    progress: &ProgressSink,
) -> Result<(), FileError> {
    let unreadable = |error: BackendError| FileFault::from(error).at(path);
    let from = source.open(path, &OpenOptions::read_only())?;
    let tx = from.snapshot().map_err(unreadable)?;
    check_journal(&*tx).map_err(unreadable)?;
    // `create` would attribute a read error of the source to the target file.
    let mut unread = None;
    let copied = backend.create(target, &mut |to| {
        copy_rows(&*tx, to, &mut unread, progress)?;
        edit(to)
    });
    drop(tx);
    // The copy is complete or gone. A file that was only read loses nothing if closing it fails.
    let _ = from.close();
    unread.map_or(copied, |error| Err(unreadable(error)))
}

/// Copies every row of every table. An error of `from` goes to `unread`.
fn copy_rows(
    from: &dyn ReadTx,
    to: &mut dyn WriteTx,
    unread: &mut Option<BackendError>,
    progress: &ProgressSink,
) -> Result<()> {
    let total = all_rows(from).map_err(|error| set_aside(error, unread))?;
    let mut copied = Counted::new(progress, Stage::Copy, total);
    for table in Table::ALL {
        for &span in spans(table) {
            let rows = from.range(table, span, Direction::Forward);
            let rows = rows.map_err(|error| set_aside(error, unread))?;
            let rows = CountedRows {
                rows,
                counted: &mut copied,
            };
            to.append(table, &mut Readable { rows, unread })?;
        }
    }
    Ok(())
}

/// The rows of a table that a copy has. It has no journal, and a copy of this file has none that is
/// open.
fn spans(table: Table) -> &'static [Span<'static>] {
    match table {
        Table::System => &[
            (Bound::Unbounded, Bound::Excluded(JOURNAL)),
            (Bound::Excluded(JOURNAL), Bound::Unbounded),
        ],
        _ => &[EVERYTHING],
    }
}

/// Rows whose number is reported while they are read.
pub(crate) struct CountedRows<'a, 'p> {
    pub(crate) rows: Rows<'a>,
    pub(crate) counted: &'a mut Counted<'p>,
}

impl RowCursor for CountedRows<'_, '_> {
    fn next(&mut self) -> Result<Option<Row<'_>>> {
        let row = self.rows.next()?;
        if row.is_some() {
            self.counted.one();
        }
        Ok(row)
    }

    fn visit(&mut self, each: &mut dyn FnMut(Row<'_>) -> ControlFlow<()>) -> Result<()> {
        self.rows.visit(&mut |row| {
            self.counted.one();
            each(row)
        })
    }
}

/// Rows of the source of a copy, whose errors are set aside.
struct Readable<'a, 'p> {
    rows: CountedRows<'a, 'p>,
    unread: &'a mut Option<BackendError>,
}

impl RowCursor for Readable<'_, '_> {
    fn next(&mut self) -> Result<Option<Row<'_>>> {
        let row = self.rows.next();
        row.map_err(|error| set_aside(error, self.unread))
    }

    fn visit(&mut self, each: &mut dyn FnMut(Row<'_>) -> ControlFlow<()>) -> Result<()> {
        let visited = self.rows.visit(each);
        visited.map_err(|error| set_aside(error, self.unread))
    }
}

/// Keeps an error of the source, and returns one with which writing the copy ends.
fn set_aside(error: BackendError, unread: &mut Option<BackendError>) -> BackendError {
    *unread = Some(error);
    BackendError::storage("copying rows", "the source cannot be read")
}

/// The number of rows of all tables, if the backend knows it.
fn all_rows(tx: &dyn ReadTx) -> Result<Option<u64>> {
    let mut sum = Some(0);
    for table in Table::ALL {
        let rows = tx.row_count(table)?;
        sum = sum.zip(rows).map(|(sum, rows)| sum + rows);
    }
    Ok(sum)
}
