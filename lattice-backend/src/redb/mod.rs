//! The redb backend. Only this module names redb.

mod adapter;
mod backup;
mod carve;
mod copy_pages;
mod db;
mod error;
mod file;
mod free_pages;
mod header_last;
mod held;
mod mark;
mod new_file;
mod overlay;
mod own_tables;
mod pack;
mod packed;
mod page;
mod pages;
mod reader;
mod scratch;
mod turn;
mod turns;
mod tx;
mod write;

pub use file::FileDisk;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::file_error::{FileFault, PeekFault};
use crate::backend::{
    Access, Copied, FileError, Integrity, OpenOptions, Peek, PeekError, RawRows, Result, Sharing,
    StateBackend, StateDb, Table, WriteTx, WriterLock, copy_store, read_peek,
};
use crate::progress::{ProgressSink, Stage};
use crate::storage::{Disk, FileId, FileMode, LockKind, Storage, lock_beside};

use adapter::{Adapter, LockView};
use carve::Carved;
use db::{Opened, Place, RedbDb};
use error::{check_magic, contain, file_error, open_error};
use new_file::NewFile;
use scratch::Unsynced;
use turn::{Patience, Turn};
use turns::TurnDb;

/// Cache for a peek, which reads a handful of pages.
const PEEK_CACHE_BYTES: usize = 256 << 10;
/// Cache for a scratch store. A replay changes its rows in any order, so what the cache does not
/// hold is read and written again and again.
const SCRATCH_CACHE_BYTES: usize = 40 << 20;
/// The shortest wait for a lock that a short peek of a crashed store may hold, or a writer that
/// opens the file, for callers that do not want to wait.
const MIN_WAIT: Duration = Duration::from_millis(20);
/// How long a reader waits for the turn in which it repairs a file.
const REPAIR_WAIT: Duration = Duration::from_millis(200);

/// Stores as redb files on a [`Disk`].
///
/// Other processes can read a store that is open in the default sharing mode. A store whose last
/// writer was killed can be peeked at and read without being changed: its last commit was made in
/// two phases and is intact, so reading needs no repair. While a crashed store is read in this way,
/// writers get an in-use error, since they would repair the file under the reader. So a process
/// that may write to the file, and opens it beside the lock file of its writers, repairs it before
/// it reads.
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
    /// A backend on the file system.
    pub fn on_files() -> Self {
        Self::on_disk(FileDisk)
    }

    /// A backend on any disk.
    pub fn on_disk(disk: impl Disk) -> Self {
        Self {
            disk: Arc::new(disk),
        }
    }

    fn storage(&self, path: &Path, mode: FileMode) -> Result<Box<dyn Storage>, FileFault> {
        self.disk.open(path, mode).map_err(open_error)
    }

    fn open_reader(&self, path: &Path, options: &OpenOptions) -> Result<Opened, FileFault> {
        contain(|| reader::open(&|| self.disk.open(path, FileMode::Read), options))
    }

    /// Opens a file for writing, in this handle's turn or exclusively. Readers of a crashed file
    /// can prevent it for a moment.
    fn open_writer(
        &self,
        path: &Path,
        options: &OpenOptions,
        own_tables: OwnTables,
        patience: &mut Patience,
    ) -> Result<redb::Database, FileFault> {
        loop {
            let storage = self.storage(path, FileMode::ReadWrite)?;
            // redb would take an empty file for a new database and write to it.
            check_magic(&*storage)?;
            if own_tables == OwnTables::Check {
                own_tables::check_unless_open(&*storage)?;
            }
            match create_database(storage, options) {
                Err(FileFault::InUse(_)) if patience.pause_long() => {}
                Err(FileFault::InUse(_)) => return Err(FileFault::InUse(patience.busy())),
                opened => return opened,
            }
        }
    }

    /// Opens a file for writing in a turn, which repairs it if its writer was killed.
    fn repair(
        &self,
        path: &Path,
        options: &OpenOptions,
        patience: &mut Patience,
        is_over: &dyn Fn() -> bool,
    ) -> Result<Opened, FileFault> {
        let turn = self.turn(path, Some("repair"), patience, is_over)?;
        let database = self.open_writer(path, options, OwnTables::Check, patience)?;
        Ok(Opened::Writer {
            database,
            _turn: turn,
        })
    }

    /// Repairs a file whose writer was killed, if this process may, since a reader of such a file
    /// excludes writers for as long as it reads. A file without the lock file of its writers, such
    /// as a copy, is not changed.
    fn repair_before_reading(&self, path: &Path, options: &OpenOptions) {
        let is_crashed = || {
            let storage = self.storage(path, FileMode::Read);
            storage.is_ok_and(|storage| reader::is_crashed(&*storage).unwrap_or(false))
        };
        if has_lock_file(path) && is_crashed() {
            let mut patience = Patience::new(REPAIR_WAIT.min(options.wait.max(MIN_WAIT)));
            // What cannot be repaired now is read as it is.
            if let Ok(repaired) = self.repair(path, options, &mut patience, &|| !is_crashed()) {
                let _ = repaired.close();
            }
        }
    }

    /// Opens a file for work that has it until it is closed: exclusive use, or long work, which
    /// keeps the turn.
    fn open_for_work(&self, path: &Path, options: &OpenOptions) -> Result<Opened, FileFault> {
        let mut patience = Patience::new(options.wait.max(MIN_WAIT));
        let turn = match options.sharing {
            Sharing::SingleWriter => self.turn(path, options.work, &mut patience, &|| false)?,
            // Others cannot open the file at all.
            Sharing::Exclusive => {
                patience = Patience::new(MIN_WAIT);
                None
            }
        };
        let database = self.open_writer(path, options, OwnTables::Check, &mut patience)?;
        Ok(Opened::Writer {
            database,
            _turn: turn,
        })
    }

    /// Takes the turn of a store. Returns `None` to a user who may not write to the lock file, or
    /// not make it, and on a full disk: the lock of the store's file excludes other writers, and
    /// the turn only orders them.
    fn turn(
        &self,
        path: &Path,
        work: Option<&str>,
        patience: &mut Patience,
        is_over: &dyn Fn() -> bool,
    ) -> Result<Option<Turn>, FileFault> {
        match Turn::take(&*self.disk, path, work, patience, is_over) {
            Err(FileFault::Io(error)) if leaves_no_lock_file(&*error) => Ok(None),
            turn => turn.map(Some),
        }
    }

    /// Opens a file, and checks after locking it that it is still the file at the path.
    fn open_file(&self, path: &Path, options: &OpenOptions) -> Result<Arc<dyn StateDb>, FileFault> {
        let takes_turns = options.sharing == Sharing::SingleWriter && options.work.is_none();
        if options.access == Access::ReadWrite && takes_turns {
            return Ok(Arc::new(TurnDb::open(self, path, options)?));
        }
        if options.access == Access::ReadOnly {
            self.repair_before_reading(path, options);
        }
        let (opened, file) = self.in_place(path, || match options.access {
            Access::ReadWrite => self.open_for_work(path, options),
            Access::ReadOnly => self.open_reader(path, options),
        })?;
        let place = self.place(path, file);
        Ok(Arc::new(RedbDb::at(opened, options.access, place)))
    }

    fn place(&self, path: &Path, file: Option<FileId>) -> Place {
        Place {
            disk: Arc::clone(&self.disk),
            path: path.to_path_buf(),
            file,
        }
    }

    /// Opens and locks a file, and returns its identity. Another file may have replaced it before
    /// it was locked, also between two opens of the same path: then both are tried again. A
    /// process that replaces a file holds the writer lock on the old one, so from here on a
    /// writer's file is not replaced.
    fn in_place<T>(
        &self,
        path: &Path,
        open: impl Fn() -> Result<T, FileFault>,
    ) -> Result<(T, Option<FileId>), FileFault> {
        loop {
            let file = self.disk.file_id(path).map_err(open_error)?;
            let opened = open();
            if self.disk.file_id(path).map_err(open_error)? == file {
                return Ok((opened?, file));
            }
        }
    }

    fn peek_file(&self, path: &Path) -> Result<Peek, PeekFault> {
        let options = OpenOptions {
            cache_bytes: PEEK_CACHE_BYTES,
            ..OpenOptions::read_only()
        };
        let (opened, _) = self.in_place(path, || self.open_reader(path, &options))?;
        contain(|| read_peek(&opened.begin_read()?))
    }

    /// Takes the lock that excludes writers, whatever the file contains. A user who may not write
    /// to the file shares the lock, which excludes writers as well.
    fn lock_file(
        &self,
        path: &Path,
        work: &'static str,
        wait: Duration,
    ) -> Result<(Option<Turn>, Box<dyn Storage>), FileFault> {
        let open = || {
            let mut patience = Patience::new(wait.max(MIN_WAIT));
            let turn = self.turn(path, Some(work), &mut patience, &|| false)?;
            let (storage, kind) = match self.disk.open(path, FileMode::ReadWrite) {
                Err(error) if cannot_write(&error) => {
                    (self.disk.open(path, FileMode::Read), LockKind::Shared)
                }
                opened => (opened, LockKind::Exclusive),
            };
            let storage = storage.map_err(open_error)?;
            while !storage
                .try_lock(reader::WRITER_MODE, kind)
                .map_err(open_error)?
            {
                if !patience.pause_long() {
                    return Err(FileFault::InUse(patience.busy()));
                }
            }
            Ok((turn, storage))
        };
        Ok(self.in_place(path, open)?.0)
    }

    fn create_file(
        &self,
        path: &Path,
        birth: &mut dyn FnMut(&mut dyn WriteTx) -> Result<()>,
    ) -> Result<(), FileFault> {
        let storage = self.storage(path, FileMode::CreateNew)?;
        let file = NewFile::new(&*self.disk, path);
        let database = create_database(storage, &OpenOptions::read_write())?;
        let db = RedbDb::new(writer_of(database), Access::ReadWrite);
        let mut tx = db.begin_write()?;
        // Accessing a table creates it: a new store has all its tables from the beginning.
        for table in Table::ALL {
            tx.get(table, &[])?;
        }
        birth(&mut *tx)?;
        tx.commit()?.wait()?;
        db.close()?;
        file.keep();
        Ok(())
    }

    fn create_scratch(&self) -> Result<RedbDb, FileFault> {
        let storage = self.disk.scratch();
        let storage = Unsynced(storage.map_err(|error| FileFault::Io(error.into()))?);
        let options = OpenOptions {
            sharing: Sharing::Exclusive,
            cache_bytes: SCRATCH_CACHE_BYTES,
            ..OpenOptions::read_write()
        };
        let database = create_database(Box::new(storage), &options)?;
        Ok(RedbDb::new(writer_of(database), options.access))
    }
}

impl StateBackend for RedbBackend {
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
        if self.copy_pages(path, target, edit, progress)? {
            return Ok(Copied::Pages);
        }
        copy_store(self, self, path, target, edit, progress)?;
        self.pack_copy(target, progress)?;
        Ok(Copied::Rows)
    }

    fn pack_copy(&self, target: &Path, progress: &ProgressSink) -> Result<(), FileError> {
        let file = NewFile::new(&*self.disk, target);
        progress.report(Stage::Shrink, 0, None);
        self.shrink_file(target).map_err(|fault| fault.at(target))?;
        file.keep();
        Ok(())
    }

    fn scratch(&self) -> Result<Arc<dyn StateDb>, FileError> {
        let db = self.create_scratch();
        // Errors name the temporary directory, which the environment can set.
        Ok(Arc::new(
            db.map_err(|fault| fault.at(&std::env::temp_dir()))?,
        ))
    }

    fn raw_rows(&self, path: &Path) -> Result<Option<Box<dyn RawRows>>, FileError> {
        let storage = self.storage(path, FileMode::Read);
        let storage = storage.map_err(|fault| fault.at(path))?;
        Ok(Some(Box::new(Carved::new(storage, path))))
    }

    fn check_integrity(&self, path: &Path) -> Result<Integrity, FileError> {
        // Writers wait for the end of the check, so it is a turn of its own, which names it. Where
        // no writer has made a lock file, none is left beside a copy.
        let _turn = match has_lock_file(path) {
            false => None,
            true => match self.turn(path, Some("verify"), &mut Patience::new(MIN_WAIT), &|| {
                false
            }) {
                Ok(turn) => turn,
                Err(FileFault::InUse(_)) => return Ok(Integrity::InUse),
                Err(fault) => return Err(fault.at(path)),
            },
        };
        let open_file = || self.disk.open(path, FileMode::Read);
        let check = || contain(|| reader::check_integrity(&open_file));
        match self.in_place(path, check).map(|(checked, _)| checked) {
            Err(FileFault::Damaged(detail)) => Ok(Integrity::Damaged { detail }),
            checked => checked.map_err(|fault| fault.at(path)),
        }
    }

    fn was_closed(&self, path: &Path) -> Result<bool, FileError> {
        let flags = self.storage(path, FileMode::Read);
        let flags = flags.and_then(|storage| check_magic(&*storage));
        Ok(!reader::needs_repair(
            flags.map_err(|fault| fault.at(path))?,
        ))
    }

    fn lock_writer(
        &self,
        path: &Path,
        work: &'static str,
        wait: Duration,
    ) -> Result<WriterLock, FileError> {
        let locked = self.lock_file(path, work, wait);
        Ok(WriterLock::new(locked.map_err(|fault| fault.at(path))?))
    }

    fn open_unchanged(
        &self,
        path: &Path,
        cache_bytes: usize,
    ) -> Result<Arc<dyn StateDb>, FileError> {
        let options = OpenOptions {
            cache_bytes,
            ..OpenOptions::read_only()
        };
        let opened = self.in_place(path, || self.open_reader(path, &options));
        let (opened, file) = opened.map_err(|fault| fault.at(path))?;
        let place = self.place(path, file);
        Ok(Arc::new(RedbDb::at(opened, Access::ReadOnly, place)))
    }

    fn open(&self, path: &Path, options: &OpenOptions) -> Result<Arc<dyn StateDb>, FileError> {
        let db = self.open_file(path, options);
        db.map_err(|fault| fault.at(path))
    }
}

/// Whether redb's own tables are compared with their checksums before redb trusts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OwnTables {
    Check,
    /// This handle has left the file as it is.
    Trust,
}

/// Whether writers of a store's file take turns. In memory there is no lock file to find.
fn has_lock_file(path: &Path) -> bool {
    let store = path.canonicalize();
    store.is_ok_and(|store| lock_beside(&store).exists())
}

/// A file that no other process can write.
fn writer_of(database: redb::Database) -> Opened {
    Opened::Writer {
        database,
        _turn: None,
    }
}

/// Whether there can be no lock file: this user may not write there, or the disk is full. A store
/// can be removed from a full disk.
fn leaves_no_lock_file(error: &(dyn std::error::Error + 'static)) -> bool {
    let is_full = |error: &io::Error| {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        full.contains(&error.kind())
    };
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| cannot_write(error) || is_full(error))
}

fn cannot_write(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}

/// Opens the database in a storage for writing; creates one if the storage is empty.
fn create_database(
    storage: Box<dyn Storage>,
    options: &OpenOptions,
) -> Result<redb::Database, FileFault> {
    contain(|| {
        builder(options)
            .create_with_backend(Adapter::new(storage, LockView::Real))
            .map_err(file_error)
    })
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
