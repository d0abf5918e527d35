//! A store that processes take turns to write.
//!
//! Snapshots come from a reader's database, as those of other processes do, so they outlive the
//! turns. The writer's database is open only during this handle's turns. A turn lasts at least
//! [`TURN`], and as long as the handle writes and no other writer is in the queue. A thread ends it
//! when the handle has not written for [`IDLE`], so that an idle handle excludes no other writer.
//!
//! Lock order: `writing`, `turns`, `reader`.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, TryLockError};
use std::time::{Duration, Instant};

use crate::backend::file_error::FileFault;
use crate::backend::{
    Access, BackendError, CommitMark, FirstFailure, OpenOptions, ReadTx, Result, StateDb,
    Transaction, TurnHold, Waiting,
};
use crate::progress::ProgressSink;
use crate::redb::db::{Opened, Place};
use crate::redb::error::{contain, wrapped_error};
use crate::redb::held::{Held, TURN};
use crate::redb::mark::{Mark, header};
use crate::redb::own_tables::check_unless_open;
use crate::redb::page::{FLAGS, HEADER_BYTES};
use crate::redb::reader::needs_repair;
use crate::redb::turn::Patience;
use crate::redb::write::RedbTransaction;
use crate::redb::{MIN_WAIT, OwnTables, RedbBackend, pack};
use crate::storage::FileMode;

/// How long a transaction lasts without a name.
const LONG: Duration = Duration::from_secs(1);
/// How long after its last write a handle keeps the turn.
const IDLE: Duration = Duration::from_millis(20);

/// Locks a mutex. What it protects is consistent after every statement, so a panic of another
/// thread does no harm.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An open store; see the module.
pub(super) struct TurnDb(Arc<Shared>);

struct Shared {
    backend: RedbBackend,
    place: Place,
    options: OpenOptions,
    /// A write transaction holds it from begin to end.
    writing: Mutex<()>,
    turns: Mutex<Turns>,
    /// Notified when a turn ends.
    ended: Condvar,
    /// `None` after closing.
    reader: RwLock<Option<Opened>>,
    is_closed: AtomicBool,
    /// Calls do not wait for the turn now.
    waits_not: AtomicBool,
    /// The number of the turn that this handle has, or 0.
    turn: AtomicU64,
    /// The failure to end a turn, after which the state of the file is unknown.
    failed: OnceLock<FirstFailure>,
}

#[derive(Default)]
struct Turns {
    held: Option<Held>,
    /// The number of turns that this handle has had.
    count: u64,
    /// The holds of the turn. It is not given back while there is one.
    holds: usize,
    /// The last commit that the caller knows of.
    seen: Option<Mark>,
    /// The last commit that this handle has left.
    left: Option<Mark>,
    /// Others have written since the last transaction of this handle began.
    follows_others: bool,
    /// A thread ends the turn when the handle is idle.
    is_watched: bool,
}

impl TurnDb {
    /// Opens a store for reading now, and for writing in its turns. A file whose writer crashed is
    /// repaired now, in a turn, since a reader of such a file excludes writers.
    pub(super) fn open(
        backend: &RedbBackend,
        path: &Path,
        options: &OpenOptions,
    ) -> Result<Self, FileFault> {
        let halved = OpenOptions {
            cache_bytes: options.cache_bytes / 2,
            ..*options
        };
        let open_reader = || backend.in_place(path, || backend.open_reader(path, &halved));
        let (mut reader, mut file) = open_reader()?;
        let mut left = None;
        let header = || backend.storage(path, FileMode::Read);
        if reader.keeps_writers_out() {
            // Nothing was written through it.
            let _ = reader.close();
            let mut patience = Patience::new(options.wait.max(MIN_WAIT));
            let repaired = backend.repair(path, &halved, &mut patience, &|| false)?;
            (reader, file) = open_reader()?;
            repaired.close()?;
            left = Mark::read(&*header()?);
        }
        let header = header()?;
        let seen = Mark::read(&*header);
        // As many files at a time as a turn opens, so that the turns of open stores find room.
        let _room = backend.storage(path, FileMode::Read)?;
        // Reports damage now, and a user who may not write to the file.
        let is_checked = check_unless_open(&*backend.storage(path, FileMode::ReadWrite)?)?;
        if is_checked && seen == Mark::read(&*header) {
            left = Mark::read(&*header);
        }
        let turns = Turns {
            seen,
            left,
            ..Turns::default()
        };
        Ok(Self(Arc::new(Shared {
            backend: backend.clone(),
            place: backend.place(path, file),
            options: halved,
            writing: Mutex::default(),
            turns: Mutex::new(turns),
            ended: Condvar::new(),
            reader: RwLock::new(Some(reader)),
            is_closed: AtomicBool::new(false),
            waits_not: AtomicBool::new(false),
            turn: AtomicU64::new(0),
            failed: OnceLock::new(),
        })))
    }
}

impl Shared {
    fn check_usable(&self) -> Result<()> {
        if self.is_closed.load(Ordering::Acquire) {
            return Err(BackendError::Closed);
        }
        match self.failed.get() {
            Some(first) => Err(BackendError::Unusable {
                first: Some(first.clone()),
            }),
            None => Ok(()),
        }
    }

    /// The turn of this handle, which takes it if it does not have it.
    fn held<'a>(self: &Arc<Self>, turns: &'a mut Turns, waiting: Waiting) -> Result<&'a mut Held> {
        self.check_usable()?;
        if turns.held.is_none() {
            let held = self.take(turns, waiting)?;
            turns.held = Some(held);
            turns.count += 1;
            self.turn.store(turns.count, Ordering::Release);
            if !turns.is_watched {
                let shared = Arc::clone(self);
                // Without a thread every transaction is a turn of its own.
                turns.is_watched = crate::cores::detach(move || shared.watch());
            }
        }
        Ok(turns.held.as_mut().expect("the turn has just been taken"))
    }

    fn take(&self, turns: &mut Turns, waiting: Waiting) -> Result<Held> {
        let is_set = |flag: &AtomicBool| flag.load(Ordering::Acquire);
        let is_over = || is_set(&self.is_closed) || is_set(&self.waits_not);
        let mut patience = Patience::new(match waiting {
            Waiting::ForTurn => self.options.wait,
            Waiting::No => Duration::ZERO,
        });
        let path = &self.place.path;
        let failed = |fault| self.begin_error(fault);
        let turn = self.backend.turn(path, None, &mut patience, &is_over);
        let turn = turn.map_err(failed)?;
        let header = self.header();
        let is_crashed = header.is_some_and(|header| needs_repair(header[FLAGS]));
        if is_crashed && let Some(turn) = &turn {
            // Others report the name; the turn is the same without it.
            let _ = turn.name(Some("repair"));
        }
        let mark = header.and_then(|header| Mark::of(&header));
        let own_tables = match mark.is_some() && mark == turns.left {
            true => OwnTables::Trust,
            false => OwnTables::Check,
        };
        turns.follows_others |= mark.is_none() || mark != turns.seen;
        let options = &self.options;
        patience.wait_at_least(MIN_WAIT);
        let opened = self
            .backend
            .open_writer(path, options, own_tables, &mut patience);
        // No process replaces the file during a turn.
        if self.place.is_replaced()? {
            return Err(BackendError::Replaced);
        }
        let database = opened.map_err(failed)?;
        // A writer that does not use this lock file may have committed while its lock was awaited:
        // one of an earlier version, or one of another link of the file.
        let opened = self.mark();
        if opened.is_none() || opened != mark {
            turns.follows_others = true;
            if own_tables == OwnTables::Trust {
                let file = self.backend.storage(path, FileMode::Read);
                check_unless_open(&*file.map_err(failed)?).map_err(failed)?;
            }
        }
        if is_crashed && let Some(turn) = &turn {
            let _ = turn.name(None);
        }
        let now = Instant::now();
        Ok(Held {
            database,
            turn,
            is_named: false,
            began: now,
            last_use: now,
        })
    }

    /// Opens the file only for this: a turn opens as few files at a time as opening a store does.
    fn header(&self) -> Option<[u8; HEADER_BYTES]> {
        let opened = self.backend.storage(&self.place.path, FileMode::Read);
        header(&*opened.ok()?)
    }

    /// The last commit.
    fn mark(&self) -> Option<Mark> {
        Mark::of(&self.header()?)
    }

    fn begin_error(&self, fault: FileFault) -> BackendError {
        const OPENING: &str = "opening the file for writing";
        if self.is_closed.load(Ordering::Acquire) {
            return BackendError::Closed;
        }
        match fault {
            FileFault::InUse(busy) => BackendError::InUse(busy),
            FileFault::NotFound => BackendError::Replaced,
            FileFault::Damaged(detail) | FileFault::NotAStore(detail) => {
                BackendError::Damaged { detail }
            }
            FileFault::Io(source) => BackendError::Storage {
                doing: OPENING,
                source,
            },
            FileFault::JournalMissing(name) => BackendError::JournalMissing { name },
            FileFault::Exists => BackendError::storage(OPENING, "it is being created"),
        }
    }

    /// Ends a turn.
    fn give_back(&self, turns: &mut Turns) -> Result<()> {
        let Some(held) = turns.held.take() else {
            return Ok(());
        };
        self.turn.store(0, Ordering::Release);
        let closed = contain(|| {
            let closed = held.database.close();
            closed.map_err(|error| wrapped_error("closing after a turn", error))
        });
        (turns.seen, turns.left) = (None, None);
        match &closed {
            Ok(()) => {
                turns.seen = self.mark();
                turns.left = self.mark();
            }
            Err(error) => drop(self.failed.set(FirstFailure::of(error))),
        }
        drop(held.turn);
        self.ended.notify_all();
        closed
    }

    /// After a transaction, lets others have a turn.
    fn end_transaction(&self) {
        self.end_use(lock(&self.turns));
    }

    fn end_use(&self, mut turns: MutexGuard<'_, Turns>) {
        let is_watched = turns.is_watched;
        if turns.holds > 0 {
            return;
        }
        let Some(held) = &mut turns.held else {
            return;
        };
        held.last_use = Instant::now();
        if std::mem::take(&mut held.is_named) {
            held.name(None);
        }
        if held.is_others() || !is_watched {
            // A failure is reported at the next use.
            let _ = self.give_back(&mut turns);
        }
    }

    /// Ends the turn once the handle is idle.
    fn watch(&self) {
        let wait = |turns, time| {
            let waited = self.ended.wait_timeout(turns, time);
            waited.unwrap_or_else(PoisonError::into_inner).0
        };
        let mut turns = lock(&self.turns);
        while let Some(held) = &turns.held {
            let left = IDLE.saturating_sub(held.last_use.elapsed());
            if !left.is_zero() {
                turns = wait(turns, left);
                continue;
            }
            drop(turns);
            let writing = match self.writing.try_lock() {
                Ok(writing) => Some(writing),
                Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => None,
            };
            turns = lock(&self.turns);
            if let (None, Some(held)) = (&writing, &mut turns.held)
                && !held.is_named
                && held.last_use.elapsed() >= LONG
            {
                held.is_named = true;
                held.name(Some("write"));
            }
            let is_idle = |held: &Held| held.last_use.elapsed() >= IDLE;
            if writing.is_none() {
                turns = wait(turns, IDLE);
            } else if turns.holds > 0 {
                drop(writing);
                turns = wait(turns, IDLE);
            } else if turns.held.as_ref().is_some_and(is_idle) {
                // A failure is reported at the next use.
                let _ = self.give_back(&mut turns);
            }
        }
        turns.is_watched = false;
    }

    fn close(&self) -> Result<()> {
        // A thread that waits for the turn stops waiting.
        self.is_closed.store(true, Ordering::Release);
        let _writing = lock(&self.writing);
        let ended = self.give_back(&mut lock(&self.turns));
        let reader = self
            .reader
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        ended.and(reader.map_or(Ok(()), Opened::close))
    }
}

/// Held by a [`TurnHold`].
struct Hold(Arc<Shared>);

impl Drop for Hold {
    fn drop(&mut self) {
        let mut turns = lock(&self.0.turns);
        turns.holds -= 1;
        self.0.end_use(turns);
    }
}

/// Held by a transaction; ends it for the other threads and handles.
struct Writing<'db> {
    shared: &'db Shared,
    _writing: MutexGuard<'db, ()>,
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.shared.end_transaction();
    }
}

impl fmt::Debug for TurnDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnDb")
            .field("path", &self.0.place.path)
            .finish_non_exhaustive()
    }
}

impl StateDb for TurnDb {
    fn access(&self) -> Access {
        Access::ReadWrite
    }

    fn is_replaced(&self) -> Result<bool> {
        self.0.place.is_replaced()
    }

    fn snapshot(&self) -> Result<Arc<dyn ReadTx + Send + Sync>> {
        let reader = self.0.reader.read().unwrap_or_else(PoisonError::into_inner);
        let reader = reader.as_ref().ok_or(BackendError::Closed)?;
        let begun = reader.begin_read();
        Ok(Arc::new(
            begun.map_err(|error| self.0.place.reading(error))?,
        ))
    }

    fn last_commit(&self) -> Option<CommitMark> {
        let reader = self.0.reader.read().unwrap_or_else(PoisonError::into_inner);
        reader.as_ref().and_then(Opened::last_commit)
    }

    fn begin_write(&self) -> Result<Box<dyn Transaction + '_>> {
        let writing = Writing {
            shared: &self.0,
            _writing: lock(&self.0.writing),
        };
        let mut turns = lock(&self.0.turns);
        let held = self.0.held(&mut turns, Waiting::ForTurn)?;
        let tx = contain(|| {
            let begun = held.database.begin_write();
            begun.map_err(|error| wrapped_error("beginning to write", error))
        })?;
        let follows_others = std::mem::take(&mut turns.follows_others);
        drop(turns);
        Ok(Box::new(RedbTransaction::new(tx, writing, follows_others)))
    }

    fn hold_turn(&self, waiting: Waiting) -> Result<TurnHold> {
        let mut turns = lock(&self.0.turns);
        // Holds that overlap would keep others out for ever.
        while turns.holds > 0 && turns.held.as_ref().is_some_and(Held::is_others) {
            let ended = self.0.ended.wait_timeout(turns, TURN);
            turns = ended.unwrap_or_else(PoisonError::into_inner).0;
        }
        self.0.held(&mut turns, waiting)?;
        turns.holds += 1;
        Ok(TurnHold::new(turns.count, Hold(Arc::clone(&self.0))))
    }

    fn turn(&self) -> u64 {
        self.0.turn.load(Ordering::Acquire)
    }

    fn set_waiting(&self, waiting: Waiting) {
        let waits_not = waiting == Waiting::No;
        self.0.waits_not.store(waits_not, Ordering::Release);
    }

    fn compact(&self, progress: &ProgressSink) -> Result<()> {
        let _writing = Writing {
            shared: &self.0,
            _writing: lock(&self.0.writing),
        };
        let mut turns = lock(&self.0.turns);
        let held = self.0.held(&mut turns, Waiting::ForTurn)?;
        held.name(Some("compact"));
        // Snapshots that begin during the compaction wait for its end.
        let reader = self
            .0
            .reader
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let compacted = contain(|| pack::compact(&mut held.database, progress));
        drop(reader);
        held.name(None);
        compacted
    }

    fn close(&self) -> Result<()> {
        self.0.close()
    }
}

impl Drop for TurnDb {
    fn drop(&mut self) {
        // A caller who needs the error closes the store.
        let _ = self.0.close();
    }
}
