//! A turn that a handle has.

use std::time::{Duration, Instant};

use redb::Database;

use crate::redb::turn::Turn;

/// The shortest turn of a handle that still writes.
pub(super) const TURN: Duration = Duration::from_millis(20);

/// A turn of this handle.
pub(super) struct Held {
    pub(super) database: Database,
    /// `None` if this user may not write to the lock file; see [`RedbBackend`](super::RedbBackend).
    pub(super) turn: Option<Turn>,
    /// Another process may read the name of a long transaction.
    pub(super) is_named: bool,
    pub(super) began: Instant,
    pub(super) last_use: Instant,
}

impl Held {
    /// Whether another writer waits, and the turn has been long enough.
    pub(super) fn is_others(&self) -> bool {
        self.began.elapsed() >= TURN && self.is_awaited()
    }

    /// Others report the name; the turn is the same without it.
    pub(super) fn name(&self, work: Option<&str>) {
        if let Some(turn) = &self.turn {
            let _ = turn.name(work);
        }
    }

    /// Whether another writer is in the queue, or may be.
    pub(super) fn is_awaited(&self) -> bool {
        self.turn.as_ref().is_none_or(Turn::is_awaited)
    }
}
