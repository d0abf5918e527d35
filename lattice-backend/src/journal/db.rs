//! The store as its users see it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::backend::{
    Access, BackendError, JournalInfo, ReadTx, Result, StateDb, Transaction, TurnHold, Waiting,
};
use crate::journal::log::whatever_is_lost;
use crate::journal::scan::unreadable;
use crate::journal::shared::{Core, Writer, lock};
use crate::progress::ProgressSink;

/// The longest wait of a compaction for other handles, and the interval between attempts.
const MAX_PATIENCE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(50);

pub(super) struct JournaledDb(pub(super) Arc<Core>);

impl fmt::Debug for JournaledDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JournaledDb")
            .field("inner", &self.0.inner)
            .finish_non_exhaustive()
    }
}

impl Core {
    /// Closes the store. The last handle of a session ends it, unless the handle has failed: the
    /// journal then stays as a crash would leave it.
    fn close(self: &Arc<Self>) -> Result<()> {
        // A thread that waits for the turn has `writing`.
        self.is_closing.store(true, Ordering::Release);
        self.inner.set_waiting(Waiting::No);
        let mut writer = lock(&self.writing);
        self.inner.set_waiting(Waiting::ForTurn);
        if self.is_closed.load(Ordering::Acquire) {
            return Ok(());
        }
        let left = match writer.session.is_some() && self.failed.get().is_none() {
            true => self.leave(&mut writer),
            false => Ok(()),
        };
        self.is_closed.store(true, Ordering::Release);
        // After a failure, too: the next writer must be the only one that changes the segments.
        self.wait_for_worker();
        self.leave_budget();
        writer.session = None;
        lock(&self.current).end();
        drop(writer);
        left.and(self.inner.close())
    }

    fn leave(self: &Arc<Self>, writer: &mut Writer) -> Result<()> {
        whatever_is_lost(self.drain())?;
        self.wait_for_fold()?;
        let hold = match self.inner.hold_turn(Waiting::ForTurn) {
            // Another handle writes, and knows the session.
            Err(BackendError::InUse(_)) => return Ok(()),
            hold => hold?,
        };
        self.enter(writer, &hold)?;
        let is_last = match &writer.session {
            Some(session) => !session.segments.has_other_members().map_err(unreadable)?,
            None => false,
        };
        if is_last {
            return self.end_session(writer);
        }
        // During the turn: the handle that is closed next must find itself the last one, even if
        // the worker has not yet dropped what it folded.
        lock(&self.current).end();
        match writer.session.take() {
            Some(session) => session.segments.leave().map_err(unreadable),
            None => Ok(()),
        }
    }
}

impl StateDb for JournaledDb {
    fn access(&self) -> Access {
        self.0.inner.access()
    }

    fn is_replaced(&self) -> Result<bool> {
        self.0.inner.is_replaced()
    }

    fn snapshot(&self) -> Result<Arc<dyn ReadTx + Send + Sync>> {
        if self.0.is_closed.load(Ordering::Acquire) {
            return Err(BackendError::Closed);
        }
        Ok(self.0.view()?)
    }

    fn journal(&self) -> Result<Option<JournalInfo>> {
        self.0.journal()
    }

    fn begin_write(&self) -> Result<Box<dyn Transaction + '_>> {
        Ok(Box::new(self.0.begin()?))
    }

    fn hold_turn(&self, waiting: Waiting) -> Result<TurnHold> {
        self.0.inner.hold_turn(waiting)
    }

    fn turn(&self) -> u64 {
        self.0.inner.turn()
    }

    fn set_waiting(&self, waiting: Waiting) {
        self.0.inner.set_waiting(waiting);
    }

    fn compact(&self, progress: &ProgressSink) -> Result<()> {
        let mut writer = lock(&self.0.writing);
        self.0.check_usable()?;
        let hold = self.0.inner.hold_turn(Waiting::ForTurn)?;
        self.0.enter(&mut writer, &hold)?;
        self.0.end_session(&mut writer)?;
        lock(&self.0.current).end();
        // Other handles give up the snapshots that they keep when they have not been used for a
        // while.
        let began = Instant::now();
        let patience = MAX_PATIENCE.min(self.0.tuning.idle.saturating_mul(2));
        loop {
            match self.0.inner.compact(progress) {
                Err(BackendError::SnapshotsLive) if began.elapsed() < patience => sleep(PAUSE),
                compacted => return compacted,
            }
        }
    }

    fn close(&self) -> Result<()> {
        self.0.close()
    }
}

impl Drop for JournaledDb {
    fn drop(&mut self) {
        // A caller who needs the error closes the store.
        let _ = self.0.close();
    }
}
