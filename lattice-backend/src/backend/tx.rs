//! Transactions over the tables of a store, and the part of them that a state machine sees.
//!
//! All tables map bytes to bytes; a backend does not interpret rows.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::ops::{Bound, ControlFlow};

use crate::backend::BackendError;

/// The result of a transaction's calls.
pub type Result<T, E = BackendError> = core::result::Result<T, E>;

/// The tables of a `state.db`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// The boot sector: what peek reads.
    Meta,
    /// Lattice's own records beside the boot sector: genesis, accumulator, frontier, forks.
    System,
    /// The ops in the local order of application.
    Ops,
    /// The applied ops by author.
    Applied,
    /// The state machine's own rows.
    Data,
    /// Ops that the code of the store type could not apply, and their descendants.
    Held,
}

impl Table {
    /// All tables, in the order of their declaration.
    pub const ALL: [Self; 6] = [
        Self::Meta,
        Self::System,
        Self::Ops,
        Self::Applied,
        Self::Data,
        Self::Held,
    ];

    /// The table's name on disk.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::System => "system",
            Self::Ops => "ops",
            Self::Applied => "applied",
            Self::Data => "data",
            Self::Held => "held",
        }
    }

    /// The table's position in [`Self::ALL`].
    #[cfg(feature = "std")]
    pub(crate) const fn position(self) -> usize {
        match self {
            Self::Meta => 0,
            Self::System => 1,
            Self::Ops => 2,
            Self::Applied => 3,
            Self::Data => 4,
            Self::Held => 5,
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The end that a range is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Ascending keys.
    Forward,
    /// Descending keys.
    Backward,
}

/// A range of keys. If its start is greater than its end, it is empty.
pub type Span<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// The range of all keys.
pub const EVERYTHING: Span<'static> = (Bound::Unbounded, Bound::Unbounded);

/// The range of the keys that start with a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixSpan {
    start: Vec<u8>,
    end: Option<Vec<u8>>,
}

impl PrefixSpan {
    /// The range for this prefix; an empty one covers all keys.
    pub fn new(prefix: &[u8]) -> Self {
        let last = prefix.iter().rposition(|&byte| byte != u8::MAX);
        let end = last.map(|last| {
            let mut end = prefix[..=last].to_vec();
            end[last] += 1;
            end
        });
        Self {
            start: prefix.to_vec(),
            end,
        }
    }

    /// The range as transactions take it.
    pub fn span(&self) -> Span<'_> {
        let end = self
            .end
            .as_deref()
            .map_or(Bound::Unbounded, Bound::Excluded);
        (Bound::Included(&self.start), end)
    }
}

/// Whether no key can lie in the range. Backends treat such ranges differently.
#[cfg(feature = "std")]
pub(crate) fn is_empty_span(span: Span<'_>) -> bool {
    match span {
        (Bound::Included(start), Bound::Included(end)) => start > end,
        (Bound::Included(start) | Bound::Excluded(start), Bound::Excluded(end))
        | (Bound::Excluded(start), Bound::Included(end)) => start >= end,
        _ => false,
    }
}

/// One row, borrowed from the cursor that read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row<'a> {
    /// The row's key.
    pub key: &'a [u8],
    /// The row's value.
    pub value: &'a [u8],
}

/// Reads rows one by one. Each is borrowed until the next call: a scan allocates nothing.
pub trait RowCursor {
    /// The next row, or `None` at the end.
    ///
    /// # Errors
    /// What the backend reports while it reads.
    fn next(&mut self) -> Result<Option<Row<'_>>>;

    /// Passes the remaining rows to `each` until it breaks. For many rows this is faster than
    /// [`next`](Self::next).
    ///
    /// # Errors
    /// What the backend reports while it reads.
    fn visit(&mut self, each: &mut dyn FnMut(Row<'_>) -> ControlFlow<()>) -> Result<()> {
        while let Some(row) = self.next()? {
            if each(row).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// A boxed cursor of any type.
pub type Rows<'a> = Box<dyn RowCursor + 'a>;

/// An empty cursor.
#[cfg(feature = "std")]
pub(crate) struct NoRows;

#[cfg(feature = "std")]
impl RowCursor for NoRows {
    fn next(&mut self) -> Result<Option<Row<'_>>> {
        Ok(None)
    }
}

/// A consistent view of all tables.
pub trait ReadTx {
    /// The value under a key.
    ///
    /// # Errors
    /// What the backend reports while it reads.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// Passes the value under a key to `see`, if there is one, without a copy where the backend can
    /// avoid it. Returns whether there is one.
    ///
    /// # Errors
    /// What the backend reports while it reads.
    fn show(&self, table: Table, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let value = self.get(table, key)?;
        Ok(value.inspect(|value| see(value)).is_some())
    }

    /// The rows in a range, in either direction.
    ///
    /// # Errors
    /// What the backend reports while it reads.
    fn range(&self, table: Table, span: Span<'_>, direction: Direction) -> Result<Rows<'_>>;

    /// The number of rows of a table, for progress reports; `None` if the backend would have to
    /// count them.
    ///
    /// # Errors
    /// What the backend reports while it reads.
    fn row_count(&self, table: Table) -> Result<Option<u64>> {
        let _ = table;
        Ok(None)
    }

    /// The space that a table takes; `None` if the backend does not know it. It may have to read
    /// every page of the table.
    ///
    /// # Errors
    /// What the backend reports while it reads.
    fn usage(&self, table: Table) -> Result<Option<TableUsage>> {
        let _ = table;
        Ok(None)
    }
}

/// The space that tables take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TableUsage {
    /// The number of rows.
    pub rows: u64,
    /// The bytes of their keys and values.
    pub row_bytes: u64,
    /// The bytes of what the backend keeps to find them.
    pub index_bytes: u64,
    /// The bytes that are unused within the backend's pages.
    pub unused_bytes: u64,
}

impl TableUsage {
    /// What both take together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            rows: self.rows.saturating_add(other.rows),
            row_bytes: self.row_bytes.saturating_add(other.row_bytes),
            index_bytes: self.index_bytes.saturating_add(other.index_bytes),
            unused_bytes: self.unused_bytes.saturating_add(other.unused_bytes),
        }
    }

    /// The bytes that are in use.
    pub const fn used_bytes(self) -> u64 {
        self.row_bytes.saturating_add(self.index_bytes)
    }
}

/// The rows of a write transaction, including its own writes. Other transactions see the writes
/// once the owner has committed the transaction.
pub trait WriteTx: ReadTx {
    /// Writes a row. Replaces a row with the same key.
    ///
    /// # Errors
    /// What the backend reports.
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<()>;

    /// Writes a row and returns the value that it replaces.
    ///
    /// # Errors
    /// What the backend reports.
    fn replace(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>>;

    /// Removes a row and returns its value.
    ///
    /// # Errors
    /// What the backend reports.
    fn remove(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// Writes rows that ascend and come after all rows of the table. A backend can do that faster
    /// than row by row.
    ///
    /// # Errors
    /// What the rows and the backend report. The transaction then cannot be committed.
    fn append(&mut self, table: Table, rows: &mut dyn RowCursor) -> Result<()> {
        while let Some(row) = rows.next()? {
            self.put(table, row.key, row.value)?;
        }
        Ok(())
    }
}
