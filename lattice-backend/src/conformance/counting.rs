//! A backend that counts the rows and bytes that pass through it.

use crate::progress::ProgressSink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::backend::{
    Access, Copied, Direction, FileError, Integrity, OpenOptions, Peek, PeekError, RawRows, ReadTx,
    Result, Row, RowCursor, Rows, Span, StateBackend, StateDb, Table, Ticket, Transaction,
    TurnHold, Waiting, WriteTx, WriterLock,
};

/// Rows read and written, and the bytes of their keys and values. A lookup that finds nothing
/// counts as a row read. Replacing or removing a row counts its old value as read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Work {
    /// Rows read.
    pub rows_read: u64,
    /// Bytes of keys and values read.
    pub bytes_read: u64,
    /// Rows written or removed.
    pub rows_written: u64,
    /// Bytes of keys and values written.
    pub bytes_written: u64,
}

impl Work {
    /// The work since an earlier count.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            rows_read: self.rows_read - earlier.rows_read,
            bytes_read: self.bytes_read - earlier.bytes_read,
            rows_written: self.rows_written - earlier.rows_written,
            bytes_written: self.bytes_written - earlier.bytes_written,
        }
    }
}

/// Wraps a backend and counts what transactions read and write. Copies and checks of whole files
/// are not counted.
#[derive(Debug, Clone)]
pub struct CountingBackend {
    backend: Arc<dyn StateBackend>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    rows_read: AtomicU64,
    bytes_read: AtomicU64,
    rows_written: AtomicU64,
    bytes_written: AtomicU64,
}

fn len(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).expect("what is in memory can be counted")
}

impl Counts {
    fn read(&self, key: &[u8], value: Option<&[u8]>) {
        self.rows_read.fetch_add(1, Ordering::Relaxed);
        self.read_bytes(key);
        value.into_iter().for_each(|value| self.read_bytes(value));
    }

    fn read_bytes(&self, bytes: &[u8]) {
        self.bytes_read.fetch_add(len(bytes), Ordering::Relaxed);
    }

    fn wrote(&self, key: &[u8], value: &[u8]) {
        self.rows_written.fetch_add(1, Ordering::Relaxed);
        self.bytes_written
            .fetch_add(len(key) + len(value), Ordering::Relaxed);
    }
}

impl CountingBackend {
    /// Wraps a backend; counts from zero.
    pub fn new(backend: Arc<dyn StateBackend>) -> Self {
        Self {
            backend,
            counts: Arc::default(),
        }
    }

    /// The total so far, of all clones.
    pub fn work(&self) -> Work {
        let Counts {
            rows_read,
            bytes_read,
            rows_written,
            bytes_written,
        } = &*self.counts;
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Work {
            rows_read: count(rows_read),
            bytes_read: count(bytes_read),
            rows_written: count(rows_written),
            bytes_written: count(bytes_written),
        }
    }

    fn counting(&self, db: Arc<dyn StateDb>) -> Arc<dyn StateDb> {
        Arc::new(CountingDb {
            db,
            counts: Arc::clone(&self.counts),
        })
    }
}

impl StateBackend for CountingBackend {
    fn peek(&self, path: &Path) -> Result<Peek, PeekError> {
        self.backend.peek(path)
    }

    fn create(
        &self,
        path: &Path,
        birth: &mut dyn FnMut(&mut dyn WriteTx) -> Result<()>,
    ) -> Result<(), FileError> {
        self.backend.create(path, birth)
    }

    fn scratch(&self) -> Result<Arc<dyn StateDb>, FileError> {
        Ok(self.counting(self.backend.scratch()?))
    }

    fn backup(
        &self,
        path: &Path,
        target: &Path,
        edit: &mut dyn FnMut(&mut dyn WriteTx) -> Result<()>,
        progress: &ProgressSink,
    ) -> Result<Copied, FileError> {
        self.backend.backup(path, target, edit, progress)
    }

    fn raw_rows(&self, path: &Path) -> Result<Option<Box<dyn RawRows>>, FileError> {
        self.backend.raw_rows(path)
    }

    fn check_integrity(&self, path: &Path) -> Result<Integrity, FileError> {
        self.backend.check_integrity(path)
    }

    fn was_closed(&self, path: &Path) -> Result<bool, FileError> {
        self.backend.was_closed(path)
    }

    fn lock_writer(
        &self,
        path: &Path,
        work: &'static str,
        wait: Duration,
    ) -> Result<WriterLock, FileError> {
        self.backend.lock_writer(path, work, wait)
    }

    fn open(&self, path: &Path, options: &OpenOptions) -> Result<Arc<dyn StateDb>, FileError> {
        Ok(self.counting(self.backend.open(path, options)?))
    }
}

#[derive(Debug)]
struct CountingDb {
    db: Arc<dyn StateDb>,
    counts: Arc<Counts>,
}

impl StateDb for CountingDb {
    fn access(&self) -> Access {
        self.db.access()
    }

    fn is_replaced(&self) -> Result<bool> {
        self.db.is_replaced()
    }

    fn snapshot(&self) -> Result<Arc<dyn ReadTx + Send + Sync>> {
        Ok(Arc::new(CountingSnapshot {
            tx: self.db.snapshot()?,
            counts: Arc::clone(&self.counts),
        }))
    }

    fn begin_write(&self) -> Result<Box<dyn Transaction + '_>> {
        Ok(Box::new(CountingWrite {
            tx: self.db.begin_write()?,
            counts: &self.counts,
        }))
    }

    fn hold_turn(&self, waiting: Waiting) -> Result<TurnHold> {
        self.db.hold_turn(waiting)
    }

    fn turn(&self) -> u64 {
        self.db.turn()
    }

    fn set_waiting(&self, waiting: Waiting) {
        self.db.set_waiting(waiting);
    }

    fn compact(&self, progress: &ProgressSink) -> Result<()> {
        self.db.compact(progress)
    }

    fn close(&self) -> Result<()> {
        self.db.close()
    }
}

struct CountingSnapshot {
    tx: Arc<dyn ReadTx + Send + Sync>,
    counts: Arc<Counts>,
}

struct CountingWrite<'a> {
    tx: Box<dyn Transaction + 'a>,
    counts: &'a Counts,
}

fn get(tx: &dyn ReadTx, counts: &Counts, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
    let value = tx.get(table, key)?;
    counts.read(key, value.as_deref());
    Ok(value)
}

fn show(
    tx: &dyn ReadTx,
    counts: &Counts,
    table: Table,
    key: &[u8],
    see: &mut dyn FnMut(&[u8]),
) -> Result<bool> {
    counts.read(key, None);
    tx.show(table, key, &mut |value| {
        counts.read_bytes(value);
        see(value);
    })
}

fn range<'a>(
    tx: &'a dyn ReadTx,
    counts: &'a Counts,
    table: Table,
    span: Span<'_>,
    direction: Direction,
) -> Result<Rows<'a>> {
    let rows = tx.range(table, span, direction)?;
    Ok(Box::new(CountingRows { rows, counts }))
}

impl ReadTx for CountingSnapshot {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        get(&*self.tx, &self.counts, table, key)
    }

    fn show(&self, table: Table, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        show(&*self.tx, &self.counts, table, key, see)
    }

    fn range(&self, table: Table, span: Span<'_>, direction: Direction) -> Result<Rows<'_>> {
        range(&*self.tx, &self.counts, table, span, direction)
    }
}

impl ReadTx for CountingWrite<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        get(&*self.tx, self.counts, table, key)
    }

    fn show(&self, table: Table, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        show(&*self.tx, self.counts, table, key, see)
    }

    fn range(&self, table: Table, span: Span<'_>, direction: Direction) -> Result<Rows<'_>> {
        range(&*self.tx, self.counts, table, span, direction)
    }
}

impl WriteTx for CountingWrite<'_> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<()> {
        self.counts.wrote(key, value);
        self.tx.put(table, key, value)
    }

    fn replace(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>> {
        self.counts.wrote(key, value);
        let before = self.tx.replace(table, key, value)?;
        before
            .iter()
            .for_each(|before| self.counts.read_bytes(before));
        Ok(before)
    }

    fn remove(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.counts.wrote(key, &[]);
        let before = self.tx.remove(table, key)?;
        before
            .iter()
            .for_each(|before| self.counts.read_bytes(before));
        Ok(before)
    }
}

impl Transaction for CountingWrite<'_> {
    fn follows_others(&self) -> bool {
        self.tx.follows_others()
    }

    fn allow_quick_repair(&mut self) {
        self.tx.allow_quick_repair();
    }

    fn commit(self: Box<Self>) -> Result<Ticket> {
        self.tx.commit()
    }
}

struct CountingRows<'a> {
    rows: Rows<'a>,
    counts: &'a Counts,
}

impl RowCursor for CountingRows<'_> {
    fn next(&mut self) -> Result<Option<Row<'_>>> {
        let row = self.rows.next()?;
        match &row {
            Some(row) => self.counts.read(row.key, Some(row.value)),
            None => self.counts.read(&[], None),
        }
        Ok(row)
    }
}
