//! A backend that counts the rows that a store reads. Rows do not depend on the machine, as time
//! does.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lattice_backend::{
    Access, BackendError, Direction, FileError, Integrity, OpenOptions, PeekError, ReadTx, Row,
    RowCursor, Rows, Span, StateBackend, StateDb, Table, WriteBody, WriteTx,
};
use lattice_meta::MetaInfo;

type Result<T, E = BackendError> = std::result::Result<T, E>;

/// Reads since the start: look-ups of one key, scans, and the rows that scans returned. Writes are
/// not counted, also not those that return what they replace.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reads(Arc<AtomicU64>);

impl Reads {
    pub(crate) fn total(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    /// What `work` reads.
    pub(crate) fn during<T>(&self, work: impl FnOnce() -> T) -> (T, u64) {
        let before = self.total();
        let result = work();
        (result, self.total() - before)
    }

    fn add(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Another backend, and the count of its reads in all stores.
#[derive(Debug)]
pub(crate) struct Counting<B> {
    pub(crate) inner: B,
    pub(crate) reads: Reads,
}

impl<B: StateBackend> StateBackend for Counting<B> {
    fn peek_info(&self, path: &Path) -> Result<MetaInfo, PeekError> {
        self.inner.peek_info(path)
    }

    fn create(&self, path: &Path, birth: &mut WriteBody<'_>) -> Result<(), FileError> {
        self.inner.create(path, birth)
    }

    fn backup(&self, path: &Path, target: &Path) -> Result<(), FileError> {
        self.inner.backup(path, target)
    }

    fn scratch(&self) -> Result<Arc<dyn StateDb>, FileError> {
        self.inner.scratch()
    }

    fn check_integrity(&self, path: &Path) -> Result<Integrity, FileError> {
        self.inner.check_integrity(path)
    }

    fn open(&self, path: &Path, options: &OpenOptions) -> Result<Arc<dyn StateDb>, FileError> {
        Ok(Arc::new(Counted {
            inner: self.inner.open(path, options)?,
            reads: self.reads.clone(),
        }))
    }
}

/// A database, a transaction or a cursor whose reads are counted.
#[derive(Debug)]
struct Counted<T> {
    inner: T,
    reads: Reads,
}

impl StateDb for Counted<Arc<dyn StateDb>> {
    fn access(&self) -> Access {
        self.inner.access()
    }

    fn snapshot(&self) -> Result<Arc<dyn ReadTx + Send + Sync>> {
        Ok(Arc::new(Counted {
            inner: self.inner.snapshot()?,
            reads: self.reads.clone(),
        }))
    }

    fn write(&self, body: &mut WriteBody<'_>) -> Result<()> {
        let reads = &self.reads;
        self.inner.write(&mut |inner| {
            body(&mut Counted {
                inner,
                reads: reads.clone(),
            })
        })
    }

    fn compact(&self) -> Result<()> {
        self.inner.compact()
    }

    fn close(&self) -> Result<()> {
        self.inner.close()
    }
}

/// A pointer to a transaction.
trait Tx {
    type Target: ReadTx + ?Sized;
    fn tx(&self) -> &Self::Target;
}

impl Tx for Arc<dyn ReadTx + Send + Sync> {
    type Target = dyn ReadTx + Send + Sync;
    fn tx(&self) -> &Self::Target {
        &**self
    }
}

impl<'a> Tx for &'a mut dyn WriteTx {
    type Target = dyn WriteTx + 'a;
    fn tx(&self) -> &Self::Target {
        &**self
    }
}

impl<T: Tx> ReadTx for Counted<T> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.reads.add();
        self.inner.tx().get(table, key)
    }

    fn show(&self, table: Table, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        self.reads.add();
        self.inner.tx().show(table, key, see)
    }

    fn range(&self, table: Table, span: Span<'_>, direction: Direction) -> Result<Rows<'_>> {
        self.reads.add();
        Ok(Box::new(Counted {
            inner: self.inner.tx().range(table, span, direction)?,
            reads: self.reads.clone(),
        }))
    }
}

impl WriteTx for Counted<&mut dyn WriteTx> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<()> {
        self.inner.put(table, key, value)
    }

    fn replace(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>> {
        self.inner.replace(table, key, value)
    }

    fn remove(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.inner.remove(table, key)
    }
}

impl RowCursor for Counted<Rows<'_>> {
    fn next(&mut self) -> Result<Option<Row<'_>>> {
        let row = self.inner.next()?;
        if row.is_some() {
            self.reads.add();
        }
        Ok(row)
    }
}
