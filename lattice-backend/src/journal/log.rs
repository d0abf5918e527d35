//! The records that are committed and not yet synced: at most one is written, and one waits.
//!
//! What stands behind the last synced record can be told from damage only while one record at a
//! time is unsynced.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, OnceLock, PoisonError};

use crate::backend::{BackendError, FirstFailure, Result, Ticket, TurnHold};
use crate::journal::scan::Position;
use crate::journal::segment::{Segments, take_back};
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
    /// A record could not be written, and is lost with those that were prepared after it. The
    /// writer has not yet read again what is on disk.
    lost: Option<FirstFailure>,
}

/// Why a record is lost. Its number is given to another one, so a number does not tell.
pub(super) type Fate = Arc<OnceLock<FirstFailure>>;

/// A record that is not yet written.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) segments: Arc<Segments>,
    pub(super) offset: u64,
    pub(super) bytes: Vec<u8>,
    /// The place after it.
    pub(super) end: Position,
    pub(super) fate: Fate,
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

    /// An error if a record is lost, and the writer's state with it.
    pub(super) fn check(&self) -> Result<()> {
        match &self.lost {
            Some(failure) => Err(not_committed(failure)),
            None => Ok(()),
        }
    }

    /// Whether a record was lost since this was asked last.
    pub(super) fn take_loss(&mut self) -> bool {
        self.lost.take().is_some()
    }

    /// A record could not be written. Returns those that were prepared after it, which are lost
    /// with it, and hold the turn.
    fn lose(&mut self, record: &Pending, failure: &FirstFailure) -> VecDeque<Pending> {
        let followers = std::mem::take(&mut self.queue);
        for record in followers.iter().chain([record]) {
            record.fate.get_or_init(|| failure.clone());
        }
        self.lost = Some(failure.clone());
        followers
    }
}

fn not_committed(failure: &FirstFailure) -> BackendError {
    BackendError::NotCommitted {
        source: failure.clone(),
    }
}

/// Why a record is not known to be on disk.
enum Failed {
    /// It is not there, and no crash brings it back.
    Unwritten(io::Error),
    /// It may be on the disk or not, so the handle is not used any more.
    Unknown(io::Error),
}

impl Pending {
    /// Writes, syncs and publishes the record.
    fn write(&self) -> Result<(), Failed> {
        let storage = self.segments.storage(self.end.generation.file());
        if let Err(error) = storage.write_at(self.offset, &self.bytes) {
            return Err(match take_back(storage, self.offset, &self.bytes) {
                Ok(true) => Failed::Unwritten(error),
                Ok(false) | Err(_) => Failed::Unknown(error),
            });
        }
        if let Err(error) = storage.sync() {
            // Report the first error, not that of the attempt to take the record back.
            let _ = take_back(storage, self.offset, &self.bytes);
            return Err(Failed::Unknown(error));
        }
        let published = self.segments.publish(&self.end.published(&self.segments));
        published.map_err(Failed::Unknown)
    }
}

/// What a thread makes of a wait if it uses what is on disk, whatever was lost.
pub(super) fn whatever_is_lost(waited: Result<()>) -> Result<()> {
    match waited {
        Err(BackendError::NotCommitted { .. }) => Ok(()),
        waited => waited,
    }
}

/// Waits for a transaction when it is dropped, too: a commit does not depend on its ticket.
struct Waiter {
    core: Arc<Core>,
    seq: u64,
    fate: Fate,
    is_done: bool,
}

impl Waiter {
    fn wait(mut self) -> Result<()> {
        self.is_done = true;
        self.core.sync_to(self.seq, Some(&self.fate))
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if !self.is_done {
            // The next call on the handle reports the failure.
            let _ = self.core.sync_to(self.seq, Some(&self.fate));
        }
    }
}

impl Core {
    /// A ticket that is done when a transaction is on disk.
    pub(super) fn ticket(self: &Arc<Self>, seq: u64, fate: Fate) -> Ticket {
        let waiter = Waiter {
            core: Arc::clone(self),
            seq,
            fate,
            is_done: false,
        };
        Ticket::new(move || waiter.wait())
    }

    /// Takes the records that are not written, after a failure.
    pub(super) fn take_unwritten(&self) -> VecDeque<Pending> {
        std::mem::take(&mut lock(&self.log).queue)
    }

    /// Returns when all committed records are on disk.
    pub(super) fn drain(self: &Arc<Self>) -> Result<()> {
        self.sync_to(u64::MAX, None)
    }

    /// Returns when no committed record waits to be written: the next one can be prepared while the
    /// last one is synced.
    pub(super) fn wait_for_place(self: &Arc<Self>) -> Result<()> {
        let mut log = lock(&self.log);
        while let Some(next) = log.next() {
            self.check_usable()?;
            if log.waiting > 0 {
                let waited = self.logged.wait(log);
                log = waited.unwrap_or_else(PoisonError::into_inner);
            } else {
                // No thread waits for its ticket.
                drop(log);
                self.sync_to(next, None)?;
                log = lock(&self.log);
            }
        }
        Ok(())
    }

    /// Returns when the records up to a number are on disk, which this thread or another one
    /// writes.
    fn sync_to(self: &Arc<Self>, seq: u64, fate: Option<&Fate>) -> Result<()> {
        lock(&self.log).waiting += 1;
        let synced = self.sync_in_turn(seq, fate);
        lock(&self.log).waiting -= 1;
        self.logged.notify_all();
        synced
    }

    fn sync_in_turn(self: &Arc<Self>, seq: u64, fate: Option<&Fate>) -> Result<()> {
        let mut log = lock(&self.log);
        loop {
            if let Some(failure) = fate.and_then(|fate| fate.get()) {
                return Err(not_committed(failure));
            }
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
                return log.check();
            };
            log.is_syncing = true;
            drop(log);
            // The next record can be prepared.
            self.logged.notify_all();
            let written = record.write();
            log = lock(&self.log);
            log.is_syncing = false;
            let failure = |error| BackendError::storage("writing to the journal", error);
            match written {
                Ok(()) => {}
                Err(Failed::Unwritten(error)) => {
                    // A segment that does not take a record is not used on.
                    record.segments.give_up();
                    let followers = log.lose(&record, &FirstFailure::of(&failure(error)));
                    // The rows in memory include those that are lost.
                    lock(&self.current).distrust();
                    drop(log);
                    drop((record, followers));
                    self.logged.notify_all();
                    self.wake();
                    log = lock(&self.log);
                    continue;
                }
                Err(Failed::Unknown(error)) => {
                    let error = self.fail(failure(error));
                    drop(log);
                    drop((record, self.take_unwritten()));
                    return Err(error);
                }
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
