//! A backend whose commits become durable and visible only when the caller waits for them. Its
//! flaws test the suite.

use lattice_backend::progress::ProgressSink;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use lattice_backend::backend::{
    Access, Copied, Direction, EVERYTHING, FileError, Integrity, MemoryBackend, OpenOptions, Peek,
    PeekError, ReadTx, Result, Rows, Span, StateBackend, StateDb, Table, Ticket, Transaction,
    TurnHold, Waiting, WriteTx,
};

/// How it breaks the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    /// Snapshots show rows before their transaction is committed.
    ShowsUncommitted,
    /// Dropping a transaction commits it.
    KeepsDropped,
    /// Closing loses commits that no caller has waited for.
    ForgetsUnwaited,
    /// Waiting for a commit makes only that one durable, not those before it.
    SkipsEarlier,
    /// Peek does not read the recorded logic.
    HidesLogic,
}

#[derive(Debug, Clone)]
pub(crate) struct Late {
    inner: MemoryBackend,
    flaw: Flaw,
    commits: Arc<AtomicUsize>,
}

impl Late {
    pub(crate) fn new(flaw: Flaw) -> Self {
        Self {
            inner: MemoryBackend::new(),
            flaw,
            commits: Arc::default(),
        }
    }

    /// The number of committed transactions.
    pub(crate) fn commits(&self) -> usize {
        self.commits.load(Ordering::SeqCst)
    }
}

impl StateBackend for Late {
    fn peek(&self, path: &Path) -> Result<Peek, PeekError> {
        let peek = self.inner.peek(path)?;
        let logic = peek.logic.filter(|_| self.flaw != Flaw::HidesLogic);
        Ok(Peek { logic, ..peek })
    }

    fn create(
        &self,
        path: &Path,
        birth: &mut dyn FnMut(&mut dyn WriteTx) -> Result<()>,
    ) -> Result<(), FileError> {
        self.inner.create(path, birth)
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

    fn scratch(&self) -> Result<Arc<dyn StateDb>, FileError> {
        self.inner.scratch()
    }

    fn check_integrity(&self, path: &Path) -> Result<Integrity, FileError> {
        self.inner.check_integrity(path)
    }

    fn open(&self, path: &Path, options: &OpenOptions) -> Result<Arc<dyn StateDb>, FileError> {
        let durable = self.inner.open(path, options)?;
        if options.access == Access::ReadOnly {
            return Ok(durable);
        }
        let ahead = self.inner.scratch()?;
        copy(&*durable, &*ahead).unwrap();
        Ok(Arc::new(LateDb {
            ahead,
            later: Arc::new(Mutex::new(Later {
                durable,
                changes: VecDeque::new(),
                first: 0,
                skips: self.flaw == Flaw::SkipsEarlier,
            })),
            backend: self.clone(),
        }))
    }
}

fn copy(from: &dyn StateDb, to: &dyn StateDb) -> Result<()> {
    let (from, mut to) = (from.snapshot()?, to.begin_write()?);
    for table in Table::ALL {
        let mut rows = from.range(table, EVERYTHING, Direction::Forward)?;
        while let Some(row) = rows.next()? {
            to.put(table, row.key, row.value)?;
        }
    }
    to.commit()?.wait()
}

/// A row that was written or removed.
type Change = (Table, Vec<u8>, Option<Vec<u8>>);

#[derive(Debug)]
struct LateDb {
    /// The state that the next transaction sees.
    ahead: Arc<dyn StateDb>,
    later: Arc<Mutex<Later>>,
    backend: Late,
}

/// The state that snapshots show, and the commits that no caller has waited for.
#[derive(Debug)]
struct Later {
    durable: Arc<dyn StateDb>,
    changes: VecDeque<Vec<Change>>,
    /// The number of the first of these commits.
    first: u64,
    skips: bool,
}

impl Later {
    fn push(&mut self, changes: Vec<Change>) -> u64 {
        self.changes.push_back(changes);
        self.first + u64::try_from(self.changes.len()).unwrap() - 1
    }

    /// Makes every commit up to this one durable.
    fn flush(&mut self, number: u64) -> Result<()> {
        while self.first <= number
            && let Some(changes) = self.changes.pop_front()
        {
            if !self.skips || self.first == number {
                write(&*self.durable, &changes)?;
            }
            self.first += 1;
        }
        Ok(())
    }
}

fn write(db: &dyn StateDb, changes: &[Change]) -> Result<()> {
    let mut tx = db.begin_write()?;
    for (table, key, value) in changes {
        match value {
            Some(value) => tx.put(*table, key, value)?,
            None => drop(tx.remove(*table, key)?),
        }
    }
    tx.commit()?.wait()
}

impl StateDb for LateDb {
    fn access(&self) -> Access {
        Access::ReadWrite
    }

    fn snapshot(&self) -> Result<Arc<dyn ReadTx + Send + Sync>> {
        self.later.lock().unwrap().durable.snapshot()
    }

    fn begin_write(&self) -> Result<Box<dyn Transaction + '_>> {
        Ok(Box::new(LateTransaction {
            tx: Some(self.ahead.begin_write()?),
            changes: Vec::new(),
            db: self,
        }))
    }

    fn hold_turn(&self, waiting: Waiting) -> Result<TurnHold> {
        self.ahead.hold_turn(waiting)
    }

    fn turn(&self) -> u64 {
        self.ahead.turn()
    }

    fn compact(&self, progress: &ProgressSink) -> Result<()> {
        self.later.lock().unwrap().durable.compact(progress)
    }

    fn close(&self) -> Result<()> {
        self.ahead.close()?;
        let mut later = self.later.lock().unwrap();
        if self.backend.flaw != Flaw::ForgetsUnwaited {
            later.flush(u64::MAX)?;
        }
        later.durable.close()
    }
}

struct LateTransaction<'db> {
    /// `None` once it has ended.
    tx: Option<Box<dyn Transaction + 'db>>,
    changes: Vec<Change>,
    db: &'db LateDb,
}

impl LateTransaction<'_> {
    fn tx(&mut self) -> &mut dyn Transaction {
        &mut **self.tx.as_mut().unwrap()
    }

    fn change(&mut self, table: Table, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        let change = (table, key.to_vec(), value.map(<[u8]>::to_vec));
        if self.db.backend.flaw == Flaw::ShowsUncommitted {
            let later = self.db.later.lock().unwrap();
            write(&*later.durable, std::slice::from_ref(&change))?;
        }
        self.changes.push(change);
        Ok(())
    }

    fn finish(&mut self, tx: Box<dyn Transaction + '_>) -> Result<Ticket> {
        // Before the next transaction can begin: commits are in the order of their transactions.
        let mut later = self.db.later.lock().unwrap();
        tx.commit()?.wait()?;
        let number = later.push(std::mem::take(&mut self.changes));
        drop(later);
        self.db.backend.commits.fetch_add(1, Ordering::SeqCst);
        let later = Arc::clone(&self.db.later);
        Ok(Ticket::new(move || later.lock().unwrap().flush(number)))
    }
}

impl ReadTx for LateTransaction<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.tx.as_ref().unwrap().get(table, key)
    }

    fn range(&self, table: Table, span: Span<'_>, direction: Direction) -> Result<Rows<'_>> {
        self.tx.as_ref().unwrap().range(table, span, direction)
    }
}

impl WriteTx for LateTransaction<'_> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<()> {
        self.change(table, key, Some(value))?;
        self.tx().put(table, key, value)
    }

    fn replace(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>> {
        self.change(table, key, Some(value))?;
        self.tx().replace(table, key, value)
    }

    fn remove(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.change(table, key, None)?;
        self.tx().remove(table, key)
    }
}

impl Transaction for LateTransaction<'_> {
    fn commit(mut self: Box<Self>) -> Result<Ticket> {
        let tx = self.tx.take().unwrap();
        self.finish(tx)
    }
}

impl Drop for LateTransaction<'_> {
    fn drop(&mut self) {
        if self.db.backend.flaw == Flaw::KeepsDropped
            && let Some(tx) = self.tx.take()
        {
            self.finish(tx).unwrap().wait().unwrap();
        }
    }
}
