//! An in-memory backend, for tests and for scratch copies of a history.

use crate::progress::ProgressSink;
use std::collections::{BTreeMap, HashMap, btree_map};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::backend::file_error::{FileFault, PeekFault};
use crate::backend::tx::{NoRows, is_empty_span};
use crate::backend::{
    Access, BackendError, Busy, Copied, Direction, FileError, Integrity, OpenOptions, Peek,
    PeekError, ReadTx, Result, Row, RowCursor, Rows, Span, StateBackend, StateDb, Table, Ticket,
    Transaction, TurnHold, Waiting, WriteTx, copy_store, read_peek,
};

type TableRows = BTreeMap<Vec<u8>, Vec<u8>>;

/// In-memory stores, found by path like files. They live as long as the backend; clones share them.
/// A snapshot costs nothing; the first write to a table while a snapshot is alive copies the table.
#[derive(Debug, Clone, Default)]
pub struct MemoryBackend {
    files: Arc<Mutex<HashMap<PathBuf, Arc<MemoryFile>>>>,
}

#[derive(Debug, Default)]
struct MemoryFile {
    tables: Mutex<Tables>,
    has_writer: Mutex<bool>,
}

#[derive(Debug, Clone, Default)]
struct Tables([Arc<TableRows>; Table::ALL.len()]);

/// Writers replace the values behind these locks as a whole. A panic while a lock was held leaves
/// them consistent, so poisoning is ignored.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryBackend {
    /// A backend without stores.
    pub fn new() -> Self {
        Self::default()
    }

    fn file(&self, path: &Path) -> Result<Arc<MemoryFile>, FileFault> {
        let file = lock(&self.files).get(path).cloned();
        file.ok_or(FileFault::NotFound)
    }

    fn peek_file(&self, path: &Path) -> Result<Peek, PeekFault> {
        let tables = lock(&self.file(path)?.tables).clone();
        read_peek(&tables)
    }

    fn create_file(
        &self,
        path: &Path,
        birth: &mut dyn FnMut(&mut dyn WriteTx) -> Result<()>,
    ) -> Result<(), FileFault> {
        let mut files = lock(&self.files);
        if files.contains_key(path) {
            return Err(FileFault::Exists);
        }
        let mut tables = Tables::default();
        birth(&mut tables)?;
        let file = MemoryFile {
            tables: Mutex::new(tables),
            ..MemoryFile::default()
        };
        files.insert(path.to_path_buf(), Arc::new(file));
        Ok(())
    }

    fn open_file(&self, path: &Path, access: Access) -> Result<MemoryDb, FileFault> {
        let file = self.file(path)?;
        if access == Access::ReadWrite {
            let mut has_writer = lock(&file.has_writer);
            if *has_writer {
                return Err(FileFault::InUse(Busy::default()));
            }
            *has_writer = true;
        }
        Ok(MemoryDb::new(file, access))
    }
}

impl StateBackend for MemoryBackend {
    fn peek(&self, path: &Path) -> Result<Peek, PeekError> {
        self.peek_file(path).map_err(|fault| fault.at(path))
    }

    fn create(
        &self,
        path: &Path,
        birth: &mut dyn FnMut(&mut dyn WriteTx) -> Result<()>,
    ) -> Result<(), FileError> {
        self.create_file(path, birth)
            .map_err(|fault| fault.at(path))
    }

    fn backup(
        &self,
        path: &Path,
        target: &Path,
        edit: &mut dyn FnMut(&mut dyn WriteTx) -> Result<()>,
        progress: &ProgressSink,
    ) -> Result<Copied, FileError> {
        copy_store(self, self, path, target, edit, progress)?;
        Ok(Copied::Rows)
    }

    fn scratch(&self) -> Result<Arc<dyn StateDb>, FileError> {
        Ok(Arc::new(MemoryDb::new(Arc::default(), Access::ReadWrite)))
    }

    fn check_integrity(&self, path: &Path) -> Result<Integrity, FileError> {
        let file = self.file(path).map_err(|fault| fault.at(path));
        file.map(|_| Integrity::None)
    }

    fn open(&self, path: &Path, options: &OpenOptions) -> Result<Arc<dyn StateDb>, FileError> {
        let db = self.open_file(path, options.access);
        Ok(Arc::new(db.map_err(|fault| fault.at(path))?))
    }
}

/// Lock order: the fields in this order, then those of the file.
#[derive(Debug)]
struct MemoryDb {
    /// A write transaction holds it from begin to end, and `close` while it closes the store. Only
    /// one handle of a file can write.
    writing: Mutex<()>,
    open: Mutex<Option<Arc<MemoryFile>>>,
    access: Access,
}

impl MemoryDb {
    fn new(file: Arc<MemoryFile>, access: Access) -> Self {
        Self {
            writing: Mutex::default(),
            open: Mutex::new(Some(file)),
            access,
        }
    }

    fn file(&self) -> Result<Arc<MemoryFile>> {
        lock(&self.open).clone().ok_or(BackendError::Closed)
    }
}

impl StateDb for MemoryDb {
    fn access(&self) -> Access {
        self.access
    }

    fn snapshot(&self) -> Result<Arc<dyn ReadTx + Send + Sync>> {
        Ok(Arc::new(lock(&self.file()?.tables).clone()))
    }

    fn begin_write(&self) -> Result<Box<dyn Transaction + '_>> {
        let writing = lock(&self.writing);
        let file = self.file()?;
        if self.access == Access::ReadOnly {
            return Err(BackendError::ReadOnly);
        }
        let tables = lock(&file.tables).clone();
        Ok(Box::new(MemoryTransaction {
            tables,
            file,
            _writing: writing,
        }))
    }

    fn hold_turn(&self, _: Waiting) -> Result<TurnHold> {
        TurnHold::of_only_writer(self.access)
    }

    fn turn(&self) -> u64 {
        u64::from(self.access == Access::ReadWrite)
    }

    /// Memory has no unused pages, so nothing is compacted, and snapshots do not prevent it.
    fn compact(&self, _: &ProgressSink) -> Result<()> {
        let _open = self.file()?;
        match self.access {
            Access::ReadOnly => Err(BackendError::ReadOnly),
            Access::ReadWrite => Ok(()),
        }
    }

    fn close(&self) -> Result<()> {
        let _last_write = lock(&self.writing);
        let file = lock(&self.open).take();
        if let Some(file) = file
            && self.access == Access::ReadWrite
        {
            *lock(&file.has_writer) = false;
        }
        Ok(())
    }
}

impl Drop for MemoryDb {
    fn drop(&mut self) {
        // Closing memory cannot fail.
        let _ = self.close();
    }
}

impl ReadTx for Tables {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.0[table.position()].get(key).cloned())
    }

    fn range(&self, table: Table, span: Span<'_>, direction: Direction) -> Result<Rows<'_>> {
        if is_empty_span(span) {
            return Ok(Box::new(NoRows));
        }
        let rows = self.0[table.position()].range::<[u8], _>(span);
        Ok(Box::new(TableCursor { rows, direction }))
    }
}

impl WriteTx for Tables {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<()> {
        self.replace(table, key, value).map(drop)
    }

    fn replace(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(Arc::make_mut(&mut self.0[table.position()]).insert(key.to_vec(), value.to_vec()))
    }

    fn remove(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(Arc::make_mut(&mut self.0[table.position()]).remove(key))
    }
}

/// A copy of the tables. A table's rows are copied on the first write to it.
struct MemoryTransaction<'db> {
    tables: Tables,
    file: Arc<MemoryFile>,
    _writing: MutexGuard<'db, ()>,
}

impl ReadTx for MemoryTransaction<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.tables.get(table, key)
    }

    fn range(&self, table: Table, span: Span<'_>, direction: Direction) -> Result<Rows<'_>> {
        self.tables.range(table, span, direction)
    }
}

impl WriteTx for MemoryTransaction<'_> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<()> {
        self.tables.put(table, key, value)
    }

    fn replace(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>> {
        self.tables.replace(table, key, value)
    }

    fn remove(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.tables.remove(table, key)
    }
}

impl Transaction for MemoryTransaction<'_> {
    fn commit(self: Box<Self>) -> Result<Ticket> {
        *lock(&self.file.tables) = self.tables;
        Ok(Ticket::durable())
    }
}

struct TableCursor<'a> {
    rows: btree_map::Range<'a, Vec<u8>, Vec<u8>>,
    direction: Direction,
}

impl RowCursor for TableCursor<'_> {
    fn next(&mut self) -> Result<Option<Row<'_>>> {
        let row = match self.direction {
            Direction::Forward => self.rows.next(),
            Direction::Backward => self.rows.next_back(),
        };
        Ok(row.map(|(key, value)| Row { key, value }))
    }
}
