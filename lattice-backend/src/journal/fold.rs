//! Work in the background, by one thread for all stores of a process: folds, and what an idle
//! handle gives up.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, TryLockError, Weak};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use crate::backend::{BackendError, Result, Table, Ticket, TurnHold, Waiting};
use crate::journal::layout::{MARK, Mark, RECORDS};
use crate::journal::memtable::Memtable;
use crate::journal::scan::Position;
use crate::journal::segment::Segments;
use crate::journal::shared::{Core, Work, Writer, lock};
use crate::journal::tx::write_rows;

/// How often a thread that waits for a fold looks whether it has failed.
const LOOK: Duration = Duration::from_secs(1);
/// How long a snapshot is kept without a session.
const KEPT: Duration = Duration::from_millis(20);
/// How long a segment is not recycled because a reader asks for it.
const MAX_READING: Duration = Duration::from_secs(1);

/// The stores that have something to do, by the address of their core: the weak pointer keeps it
/// from being used again.
#[derive(Default)]
struct Tasks {
    due: BTreeMap<usize, (Weak<Core>, Instant)>,
    has_thread: bool,
    /// The thread, once it runs.
    thread: Option<ThreadId>,
}

impl Tasks {
    /// Whether a thread other than this one folds.
    fn has_other_thread(&self) -> bool {
        self.has_thread && self.thread != Some(std::thread::current().id())
    }
}

struct Worker {
    tasks: Mutex<Tasks>,
    changed: Condvar,
}

fn worker() -> &'static Worker {
    static WORKER: OnceLock<Worker> = OnceLock::new();
    WORKER.get_or_init(|| Worker {
        tasks: Mutex::default(),
        changed: Condvar::new(),
    })
}

impl Worker {
    fn run(&self) {
        let mut tasks = lock(&self.tasks);
        tasks.thread = Some(std::thread::current().id());
        loop {
            let next = tasks.due.iter().min_by_key(|(_, (_, due))| *due);
            let Some((place, due)) = next.map(|(place, (_, due))| (*place, *due)) else {
                (tasks.has_thread, tasks.thread) = (false, None);
                return;
            };
            let wait = due.saturating_duration_since(Instant::now());
            if !wait.is_zero() {
                let waited = self.changed.wait_timeout(tasks, wait);
                tasks = waited.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            let core = tasks
                .due
                .remove(&place)
                .and_then(|(core, _)| core.upgrade());
            drop(tasks);
            if let Some(core) = core {
                let work = || tracing::dispatcher::with_default(&core.events, || core.work());
                match catch_unwind(AssertUnwindSafe(work)) {
                    Ok(Some(again)) => core.wake_at(Instant::now() + again),
                    Ok(None) => {}
                    Err(_) => core.abandon(),
                }
            }
            tasks = lock(&self.tasks);
        }
    }
}

impl Core {
    /// Lets the worker look at this store now.
    pub(super) fn wake(self: &Arc<Self>) {
        self.wake_at(Instant::now());
    }

    /// Lets the worker give up a snapshot that is kept, after a while.
    pub(super) fn forget_later(self: &Arc<Self>, has_session: bool) {
        let after = match has_session {
            true => self.tuning.idle,
            false => KEPT,
        };
        self.wake_at(Instant::now() + after);
    }

    fn wake_at(self: &Arc<Self>, due: Instant) {
        let worker = worker();
        let mut tasks = lock(&worker.tasks);
        let task = tasks
            .due
            .entry(Arc::as_ptr(self).addr())
            .or_insert_with(|| (Arc::downgrade(self), due));
        task.1 = task.1.min(due);
        if !tasks.has_thread {
            // Without a thread, closing the store folds.
            tasks.has_thread = crate::cores::detach(|| self::worker().run());
        }
        let is_first = tasks.due.values().all(|(_, other)| due <= *other);
        drop(tasks);
        if is_first {
            worker.changed.notify_all();
        }
    }

    /// After a panic of the worker, makes the handle unusable, and lets those go who wait for it.
    fn abandon(&self) {
        let panicked = "the thread that folds the journal panicked";
        self.fail(BackendError::storage("folding the journal", panicked));
        let job = lock(&self.fold).job.take();
        self.folded.notify_all();
        drop(job);
    }

    /// Does what is due. Returns when to look again.
    fn work(self: &Arc<Self>) -> Option<Duration> {
        self.run_job();
        if self.is_closed.load(Ordering::Acquire) || self.failed.get().is_some() {
            return None;
        }
        match self.share.is_due() {
            true => self.fold_early(),
            false => self.end_idle_session(),
        }
    }

    /// Folds the generation of a store that does not write now, because all stores together take
    /// too much memory.
    fn fold_early(self: &Arc<Self>) -> Option<Duration> {
        let mut writer = match self.writing.try_lock() {
            Ok(writer) => writer,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // Its commit ends the generation.
            Err(TryLockError::WouldBlock) => return Some(KEPT),
        };
        if writer.session.is_some() {
            // The worker serves all stores: it does not wait for another process.
            let hold = match self.inner.hold_turn(Waiting::No) {
                Err(BackendError::InUse(_)) => return Some(self.tuning.idle),
                // The next write reports it.
                hold => hold.ok()?,
            };
            let entered = self.enter(&mut writer, &hold);
            let changed = entered.and_then(|()| self.change_generation(&mut writer, &hold));
            drop(writer);
            drop(hold);
            changed.ok()?;
        }
        self.run_job();
        Some(self.tuning.idle)
    }

    /// Folds the frozen generation, if there is one, or grows a file.
    fn run_job(&self) {
        let Some(job) = lock(&self.fold).job.clone() else {
            return;
        };
        let done = match &job.work {
            Work::Fold { rows, end } => self.fold_generation(&job.segments, rows, end),
            Work::Grow { file } => Self::grow_ahead(&job.segments, *file),
        };
        if let Err(error) = done {
            self.fail(error);
            // They are not written any more, and hold the turn.
            drop(self.take_unwritten());
        }
        self.share.set_frozen(0);
        let mut fold = lock(&self.fold);
        let ended = fold.job.take();
        fold.next_is_ready = self.failed.get().is_none() && !job.segments.is_given_up();
        drop(fold);
        self.folded.notify_all();
        // Another handle can have the turn now.
        drop((ended, job));
    }

    /// If that fails, commits grow the file, or go to the backend.
    fn grow_ahead(segments: &Segments, file: usize) -> Result<()> {
        if segments.grow_like_other(file).is_err() {
            return Ok(());
        }
        let synced = segments.storage(file).sync();
        synced.map_err(|error| BackendError::storage("growing a segment of the journal", error))
    }

    fn fold_generation(&self, segments: &Segments, rows: &Memtable, end: &Position) -> Result<()> {
        self.check_failed()?;
        let began = Instant::now();
        let mut tx = self.inner.begin_write()?;
        write_rows(&mut *tx, rows, end.seq)?;
        let mark = Mark {
            is_open: true,
            salt: segments.keys().salt(),
            folded: end.generation.0,
            seq: end.seq,
            chain: end.chain,
        };
        tx.put(Table::System, MARK, &mark.to_bytes())?;
        tx.allow_quick_repair();
        tx.commit().and_then(Ticket::wait)?;
        let base = self.inner.snapshot()?;
        lock(&self.current).folded(base);
        tracing::debug!(
            path = %self.store.display(),
            generation = end.generation.0,
            bytes = end.offset.saturating_sub(RECORDS),
            milliseconds = began.elapsed().as_millis(),
            "journal folded"
        );
        let began = Instant::now();
        let unwritable = |error| BackendError::storage("recycling a segment of the journal", error);
        while segments.is_being_read().map_err(unwritable)? && began.elapsed() < MAX_READING {
            std::thread::sleep(Duration::from_millis(1));
        }
        let next = end.generation.next().next();
        // If that fails, commits grow the file, or go to the backend.
        let _ = segments.grow_like_other(next.file());
        segments.recycle(next).map(drop).map_err(unwritable)
    }

    /// Waits for the fold that is running. Without a worker, or as the worker, this thread folds.
    pub(super) fn wait_for_fold(&self) -> Result<()> {
        self.wait_for_worker();
        self.check_failed()
    }

    /// Waits until no fold is running or about to run. After a failure, none begins.
    pub(super) fn wait_for_worker(&self) {
        let mut fold = lock(&self.fold);
        while fold.job.is_some() {
            if !lock(&worker().tasks).has_other_thread() {
                drop(fold);
                self.run_job();
                fold = lock(&self.fold);
                continue;
            }
            let waited = self.folded.wait_timeout(fold, LOOK);
            fold = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn check_failed(&self) -> Result<()> {
        match self.failed.get() {
            Some(first) => Err(BackendError::Unusable {
                first: Some(first.clone()),
            }),
            None => Ok(()),
        }
    }

    /// Ends the session if no handle has written for a while. A reader forgets what it knows: a
    /// snapshot that is kept keeps pages of the backend from being used again.
    fn end_idle_session(self: &Arc<Self>) -> Option<Duration> {
        let idle = self.tuning.idle;
        let mut writer = match self.writing.try_lock() {
            Ok(writer) => writer,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Some(idle / 4),
        };
        let Some(session) = &writer.session else {
            // The lock keeps a writer from beginning a turn with what is forgotten here.
            return self.forget_idle();
        };
        if !session.segments.is_given_up() {
            let since = writer.last_commit.map_or(idle, |last| last.elapsed());
            if since < idle {
                return Some(idle - since);
            }
            let published = session.segments.published().ok().flatten();
            if published != Some(session.position.published(&session.segments)) {
                // Another process writes. It ends the session, unless it is killed.
                writer.last_commit = Some(Instant::now());
                return Some(idle);
            }
        }
        // The worker serves all stores: it does not wait for another process.
        let hold = match self.inner.hold_turn(Waiting::No) {
            Err(BackendError::InUse(_)) => return Some(idle),
            // The next write reports it.
            hold => hold.ok()?,
        };
        let ended = self.end_unless_used(&mut writer, &hold);
        let again = writer.session.is_some().then_some(idle);
        drop(writer);
        drop(hold);
        // A session that could not be ended stays until the next write, which reports why.
        ended.ok().and(again)
    }

    fn end_unless_used(self: &Arc<Self>, writer: &mut Writer, hold: &TurnHold) -> Result<()> {
        let seen = writer.seen;
        self.enter(writer, hold)?;
        match writer.seen == seen && lock(&self.fold).job.is_none() {
            true => self.end_session(writer),
            false => Ok(()),
        }
    }

    fn forget_idle(self: &Arc<Self>) -> Option<Duration> {
        let mut current = lock(&self.current);
        // Without a session it is kept for a moment only, however often it is used: it prevents a
        // compaction.
        if current.known.is_none() {
            current.last = None;
            return None;
        }
        if std::mem::take(&mut current.is_used) {
            return Some(self.tuning.idle);
        }
        current.end();
        None
    }
}
