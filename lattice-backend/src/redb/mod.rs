//! The redb engine. This module, and nothing else in Lattice, names redb.

mod adapter;
mod db;
mod error;
mod file;
mod overlay;
mod pack;
mod page;
mod reader;
mod scratch;
mod tx;

pub use file::FileDisk;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lattice_meta::MetaInfo;

use crate::backend::{
    Access, FileError, Integrity, OpenOptions, PeekError, Sharing, StateBackend, StateDb, Table,
    WriteBody, WriteTx, copy_store, read_meta,
};
use crate::storage::{Disk, FileId, FileMode, Storage};

use adapter::{Adapter, LockView};
use db::{Opened, Place, RedbDb};
use error::{check_magic, contain, file_error, open_error};
use pack::shrink;
use scratch::Unsynced;

/// Cache of a database that is opened to be peeked at; it reads a handful of pages.
const PEEK_CACHE_BYTES: usize = 256 << 10;
/// How often a writer asks again for a lock that a passing peek of a crashed store may hold, and
/// how long it waits in between.
const LOCK_TRIES: u32 = 10;
const LOCK_WAIT: Duration = Duration::from_millis(2);

/// Stores as redb files on a [`Disk`].
///
/// A store that is open in the default sharing mode can be read by other processes. One whose
/// last writer was killed can be peeked at and read without being changed: its last commit was
/// made in two phases and is whole, so no repair is needed to read it. While somebody reads a
/// crashed store, writers are told that it is in use, since they would repair it underneath.
#[derive(Clone)]
pub struct RedbBackend {
    disk: Arc<dyn Disk>,
}

impl Default for RedbBackend {
    fn default() -> Self {
        Self::on_files()
    }
}

impl fmt::Debug for RedbBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbBackend")
            .field("disk", &self.disk)
            .finish()
    }
}

impl RedbBackend {
    /// On the file system.
    pub fn on_files() -> Self {
        Self::on_disk(FileDisk)
    }

    /// On any disk.
    pub fn on_disk(disk: impl Disk) -> Self {
        Self {
            disk: Arc::new(disk),
        }
    }

    fn storage(&self, path: &Path, mode: FileMode) -> Result<Box<dyn Storage>, FileError> {
        self.disk
            .open(path, mode)
            .map_err(|source| open_error(path, source))
    }

    fn file_id(&self, path: &Path) -> Result<Option<FileId>, FileError> {
        self.disk
            .file_id(path)
            .map_err(|source| open_error(path, source))
    }

    fn open_writer(&self, path: &Path, options: &OpenOptions) -> Result<Opened, FileError> {
        let mut tries = 1;
        loop {
            let storage = self.storage(path, FileMode::ReadWrite)?;
            // An empty file would be taken for a new database and written to.
            check_magic(&*storage, path)?;
            let adapter = Adapter::new(storage, LockView::Real);
            match builder(options).create_with_backend(adapter) {
                Ok(database) => return Ok(Opened::Writer(database)),
                Err(redb::DatabaseError::DatabaseAlreadyOpen) if tries < LOCK_TRIES => {
                    tries += 1;
                    std::thread::sleep(LOCK_WAIT);
                }
                Err(error) => return Err(file_error(path, error)),
            }
        }
    }
}

impl RedbBackend {
    /// Copies every row, and gives the space back that the copying took.
    fn copy(&self, path: &Path, target: &Path) -> Result<(), FileError> {
        copy_store(self, path, target)?;
        contain(target, || {
            let storage = self.storage(target, FileMode::ReadWrite)?;
            let mut database = builder(&OpenOptions::read_write())
                .create_with_backend(Adapter::new(storage, LockView::Real))
                .map_err(|error| file_error(target, error))?;
            shrink(&mut database).map_err(|error| FileError::Io {
                path: target.to_path_buf(),
                source: error.into(),
            })?;
            database.close().map_err(|error| file_error(target, error))
        })
    }
}

impl StateBackend for RedbBackend {
    fn peek_info(&self, path: &Path) -> Result<MetaInfo, PeekError> {
        let options = OpenOptions {
            cache_bytes: PEEK_CACHE_BYTES,
            ..OpenOptions::read_only()
        };
        contain(path, || {
            let opened = reader::open(&*self.disk, path, &options)?;
            let tx = opened.begin_read().map_err(|source| PeekError::Backend {
                path: path.to_path_buf(),
                source,
            })?;
            read_meta(&tx, path)
        })
    }

    fn create(&self, path: &Path, birth: &mut WriteBody<'_>) -> Result<(), FileError> {
        let storage = self.storage(path, FileMode::CreateNew)?;
        let made = contain(path, || {
            let database = builder(&OpenOptions::read_write())
                .create_with_backend(Adapter::new(storage, LockView::Real))
                .map_err(|error| file_error(path, error))?;
            let db = RedbDb::new(Opened::Writer(database), Access::ReadWrite);
            let mut make = |tx: &mut dyn WriteTx| {
                // Looking into a table makes it: a store has all five from the beginning.
                for table in Table::ALL {
                    tx.get(table, &[])?;
                }
                birth(tx)
            };
            db.write(&mut make)
                .and_then(|()| db.close())
                .map_err(|error| FileError::Io {
                    path: path.to_path_buf(),
                    source: error.into(),
                })
        });
        if made.is_err() {
            // The file is ours, and worth nothing; the first error is the one to report.
            let _ = self.disk.remove(path);
        }
        made
    }

    fn backup(&self, path: &Path, target: &Path) -> Result<(), FileError> {
        let copied = self.copy(path, target);
        if copied.is_err() && !matches!(copied, Err(FileError::Exists { .. })) {
            // The file is ours, and worth nothing; the first error is the one to report.
            let _ = self.disk.remove(target);
        }
        copied
    }

    fn scratch(&self) -> Result<Arc<dyn StateDb>, FileError> {
        // What it is called if it fails: the directory, which the environment can set.
        let path = &std::env::temp_dir();
        let storage = self.disk.scratch().map_err(|source| FileError::Io {
            path: path.clone(),
            source: source.into(),
        })?;
        let storage = Unsynced(storage);
        let options = OpenOptions {
            sharing: Sharing::Exclusive,
            ..OpenOptions::read_write()
        };
        let database = contain(path, || {
            builder(&options)
                .create_with_backend(Adapter::new(Box::new(storage), LockView::Real))
                .map_err(|error| file_error(path, error))
        })?;
        let opened = Opened::Writer(database);
        Ok(Arc::new(RedbDb::new(opened, options.access)))
    }

    fn check_integrity(&self, path: &Path) -> Result<Integrity, FileError> {
        match contain(path, || reader::check_integrity(&*self.disk, path)) {
            Err(FileError::Damaged { detail, .. }) => Ok(Integrity::Damaged { detail }),
            checked => checked,
        }
    }

    fn open(&self, path: &Path, options: &OpenOptions) -> Result<Arc<dyn StateDb>, FileError> {
        loop {
            let file = self.file_id(path)?;
            let opened = contain(path, || match options.access {
                Access::ReadWrite => self.open_writer(path, options),
                Access::ReadOnly => reader::open(&*self.disk, path, options),
            })?;
            // Another file may have taken its place before it was locked. Whoever puts one there
            // holds the writer's lock on the one before, so a writer's stays in its place from here.
            if self.file_id(path)? == file {
                let place = Place {
                    disk: Arc::clone(&self.disk),
                    path: path.to_path_buf(),
                    file,
                };
                return Ok(Arc::new(RedbDb::at(opened, options.access, place)));
            }
        }
    }
}

fn builder(options: &OpenOptions) -> redb::Builder {
    let mut builder = redb::Builder::new();
    builder
        .set_cache_size(options.cache_bytes)
        .set_concurrency_mode(match options.sharing {
            Sharing::SingleWriter => redb::ConcurrencyMode::SingleWriter,
            Sharing::Exclusive => redb::ConcurrencyMode::ExclusiveWriter,
        });
    builder
}
