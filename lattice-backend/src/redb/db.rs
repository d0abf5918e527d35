//! An open database.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use redb::{Database, ReadOnlyDatabase, ReadableDatabase};

use crate::backend::{
    Access, BackendError, Busy, CommitMark, ReadTx, Result, StateDb, Transaction, TurnHold, Waiting,
};
use crate::progress::ProgressSink;
use crate::redb::error::{contain, wrapped_error};
use crate::redb::mark::Mark;
use crate::redb::pack;
use crate::redb::turn::Turn;
use crate::redb::tx::RedbReadTx;
use crate::redb::write::RedbTransaction;
use crate::storage::{Disk, FileId, Storage};

/// How a file is open.
pub(super) enum Opened {
    /// For reading and writing; the turn is released after the file is closed.
    Writer {
        database: Database,
        _turn: Option<Turn>,
    },
    /// For reading; the guard keeps writers from opening a file whose writer crashed.
    Reader {
        database: ReadOnlyDatabase,
        /// The file, for its header.
        header: Arc<dyn Storage>,
        guard: Option<Box<dyn Storage>>,
    },
    /// For reading a file that redb repaired in memory.
    Repaired {
        database: Database,
        _guard: Box<dyn Storage>,
    },
}

impl Opened {
    pub(super) fn begin_read(&self) -> Result<RedbReadTx> {
        contain(|| {
            match self {
                Self::Writer { database, .. } | Self::Repaired { database, .. } => {
                    database.begin_read()
                }
                Self::Reader { database, .. } => database.begin_read(),
            }
            .map(RedbReadTx::new)
            .map_err(|error| wrapped_error("beginning to read", error))
        })
    }

    /// Whether this excludes writers: the file's writer crashed.
    pub(super) fn keeps_writers_out(&self) -> bool {
        match self {
            Self::Writer { .. } => false,
            Self::Reader { guard, .. } => guard.is_some(),
            Self::Repaired { .. } => true,
        }
    }

    /// The last commit that a snapshot would show.
    pub(super) fn last_commit(&self) -> Option<CommitMark> {
        match self {
            Self::Reader { header, .. } => Mark::read(&**header).map(|mark| mark.to_public()),
            Self::Writer { .. } | Self::Repaired { .. } => None,
        }
    }

    pub(super) fn close(self) -> Result<()> {
        contain(|| {
            match self {
                Self::Writer { database, .. } | Self::Repaired { database, .. } => database.close(),
                Self::Reader { database, .. } => database.close(),
            }
            .map_err(|error| wrapped_error("closing", error))
        })
    }
}

/// Lock order: the fields in this order.
pub(super) struct RedbDb {
    /// A write transaction holds it from begin to end; compacting and closing wait for it. A
    /// transaction holds no other lock, so that a snapshot never waits for a transaction.
    writing: Mutex<()>,
    /// `None` after closing.
    opened: RwLock<Option<Opened>>,
    access: Access,
    place: Option<Place>,
}

fn has_timed_out(error: &(dyn std::error::Error + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
}

/// Where a database was opened, and the identity of the file.
pub(super) struct Place {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) path: PathBuf,
    pub(super) file: Option<FileId>,
}

impl Place {
    /// Whether another file is there now, or none.
    pub(super) fn is_replaced(&self) -> Result<bool> {
        match self.disk.file_id(&self.path) {
            Ok(file) => Ok(file != self.file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(BackendError::storage("looking at the file", error)),
        }
    }

    /// The error of a reader. Long work that shortens the file keeps readers waiting until they
    /// give up; they can try again.
    pub(super) fn reading(&self, error: BackendError) -> BackendError {
        match &error {
            BackendError::Storage { source, .. } if has_timed_out(&**source) => {
                match Turn::long_work(&*self.disk, &self.path) {
                    Some(holder) => BackendError::InUse(Busy {
                        holder: Some(holder),
                        ..Busy::default()
                    }),
                    None => error,
                }
            }
            _ => error,
        }
    }
}

impl RedbDb {
    /// A database without a path, or with a temporary one.
    pub(super) fn new(opened: Opened, access: Access) -> Self {
        Self {
            writing: Mutex::default(),
            opened: RwLock::new(Some(opened)),
            access,
            place: None,
        }
    }

    pub(super) fn at(opened: Opened, access: Access, place: Place) -> Self {
        Self {
            place: Some(place),
            ..Self::new(opened, access)
        }
    }

    fn wait_to_write(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for RedbDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbDb")
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

impl StateDb for RedbDb {
    fn access(&self) -> Access {
        self.access
    }

    fn is_replaced(&self) -> Result<bool> {
        self.place.as_ref().map_or(Ok(false), Place::is_replaced)
    }

    fn snapshot(&self) -> Result<Arc<dyn ReadTx + Send + Sync>> {
        let opened = self.opened.read().unwrap_or_else(PoisonError::into_inner);
        let opened = opened.as_ref().ok_or(BackendError::Closed)?;
        let begun = opened.begin_read().map_err(|error| match &self.place {
            Some(place) => place.reading(error),
            None => error,
        });
        Ok(Arc::new(begun?))
    }

    fn last_commit(&self) -> Option<CommitMark> {
        let opened = self.opened.read().unwrap_or_else(PoisonError::into_inner);
        opened.as_ref().and_then(Opened::last_commit)
    }

    fn begin_write(&self) -> Result<Box<dyn Transaction + '_>> {
        let writing = self.wait_to_write();
        let opened = self.opened.read().unwrap_or_else(PoisonError::into_inner);
        let database = match opened.as_ref().ok_or(BackendError::Closed)? {
            Opened::Writer { database, .. } => database,
            Opened::Reader { .. } | Opened::Repaired { .. } => return Err(BackendError::ReadOnly),
        };
        let tx = contain(|| {
            database
                .begin_write()
                .map_err(|error| wrapped_error("beginning to write", error))
        })?;
        Ok(Box::new(RedbTransaction::new(tx, writing, false)))
    }

    fn hold_turn(&self, _: Waiting) -> Result<TurnHold> {
        TurnHold::of_only_writer(self.access)
    }

    fn turn(&self) -> u64 {
        u64::from(self.access == Access::ReadWrite)
    }

    fn compact(&self, progress: &ProgressSink) -> Result<()> {
        let _writing = self.wait_to_write();
        // Readers that begin during the compaction wait for its end.
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        match opened.as_mut().ok_or(BackendError::Closed)? {
            Opened::Writer { database, .. } => contain(|| pack::compact(database, progress)),
            Opened::Reader { .. } | Opened::Repaired { .. } => Err(BackendError::ReadOnly),
        }
    }

    fn close(&self) -> Result<()> {
        let _writing = self.wait_to_write();
        let opened = self
            .opened
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        opened.map_or(Ok(()), Opened::close)
    }
}
