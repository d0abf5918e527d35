//! The records that are committed and not yet synced: at most one is written, and one waits.
//!
//! What stands behind the last synced record can be told from damage only while one record at a
//! time is unsynced.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, PoisonError};

use crate::backend::{BackendError, Result, Ticket, TurnHold};
use crate::journal::scan::Position;
use crate::journal::segment::Segments;
use crate::journal::shared::{Core, lock};

#[derive(Debug, Default)]
pub(super) struct Log {
    queue: VecDeque<Pending>,
    /// A thread writes and syncs a record.
    is_syncing: bool,
    /// The threads that wait for a record, of which one writes the next.
    waiting: usize,
    /// The number of the last transaction that is on disk.
    pub(super) durable: u64,
}

/// A record that is not yet written.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) segments: Arc<Segments>,
    pub(super) offset: u64,
    pub(super) bytes: Vec<u8>,
    /// The place after it.
    pub(super) end: Position,
    /// The turn is kept until it is synced.
    pub(super) _hold: TurnHold,
}

impl Log {
    /// The number of the transaction that is written next.
    pub(super) fn next(&self) -> Option<u64> {
        self.queue.front().map(|record| record.end.seq)
    }

    pub(super) fn push(&mut self, record: Pending) {
        self.queue.push_back(record);
    }
}

impl Pending {
    /// Writes and syncs the record. If that fails, a later start of the system must not find it:
    /// whether it is on disk is unknown, and the handle is not used any more.
    fn write(&self) -> io::Result<()> {
        let storage = self.segments.storage(self.end.generation.file());
        let synced = storage
            .write_at(self.offset, &self.bytes)
            .and_then(|()| storage.sync());
        if synced.is_err() {
            // Report the first error, not that of the attempt to take the record back.
            let zeros = storage.write_at(self.offset, &vec![0; self.bytes.len()]);
            let _ = zeros.and_then(|()| storage.sync());
        }
        synced?;
        self.segments.publish(&self.end.published(&self.segments))
    }
}

/// Waits for a transaction when it is dropped, too: a commit does not depend on its ticket.
struct Waiter {
    core: Arc<Core>,
    seq: u64,
    is_done: bool,
}

impl Waiter {
    fn wait(mut self) -> Result<()> {
        self.is_done = true;
        self.core.sync_to(self.seq)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if !self.is_done {
            // The next call on the handle reports the failure.
            let _ = self.core.sync_to(self.seq);
        }
    }
}

impl Core {
    /// A ticket that is done when a transaction is on disk.
    pub(super) fn ticket(self: &Arc<Self>, seq: u64) -> Ticket {
        let waiter = Waiter {
            core: Arc::clone(self),
            seq,
            is_done: false,
        };
        Ticket::new(move || waiter.wait())
    }

    /// Takes the records that are not written, after a failure.
    pub(super) fn take_unwritten(&self) -> VecDeque<Pending> {
        std::mem::take(&mut lock(&self.log).queue)
    }

    /// Returns when all committed records are on disk.
    pub(super) fn drain(&self) -> Result<()> {
        self.sync_to(u64::MAX)
    }

    /// Returns when no committed record waits to be written: the next one can be prepared while the
    /// last one is synced.
    pub(super) fn wait_for_place(&self) -> Result<()> {
        let mut log = lock(&self.log);
        while let Some(next) = log.next() {
            self.check_usable()?;
            if log.waiting > 0 {
                let waited = self.logged.wait(log);
                log = waited.unwrap_or_else(PoisonError::into_inner);
            } else {
                // No thread waits for its ticket.
                drop(log);
                self.sync_to(next)?;
                log = lock(&self.log);
            }
        }
        Ok(())
    }

    /// Returns when the records up to a number are on disk, which this thread or another one
    /// writes.
    pub(super) fn sync_to(&self, seq: u64) -> Result<()> {
        lock(&self.log).waiting += 1;
        let synced = self.sync_in_turn(seq);
        lock(&self.log).waiting -= 1;
        self.logged.notify_all();
        synced
    }

    fn sync_in_turn(&self, seq: u64) -> Result<()> {
        let mut log = lock(&self.log);
        loop {
            if log.durable >= seq {
                return Ok(());
            }
            if let Some(first) = self.failed.get() {
                let unwritten = std::mem::take(&mut log.queue);
                drop(log);
                // They hold the turn.
                drop(unwritten);
                return Err(BackendError::Unusable {
                    first: Some(first.clone()),
                });
            }
            if log.is_syncing {
                let waited = self.logged.wait(log);
                log = waited.unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let Some(record) = log.queue.pop_front() else {
                return Ok(());
            };
            log.is_syncing = true;
            drop(log);
            // The next record can be prepared.
            self.logged.notify_all();
            let written = record.write();
            log = lock(&self.log);
            log.is_syncing = false;
            if let Err(error) = written {
                let error = self.fail(BackendError::storage("writing to the journal", error));
                drop(log);
                drop((record, self.take_unwritten()));
                return Err(error);
            }
            log.durable = record.end.seq;
            lock(&self.current).advance(&record.end, &record.segments);
            self.logged.notify_all();
            drop(log);
            // Another handle can have the turn now.
            drop(record);
            log = lock(&self.log);
        }
    }
}
