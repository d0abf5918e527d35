//! What all parts of an open store share, and the path of a commit.
//!
//! Lock order: `writing`, `fold`, `log`, `current`. A hold of the turn is dropped without any of
//! them.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::backend::{
    BackendError, FirstFailure, Result, StateDb, Table, Ticket, Transaction, TurnHold, Waiting,
};
use crate::journal::budget::Share;
use crate::journal::current::Current;
use crate::journal::layout::{ChainValue, Keys, MARK, Mark, Salt};
use crate::journal::log::{Fate, Log, Pending, whatever_is_lost};
use crate::journal::memtable::{Memtable, Pins};
use crate::journal::scan::Position;
use crate::journal::segment::Segments;
use crate::journal::tx::{Changes, JournalTx, write_rows};
use crate::journal::view::View;
use crate::journal::{Snapshots, Tuning};
use crate::storage::Disk;

/// After a session could not begin, the next attempt waits this long.
const RETRY: Duration = Duration::from_secs(60);

/// Locks a mutex. What it protects is consistent after every statement, so a panic of another
/// thread does no harm.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An open store.
pub(super) struct Core {
    pub(super) inner: Arc<dyn StateDb>,
    pub(super) disk: Arc<dyn Disk>,
    /// The canonical path of the store's file.
    pub(super) store: PathBuf,
    /// How long a call waits for others.
    pub(super) wait: Duration,
    /// Whether sessions begin here.
    pub(super) begins_sessions: bool,
    /// Whether a damaged or missing journal is given up.
    pub(super) salvages: bool,
    /// Whether readers see what can be read of one.
    pub(super) reads_damaged: bool,
    /// Whether the last snapshot is kept for the next caller.
    pub(super) snapshots: Snapshots,
    pub(super) tuning: Tuning,
    pub(super) share: Share,
    /// What gets the events of the worker: what gets those of the thread that opened the store.
    pub(super) events: tracing::Dispatch,
    /// A write transaction holds it from begin to end.
    pub(super) writing: Mutex<Writer>,
    pub(super) fold: Mutex<Fold>,
    /// Notified when a fold ends.
    pub(super) folded: Condvar,
    pub(super) log: Mutex<Log>,
    /// Notified when a record is synced.
    pub(super) logged: Condvar,
    pub(super) current: Mutex<Current>,
    pub(super) pins: Arc<Pins>,
    /// The first failure after which it is unknown what is on disk.
    pub(super) failed: OnceLock<FirstFailure>,
    pub(super) is_closed: AtomicBool,
    /// A thread is closing the handle, or has.
    pub(super) is_closing: AtomicBool,
}

/// The state of the only writer of this handle.
#[derive(Debug, Default)]
pub(super) struct Writer {
    /// The number of the last turn in which the journal was read.
    pub(super) turn: u64,
    /// The session's rows and its end include those of a lost record.
    pub(super) has_loss: bool,
    pub(super) session: Option<Session>,
    /// The session and the transaction that the caller knows, if there is a session.
    pub(super) seen: Option<(Salt, ChainValue)>,
    /// Others have written since the last transaction of this handle began.
    pub(super) follows_others: bool,
    /// The times of the last commits to the backend.
    commits: VecDeque<Instant>,
    /// The time of the last commit.
    pub(super) last_commit: Option<Instant>,
    /// When a session may begin again after one could not.
    retry_at: Option<Instant>,
}

/// A session of the journal, as its writer sees it.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) segments: Arc<Segments>,
    /// After the last committed transaction, synced or not.
    pub(super) position: Position,
    pub(super) active: Arc<Memtable>,
}

impl Writer {
    /// A session could not be used. The next one does not begin at once.
    fn retry_later(&mut self) {
        self.retry_at = Some(Instant::now() + RETRY);
    }
}

impl Session {
    pub(super) fn keys(&self) -> &Keys {
        self.segments.keys()
    }

    pub(super) fn mark(&self) -> (Salt, ChainValue) {
        (self.keys().salt(), self.position.chain)
    }
}

/// What the worker does with the file to which nothing is appended.
#[derive(Debug, Default)]
pub(super) struct Fold {
    pub(super) job: Option<Job>,
    /// Whether the other file has the header of the next generation.
    pub(super) next_is_ready: bool,
}

/// A piece of work for the worker.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) segments: Arc<Segments>,
    pub(super) work: Work,
    /// The turn is kept until the work has ended.
    pub(super) _hold: TurnHold,
}

#[derive(Debug, Clone)]
pub(super) enum Work {
    /// A generation is folded, and its file becomes that of the next but one.
    Fold {
        rows: Arc<Memtable>,
        /// The end of the generation.
        end: Position,
    },
    /// A file grows like the other one, before its generation begins.
    Grow { file: usize },
}

impl Core {
    pub(super) fn check_usable(&self) -> Result<()> {
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

    /// Remembers the first failure after which it is unknown what is on disk.
    pub(super) fn fail(&self, error: BackendError) -> BackendError {
        self.failed.get_or_init(|| FirstFailure::of(&error));
        // The rows in memory include those of records that are not synced. Other handles write
        // other records in their place.
        lock(&self.current).distrust();
        // They are not folded for the sake of other stores.
        self.share.end();
        self.share.set_frozen(0);
        self.logged.notify_all();
        self.folded.notify_all();
        error
    }

    pub(super) fn begin<'db>(self: &'db Arc<Self>) -> Result<JournalTx<'db>> {
        let mut writer = lock(&self.writing);
        whatever_is_lost(self.wait_for_place())?;
        self.check_usable()?;
        let hold = self.inner.hold_turn(Waiting::ForTurn);
        let hold = hold.map_err(|error| match self.is_closing.load(Ordering::Acquire) {
            true => BackendError::Closed,
            false => error,
        })?;
        self.enter(&mut writer, &hold)?;
        if !self.begins_sessions && writer.session.is_some() {
            self.end_session(&mut writer)?;
        }
        let follows_others = std::mem::take(&mut writer.follows_others);
        // A snapshot that is kept keeps pages of the backend from being used again.
        lock(&self.current).last = None;
        let Some(session) = &writer.session else {
            let tx = self.inner.begin_write().inspect_err(|_| {
                writer.follows_others |= follows_others;
            })?;
            let follows_others = follows_others || tx.follows_others();
            return Ok(JournalTx::direct(self, writer, follows_others, hold, tx));
        };
        let view = self.writers_view(session)?;
        Ok(JournalTx::buffered(
            self,
            writer,
            follows_others,
            hold,
            view,
        ))
    }

    /// What the writer sees: all commits, synced or not.
    fn writers_view(&self, session: &Session) -> Result<View> {
        let view = lock(&self.current).view(&self.pins);
        let Some(mut view) = view else {
            // A fold or a record has failed since this transaction began.
            self.check_usable()?;
            lock(&self.log).check()?;
            return Err(lost());
        };
        view.seq = session.position.seq;
        Ok(view)
    }

    /// Appends a transaction as a record.
    pub(super) fn append(
        self: &Arc<Self>,
        mut writer: MutexGuard<'_, Writer>,
        changes: &Changes,
        hold: TurnHold,
    ) -> Result<Ticket> {
        self.wait_for_place()?;
        self.check_usable()?;
        let mut log = lock(&self.log);
        log.check()?;
        let session = writer.session.as_mut().ok_or_else(lost)?;
        let place = &mut session.position;
        let seq = place.seq.checked_add(1).ok_or_else(lost)?;
        let (generation, offset) = (place.generation, place.offset);
        let keys = session.segments.keys();
        let (bytes, chain) = changes.encode().finish(keys, generation, seq, place.chain);
        changes.add_to(&session.active, seq, self.pins.oldest(log.durable));
        place.offset += u64::try_from(bytes.len()).map_err(|_| lost())?;
        (place.seq, place.chain) = (seq, chain);
        let fate = Fate::default();
        log.push(Pending {
            segments: Arc::clone(&session.segments),
            offset,
            bytes,
            end: session.position,
            fate: Arc::clone(&fate),
            _hold: hold,
        });
        drop(log);
        self.count(session.active.bytes());
        writer.seen = writer.session.as_ref().map(Session::mark);
        writer.last_commit = Some(Instant::now());
        drop(writer);
        Ok(self.ticket(seq, fate))
    }

    /// Begins a transaction of the backend with the journal's rows in it.
    pub(super) fn begin_through<'db>(
        self: &'db Arc<Self>,
        writer: &Writer,
    ) -> Result<Box<dyn Transaction + 'db>> {
        self.wait_for_fold()?;
        self.drain()?;
        let mut tx = self.inner.begin_write()?;
        if let Some(session) = &writer.session {
            write_rows(&mut *tx, &session.active, session.position.seq)?;
        }
        Ok(tx)
    }

    /// Commits a transaction of the backend. In a session, it takes a number and moves the chain,
    /// so that no record of before fits behind it. Without one, a session may begin with it.
    pub(super) fn commit_through(
        self: &Arc<Self>,
        writer: &mut Writer,
        mut tx: Box<dyn Transaction + '_>,
    ) -> Result<()> {
        writer.last_commit = Some(Instant::now());
        let Some(session) = &writer.session else {
            return self.commit_to_backend(writer, tx);
        };
        let (before, segments) = (session.position, Arc::clone(&session.segments));
        let seq = before.seq.checked_add(1).ok_or_else(lost)?;
        let random = random()?;
        let mark = Mark {
            is_open: true,
            salt: session.keys().salt(),
            folded: before.generation.0,
            seq,
            chain: session.keys().direct_chain(before.chain, seq, random),
        };
        tx.put(Table::System, MARK, &mark.to_bytes())?;
        tx.allow_quick_repair();
        let committed = tx.commit().and_then(Ticket::wait);
        committed.map_err(|error| self.fail(error))?;
        self.start_after(writer, &mark, segments)?;
        let Some(session) = &writer.session else {
            return Ok(());
        };
        let recycled = session.segments.recycle(before.generation.next().next());
        let is_ready = recycled
            .map_err(|error| self.fail(BackendError::storage("preparing the journal", error)))?;
        lock(&self.fold).next_is_ready = is_ready;
        Ok(())
    }

    /// Commits without a session, or begins one with this commit: the journal's mark is part of it.
    fn commit_to_backend(
        self: &Arc<Self>,
        writer: &mut Writer,
        mut tx: Box<dyn Transaction + '_>,
    ) -> Result<()> {
        let begun = self.try_begin(writer);
        if let Some((mark, _)) = &begun {
            tx.put(Table::System, MARK, &mark.to_bytes())?;
            tx.allow_quick_repair();
        }
        let committed = tx.commit().and_then(Ticket::wait);
        committed.map_err(|error| self.fail(error))?;
        let Some((mark, segments)) = begun else {
            return Ok(());
        };
        lock(&self.fold).next_is_ready = true;
        tracing::debug!(path = %self.store.display(), "journal begun");
        self.start_after(writer, &mark, segments)
    }

    /// Makes the files of a session, if commits come fast enough to pay for them. If they cannot be
    /// made, the store is used without a journal.
    fn try_begin(&self, writer: &mut Writer) -> Option<(Mark, Arc<Segments>)> {
        let now = Instant::now();
        writer.commits.push_back(now);
        let needed = self.tuning.burst_commits.max(1);
        while writer.commits.len() > needed {
            writer.commits.pop_front();
        }
        let first = writer.commits.front().copied();
        let is_burst = writer.commits.len() == needed
            && first.is_some_and(|first| now.duration_since(first) <= self.tuning.burst);
        let may_try = writer.retry_at.is_none_or(|retry_at| now >= retry_at);
        if !self.begins_sessions || !is_burst || !may_try {
            return None;
        }
        let begun = (|| {
            let keys = Keys::new(Salt(random().ok()?));
            let mark = Mark {
                is_open: true,
                salt: keys.salt(),
                folded: 0,
                seq: 0,
                chain: keys.first_chain(),
            };
            let segments = Segments::create(&*self.disk, &self.store, &keys).ok()?;
            let published = Position::folded(&mark).published(&segments);
            let joined = segments.join();
            if !matches!(joined, Ok(true)) || segments.publish(&published).is_err() {
                segments.remove(&*self.disk, &self.store);
                return None;
            }
            Some((mark, Arc::new(segments)))
        })();
        if begun.is_none() {
            writer.retry_later();
        }
        begun
    }

    /// Goes on in an empty generation after a commit of the backend with this mark. If the commit
    /// cannot be published, readers would not see it: then the session ends.
    fn start_after(
        self: &Arc<Self>,
        writer: &mut Writer,
        mark: &Mark,
        segments: Arc<Segments>,
    ) -> Result<()> {
        let session = Session {
            active: Arc::default(),
            position: Position::folded(mark),
            segments,
        };
        lock(&self.log).durable = mark.seq;
        let base = self.inner.snapshot().map_err(|error| self.fail(error))?;
        let published = session.position.published(&session.segments);
        lock(&self.current).start(base, mark, &session);
        let done = session.segments.publish(&published);
        writer.commits.clear();
        self.join_budget();
        self.share.end();
        writer.seen = Some(session.mark());
        writer.session = Some(session);
        self.wake();
        match done {
            Ok(()) => Ok(()),
            Err(_) => self.give_up(writer),
        }
    }

    /// Ends a session whose files do not take what is written.
    pub(super) fn give_up(self: &Arc<Self>, writer: &mut Writer) -> Result<()> {
        tracing::warn!(
            path = %self.store.display(),
            "the journal could not be written; the store is used without one for a while"
        );
        self.end_session(writer)?;
        writer.retry_later();
        Ok(())
    }

    /// Ends the session: the backend gets all rows, and then the files are removed.
    pub(super) fn end_session(self: &Arc<Self>, writer: &mut Writer) -> Result<()> {
        let Some(session) = &writer.session else {
            return Ok(());
        };
        let mut tx = self.begin_through(writer)?;
        let mark = Mark {
            is_open: false,
            salt: session.keys().salt(),
            folded: session.position.generation.0,
            seq: session.position.seq,
            chain: session.position.chain,
        };
        tx.put(Table::System, MARK, &mark.to_bytes())?;
        tx.allow_quick_repair();
        let committed = tx.commit().and_then(Ticket::wait);
        committed.map_err(|error| self.fail(error))?;
        // Readers that know the session find nothing published, and look at the mark.
        lock(&self.current).end();
        // If that fails, the files stay for the next writer.
        if session.segments.retire().is_ok() {
            session.segments.remove(&*self.disk, &self.store);
        }
        tracing::debug!(
            path = %self.store.display(),
            transactions = session.position.seq,
            "journal ended"
        );
        self.share.end();
        writer.session = None;
        writer.seen = None;
        lock(&self.fold).next_is_ready = false;
        Ok(())
    }
}

fn random() -> Result<[u8; 16]> {
    let mut bytes = [0; 16];
    let filled = getrandom::fill(&mut bytes);
    filled.map_err(|error| BackendError::storage("choosing a random number", error))?;
    Ok(bytes)
}

/// A handle that has lost what it knew of its session must be opened again.
pub(super) fn lost() -> BackendError {
    BackendError::unusable()
}
