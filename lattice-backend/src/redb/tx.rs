//! Snapshots, and reading rows of a table.

use std::cell::Cell;
use std::cmp::Ordering;
use std::fmt;
use std::ops::{Bound, ControlFlow};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::OnceLock;

use redb::{
    AccessGuard, ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata,
    StorageError, TableDefinition, TableError,
};

use crate::backend::tx::{NoRows, is_empty_span};
use crate::backend::{
    BackendError, Direction, ReadTx, Result, Row, RowCursor, Rows, Span, Table, TableUsage,
};
use crate::redb::error::{contain, damage, storage_error, wrapped_error};

pub(super) type Bytes = &'static [u8];

/// Every table maps bytes to bytes, because redb has changed the encoding of its typed keys before.
pub(super) fn definition(table: Table) -> TableDefinition<'static, Bytes, Bytes> {
    TableDefinition::new(table.name())
}

/// A snapshot. It opens a table on its first use and keeps it open. A missing table reads as empty,
/// so that the caller reports which rows are missing.
pub(super) struct RedbReadTx {
    tx: ReadTransaction,
    tables: [OnceLock<Option<ReadOnlyTable<Bytes, Bytes>>>; Table::ALL.len()],
}

impl RedbReadTx {
    pub(super) fn new(tx: ReadTransaction) -> Self {
        Self {
            tx,
            tables: Default::default(),
        }
    }

    fn table(&self, table: Table) -> Result<Option<&ReadOnlyTable<Bytes, Bytes>>> {
        let cell = &self.tables[table.position()];
        if let Some(opened) = cell.get() {
            return Ok(opened.as_ref());
        }
        let opened = contain(|| match self.tx.open_table(definition(table)) {
            Ok(opened) => Ok(Some(opened)),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(wrapped_error("opening a table", error)),
        })?;
        // Another thread may have opened the same table first; either handle will do.
        Ok(cell.get_or_init(|| opened).as_ref())
    }
}

impl fmt::Debug for RedbReadTx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbReadTx").finish_non_exhaustive()
    }
}

impl ReadTx for RedbReadTx {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        match self.table(table)? {
            Some(table) => get(table, key),
            None => Ok(None),
        }
    }

    fn show(&self, table: Table, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        match self.table(table)? {
            Some(table) => show(table, key, see),
            None => Ok(false),
        }
    }

    fn range(&self, table: Table, span: Span<'_>, direction: Direction) -> Result<Rows<'_>> {
        match self.table(table)? {
            Some(table) => range(table, span, direction),
            None => Ok(Box::new(NoRows)),
        }
    }

    fn row_count(&self, table: Table) -> Result<Option<u64>> {
        self.table(table)?.map(row_count).transpose()
    }

    fn usage(&self, table: Table) -> Result<Option<TableUsage>> {
        match self.table(table)? {
            Some(table) => usage(table).map(Some),
            None => Ok(Some(TableUsage::default())),
        }
    }
}

/// redb keeps the number of a table's rows beside its root.
pub(super) fn row_count(table: &impl ReadableTableMetadata) -> Result<u64> {
    contain(|| {
        let rows = table.len();
        rows.map_err(|error| storage_error("counting rows", error))
    })
}

fn usage(table: &impl ReadableTableMetadata) -> Result<TableUsage> {
    let rows = row_count(table)?;
    contain(|| {
        let stats = table.stats();
        let stats = stats.map_err(|error| storage_error("measuring a table", error))?;
        Ok(TableUsage {
            rows,
            row_bytes: stats.stored_bytes(),
            index_bytes: stats.metadata_bytes(),
            unused_bytes: stats.fragmented_bytes(),
        })
    })
}

pub(super) fn owned(value: Option<AccessGuard<'_, Bytes>>) -> Result<Option<Vec<u8>>> {
    Ok(value.map(|guard| guard.value().to_vec()))
}

pub(super) fn get(table: &impl ReadableTable<Bytes, Bytes>, key: &[u8]) -> Result<Option<Vec<u8>>> {
    contain(|| {
        let found = table.get(key);
        owned(found.map_err(|error| storage_error("reading a row", error))?)
    })
}

pub(super) fn show(
    table: &impl ReadableTable<Bytes, Bytes>,
    key: &[u8],
    see: &mut dyn FnMut(&[u8]),
) -> Result<bool> {
    let found = contain(|| {
        let found = table.get(key);
        found.map_err(|error| storage_error("reading a row", error))
    })?;
    // In a damaged page a value can end beyond the page; the guard detects that when it is read.
    let value = contain(|| Ok(found.as_ref().map(AccessGuard::value)))?;
    Ok(value.inspect(|value| see(value)).is_some())
}

pub(super) fn range<'a>(
    table: &'a impl ReadableTable<Bytes, Bytes>,
    span: Span<'_>,
    direction: Direction,
) -> Result<Rows<'a>> {
    if is_empty_span(span) {
        return Ok(Box::new(NoRows));
    }
    let (start, end) = span;
    let (from, to) = match direction {
        Direction::Forward => (start, end),
        Direction::Backward => (end, start),
    };
    // redb gets only the start of the range; the cursor itself checks the end, and only once.
    let ahead = match direction {
        Direction::Forward => (start, Bound::Unbounded),
        Direction::Backward => (Bound::Unbounded, end),
    };
    let rows = contain(|| {
        table
            .range::<&[u8]>(ahead)
            .map_err(|error| storage_error("reading rows", error))
    })?;
    Ok(Box::new(RedbCursor {
        rows,
        direction,
        from: from.map(<[u8]>::to_vec),
        to: to.map(<[u8]>::to_vec),
        last: Vec::new(),
        has_last: false,
        is_done: false,
        lent: None,
    }))
}

/// Rows of a range. A damaged tree can return rows in any order and from anywhere, and a reader
/// that followed them after the last row would never end. The cursor reports such rows as damage.
struct RedbCursor<'a> {
    /// All rows from the start of the range on.
    rows: redb::Range<'a, Bytes, Bytes>,
    direction: Direction,
    /// The start and end of the range, in reading direction.
    from: Bound<Vec<u8>>,
    to: Bound<Vec<u8>>,
    /// The key of the last row that was returned.
    last: Vec<u8>,
    has_last: bool,
    /// A row after the end of the range was read.
    is_done: bool,
    /// The row that the caller borrows.
    lent: Option<Guards<'a>>,
}

type Guards<'a> = (AccessGuard<'a, Bytes>, AccessGuard<'a, Bytes>);

impl<'a> RedbCursor<'a> {
    /// Compares two keys in reading direction.
    #[inline(always)]
    fn order(&self, one: &[u8], other: &[u8]) -> Ordering {
        match self.direction {
            Direction::Forward => order(one, other),
            Direction::Backward => order(other, one),
        }
    }

    /// Whether a row with this key can be the next row, or the first one after the range.
    #[inline(always)]
    fn can_follow(&self, key: &[u8]) -> bool {
        if self.has_last {
            return self.order(&self.last, key).is_lt();
        }
        match &self.from {
            Bound::Included(from) => self.order(from, key).is_le(),
            Bound::Excluded(from) => self.order(from, key).is_lt(),
            Bound::Unbounded => true,
        }
    }

    #[inline(always)]
    fn is_within(&self, key: &[u8]) -> bool {
        match &self.to {
            Bound::Included(to) => self.order(key, to).is_le(),
            Bound::Excluded(to) => self.order(key, to).is_lt(),
            Bound::Unbounded => true,
        }
    }

    /// Reads the next row, if there is one.
    #[inline(always)]
    fn step(&mut self) -> Option<std::result::Result<Guards<'a>, StorageError>> {
        match self.direction {
            _ if self.is_done => None,
            Direction::Forward => self.rows.next(),
            Direction::Backward => self.rows.next_back(),
        }
    }

    /// Whether a row is in the range; remembers its key.
    #[inline(always)]
    fn check(&mut self, key: &[u8]) -> Result<bool> {
        if !self.can_follow(key) {
            return Err(BackendError::Damaged {
                detail: "the rows of a table are out of order".into(),
            });
        }
        if !self.is_within(key) {
            self.is_done = true;
            return Ok(false);
        }
        self.last.clear();
        self.last.extend_from_slice(key);
        self.has_last = true;
        Ok(true)
    }
}

/// The order of keys. Most keys differ in their first eight bytes, which are compared without a
/// call.
#[inline(always)]
fn order(one: &[u8], other: &[u8]) -> Ordering {
    match (one.first_chunk::<8>(), other.first_chunk::<8>()) {
        (Some(one), Some(other)) if one != other => {
            u64::from_be_bytes(*one).cmp(&u64::from_be_bytes(*other))
        }
        _ => match (one.first(), other.first()) {
            (Some(one), Some(other)) if one != other => one.cmp(other),
            _ => one.cmp(other),
        },
    }
}

fn not_read(error: StorageError) -> BackendError {
    storage_error("reading rows", error)
}

impl RowCursor for RedbCursor<'_> {
    fn next(&mut self) -> Result<Option<Row<'_>>> {
        contain(|| {
            self.lent = None;
            let Some(next) = self.step() else {
                return Ok(None);
            };
            let next = next.map_err(not_read)?;
            if !self.check(next.0.value())? {
                return Ok(None);
            }
            let (key, value) = self.lent.insert(next);
            Ok(Some(Row {
                key: key.value(),
                value: value.value(),
            }))
        })
    }

    fn visit(&mut self, each: &mut dyn FnMut(Row<'_>) -> ControlFlow<()>) -> Result<()> {
        let is_callers = Cell::new(false);
        let visited = catch_unwind(AssertUnwindSafe(|| {
            while let Some(next) = self.step() {
                let (key, value) = match next {
                    Ok(next) => next,
                    Err(error) => return Err(not_read(error)),
                };
                let (key, value) = (key.value(), value.value());
                if !self.check(key)? {
                    break;
                }
                is_callers.set(true);
                let flow = each(Row { key, value });
                is_callers.set(false);
                if flow.is_break() {
                    break;
                }
            }
            Ok(())
        }));
        match visited {
            // The panic is the caller's, not redb's.
            Err(panic) if is_callers.get() => resume_unwind(panic),
            Err(panic) => Err(damage(&*panic)),
            Ok(visited) => visited,
        }
    }
}
