//! A backend in memory: for tests, and for scratch copies of a history.

use std::collections::{BTreeMap, HashMap, btree_map};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lattice_meta::MetaInfo;

use crate::backend::tx::{NoRows, is_empty_span};
use crate::backend::{
    Access, BackendError, Direction, FileError, Integrity, OpenOptions, PeekError, ReadTx, Result,
    Row, RowCursor, Rows, Span, StateBackend, StateDb, Table, Verdict, WriteBody, WriteTx,
    copy_store, read_meta,
};

type TableRows = BTreeMap<Vec<u8>, Vec<u8>>;

/// Stores in memory, found by path like files. They live as long as the backend; clones share
/// them. A snapshot is free, and the first write to a table while one is alive copies the table.
#[derive(Debug, Clone, Default)]
pub struct MemoryBackend {
    files: Arc<Mutex<HashMap<PathBuf, Arc<MemoryFile>>>>,
}

#[derive(Debug, Default)]
struct MemoryFile {
    tables: Mutex<Tables>,
    /// Held over a whole write transaction.
    writing: Mutex<()>,
    has_writer: Mutex<bool>,
}

#[derive(Debug, Clone, Default)]
struct Tables([Arc<TableRows>; Table::ALL.len()]);

/// Rows behind these locks are replaced whole, so a panic elsewhere while one was held is no
/// reason to stop.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryBackend {
    /// A backend without stores.
    pub fn new() -> Self {
        Self::default()
    }

    fn file(&self, path: &Path) -> Result<Arc<MemoryFile>, FileError> {
        let file = lock(&self.files).get(path).cloned();
        file.ok_or_else(|| FileError::NotFound {
            path: path.to_path_buf(),
        })
    }
}

impl StateBackend for MemoryBackend {
    fn peek_info(&self, path: &Path) -> Result<MetaInfo, PeekError> {
        let tables = lock(&self.file(path)?.tables).clone();
        read_meta(&tables, path)
    }

    fn create(&self, path: &Path, birth: &mut WriteBody<'_>) -> Result<(), FileError> {
        let mut files = lock(&self.files);
        if files.contains_key(path) {
            return Err(FileError::Exists {
                path: path.to_path_buf(),
            });
        }
        let mut tables = Tables::default();
        let born = birth(&mut tables);
        born.map_err(|error| FileError::Io {
            path: path.to_path_buf(),
            source: error.into(),
        })?;
        let file = MemoryFile {
            tables: Mutex::new(tables),
            ..MemoryFile::default()
        };
        files.insert(path.to_path_buf(), Arc::new(file));
        Ok(())
    }

    fn backup(&self, path: &Path, target: &Path) -> Result<(), FileError> {
        copy_store(self, path, target)
    }

    fn scratch(&self) -> Result<Arc<dyn StateDb>, FileError> {
        Ok(Arc::new(MemoryDb {
            open: Mutex::new(Some(Arc::default())),
            access: Access::ReadWrite,
        }))
    }

    fn check_integrity(&self, path: &Path) -> Result<Integrity, FileError> {
        self.file(path).map(|_| Integrity::None)
    }

    fn open(&self, path: &Path, options: &OpenOptions) -> Result<Arc<dyn StateDb>, FileError> {
        let file = self.file(path)?;
        if options.access == Access::ReadWrite {
            let mut has_writer = lock(&file.has_writer);
            if *has_writer {
                return Err(FileError::InUse {
                    path: path.to_path_buf(),
                });
            }
            *has_writer = true;
        }
        Ok(Arc::new(MemoryDb {
            open: Mutex::new(Some(file)),
            access: options.access,
        }))
    }
}

#[derive(Debug)]
struct MemoryDb {
    open: Mutex<Option<Arc<MemoryFile>>>,
    access: Access,
}

impl MemoryDb {
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

    fn write(&self, body: &mut WriteBody<'_>) -> Result<()> {
        let file = self.file()?;
        if self.access == Access::ReadOnly {
            return Err(BackendError::ReadOnly);
        }
        let _writing = lock(&file.writing);
        // Whoever closed it while this waited has let the next writer in.
        self.file()?;
        let mut tables = lock(&file.tables).clone();
        if body(&mut tables)? == Verdict::Commit {
            *lock(&file.tables) = tables;
        }
        Ok(())
    }

    /// Memory has no holes, so there is nothing that snapshots could be in the way of.
    fn compact(&self) -> Result<()> {
        let _open = self.file()?;
        match self.access {
            Access::ReadOnly => Err(BackendError::ReadOnly),
            Access::ReadWrite => Ok(()),
        }
    }

    fn close(&self) -> Result<()> {
        let file = lock(&self.open).take();
        if let Some(file) = file
            && self.access == Access::ReadWrite
        {
            let _last_write = lock(&file.writing);
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
