//! A backend of your own, and the suite that every backend must pass.
//!
//! This one counts the commits of another backend. `StateBackend` opens files, `StateDb` is an open
//! file, `Transaction` writes to it; each forwards to the one underneath.

use lattice_backend::progress::ProgressSink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lattice_backend::backend::{
    Access, Copied, Direction, FileError, Integrity, MemoryBackend, OpenOptions, Peek, PeekError,
    ReadTx, Result, Rows, Span, StateBackend, StateDb, Table, Ticket, Transaction, TurnHold,
    Waiting, WriteTx,
};
use lattice_backend::conformance;

#[derive(Debug, Clone, Default)]
struct Counted {
    inner: MemoryBackend,
    commits: Arc<AtomicU64>,
}

impl Counted {
    fn over(&self, db: Arc<dyn StateDb>) -> Arc<dyn StateDb> {
        let commits = Arc::clone(&self.commits);
        Arc::new(CountedDb { db, commits })
    }
}

impl StateBackend for Counted {
    fn peek(&self, path: &Path) -> Result<Peek, PeekError> {
        self.inner.peek(path)
    }
    fn create(
        &self,
        path: &Path,
        birth: &mut dyn FnMut(&mut dyn WriteTx) -> Result<()>,
    ) -> Result<(), FileError> {
        self.inner.create(path, birth)
    }
    fn scratch(&self) -> Result<Arc<dyn StateDb>, FileError> {
        Ok(self.over(self.inner.scratch()?))
    }
    fn backup(
        &self,
        path: &Path,
        target: &Path,
        edit: &mut dyn FnMut(&mut dyn WriteTx) -> Result<()>,
        progress: &ProgressSink,
    ) -> Result<Copied, FileError> {
        self.inner.backup(path, target, edit, progress)
    }
    fn check_integrity(&self, path: &Path) -> Result<Integrity, FileError> {
        self.inner.check_integrity(path)
    }
    fn open(&self, path: &Path, options: &OpenOptions) -> Result<Arc<dyn StateDb>, FileError> {
        Ok(self.over(self.inner.open(path, options)?))
    }
}

#[derive(Debug)]
struct CountedDb {
    db: Arc<dyn StateDb>,
    commits: Arc<AtomicU64>,
}

impl StateDb for CountedDb {
    fn access(&self) -> Access {
        self.db.access()
    }
    fn snapshot(&self) -> Result<Arc<dyn ReadTx + Send + Sync>> {
        self.db.snapshot()
    }
    fn begin_write(&self) -> Result<Box<dyn Transaction + '_>> {
        let (tx, commits) = (self.db.begin_write()?, &self.commits);
        Ok(Box::new(CountedTx { tx, commits }))
    }
    fn hold_turn(&self, waiting: Waiting) -> Result<TurnHold> {
        self.db.hold_turn(waiting)
    }
    fn turn(&self) -> u64 {
        self.db.turn()
    }
    fn compact(&self, progress: &ProgressSink) -> Result<()> {
        self.db.compact(progress)
    }
    fn close(&self) -> Result<()> {
        self.db.close()
    }
}

struct CountedTx<'a> {
    tx: Box<dyn Transaction + 'a>,
    commits: &'a AtomicU64,
}

impl ReadTx for CountedTx<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.tx.get(table, key)
    }
    fn range(&self, table: Table, span: Span<'_>, direction: Direction) -> Result<Rows<'_>> {
        self.tx.range(table, span, direction)
    }
}

impl WriteTx for CountedTx<'_> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<()> {
        self.tx.put(table, key, value)
    }
    fn replace(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>> {
        self.tx.replace(table, key, value)
    }
    fn remove(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.tx.remove(table, key)
    }
}

impl Transaction for CountedTx<'_> {
    fn commit(self: Box<Self>) -> Result<Ticket> {
        let ticket = self.tx.commit()?;
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(ticket)
    }
}

fn main() {
    let commits = Arc::new(AtomicU64::new(0));
    conformance::backend(|| {
        let backend = Counted {
            inner: MemoryBackend::new(),
            commits: Arc::clone(&commits),
        };
        (Arc::new(backend), PathBuf::from("state.db"))
    });
    let commits = commits.load(Ordering::Relaxed);
    println!("the suite passes, with {commits} commits");
    assert!(commits > 0);
}
