//! An open database.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use redb::{Database, ReadOnlyDatabase, ReadableDatabase};

use crate::backend::{Access, BackendError, ReadTx, Result, StateDb, Verdict, WriteBody};
use crate::redb::error::{contain_call, wrapped_error};
use crate::redb::pack;
use crate::redb::tx::{RedbReadTx, RedbWriteTx};
use crate::storage::{Disk, FileId, Storage};

/// The ways in which a file is open.
pub(super) enum Opened {
    /// For writing too.
    Writer(Database),
    /// For reading; the guard keeps writers from a file that crashed.
    Reader {
        database: ReadOnlyDatabase,
        _guard: Option<Box<dyn Storage>>,
    },
    /// For reading what was repaired in memory.
    Repaired {
        database: Database,
        _guard: Box<dyn Storage>,
    },
}

impl Opened {
    pub(super) fn begin_read(&self) -> Result<RedbReadTx> {
        contain_call(|| {
            match self {
                Self::Writer(database) | Self::Repaired { database, .. } => database.begin_read(),
                Self::Reader { database, .. } => database.begin_read(),
            }
            .map(RedbReadTx::new)
            .map_err(|error| wrapped_error("beginning to read", error))
        })
    }

    fn close(self) -> Result<()> {
        contain_call(|| {
            match self {
                Self::Writer(database) | Self::Repaired { database, .. } => database.close(),
                Self::Reader { database, .. } => database.close(),
            }
            .map_err(|error| wrapped_error("closing", error))
        })
    }
}

pub(super) struct RedbDb {
    /// Nothing once it is closed. Writes hold this for reading, so closing waits for them.
    opened: RwLock<Option<Opened>>,
    access: Access,
    place: Option<Place>,
}

/// Where a database was opened, and which file that was.
pub(super) struct Place {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) path: PathBuf,
    pub(super) file: Option<FileId>,
}

impl RedbDb {
    /// One that has no name, or is not going to keep it.
    pub(super) fn new(opened: Opened, access: Access) -> Self {
        Self {
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
        let Some(place) = &self.place else {
            return Ok(false);
        };
        match place.disk.file_id(&place.path) {
            Ok(file) => Ok(file != place.file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(BackendError::storage("looking at the file", error)),
        }
    }

    fn snapshot(&self) -> Result<Arc<dyn ReadTx + Send + Sync>> {
        let opened = self.opened.read().unwrap_or_else(PoisonError::into_inner);
        let opened = opened.as_ref().ok_or(BackendError::Closed)?;
        Ok(Arc::new(opened.begin_read()?))
    }

    fn write(&self, body: &mut WriteBody<'_>) -> Result<()> {
        let opened = self.opened.read().unwrap_or_else(PoisonError::into_inner);
        let database = match opened.as_ref().ok_or(BackendError::Closed)? {
            Opened::Writer(database) => database,
            Opened::Reader { .. } | Opened::Repaired { .. } => return Err(BackendError::ReadOnly),
        };
        let tx = contain_call(|| {
            database
                .begin_write()
                .map_err(|error| wrapped_error("beginning to write", error))
        })?;
        // A panic in the body ends the transaction without a trace before it goes on.
        let mut write = RedbWriteTx::new(&tx);
        let verdict = catch_unwind(AssertUnwindSafe(|| body(&mut write)));
        // A panic of redb over a damaged file poisons a lock of the transaction. Tables and the transaction
        // take that lock when they are dropped, and panic once more.
        let released = contain_call(|| {
            drop(write);
            Ok(())
        });
        let verdict = verdict.map(|outcome| outcome.and_then(|verdict| released.map(|()| verdict)));
        match verdict {
            Ok(Ok(Verdict::Commit)) => contain_call(|| {
                tx.commit()
                    .map_err(|error| wrapped_error("committing", error))
            }),
            Ok(outcome) => {
                let aborted = contain_call(|| {
                    tx.abort()
                        .map_err(|error| wrapped_error("dropping a write", error))
                });
                outcome.and(aborted)
            }
            Err(panic) => {
                // The panic of the body is what counts.
                let _ = contain_call(|| {
                    drop(tx);
                    Ok(())
                });
                resume_unwind(panic)
            }
        }
    }

    fn compact(&self) -> Result<()> {
        // Nobody begins to read or write meanwhile.
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        match opened.as_mut().ok_or(BackendError::Closed)? {
            Opened::Writer(database) => contain_call(|| pack::compact(database)),
            Opened::Reader { .. } | Opened::Repaired { .. } => Err(BackendError::ReadOnly),
        }
    }

    fn close(&self) -> Result<()> {
        let opened = self
            .opened
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        opened.map_or(Ok(()), Opened::close)
    }
}
