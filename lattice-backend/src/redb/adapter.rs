//! Adapts our `Storage` to redb's `StorageBackend`.

use std::io;
use std::ops::Bound;
use std::sync::Arc;

use redb::{BackendError, StorageBackend};

use crate::redb::page::PageGuard;
use crate::storage::{LockKind, LockRange, Storage};

/// A live writer locks this byte as soon as its file is consistent (redb's design document, "lock
/// bytes").
pub(super) const CONSISTENT_BYTE: u64 = (1 << 62) + 4;

/// The offset of the header's flags, and the flag `primary_unflushed`: the last phase of the last
/// commit may not be on disk.
pub(super) const FLAGS_OFFSET: u64 = 9;
pub(super) const PRIMARY_UNFLUSHED: u8 = 8;

/// The lock state that redb sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LockView {
    /// The actual locks.
    Real,
    /// Pretends that a live writer vouches for the file. This lets a reader open a file whose
    /// writer was killed: the header's flag then means "a writer is live", and redb reads the last
    /// commit, made in two phases, without a repair. This holds even if the header has the flag
    /// that this commit may not be on disk.
    Vouched,
}

#[derive(Debug)]
pub(super) struct Adapter {
    storage: Arc<dyn Storage>,
    view: LockView,
    guard: PageGuard,
}

impl Adapter {
    pub(super) fn new(storage: Box<dyn Storage>, view: LockView) -> Self {
        Self {
            storage: storage.into(),
            view,
            guard: PageGuard::default(),
        }
    }
}

impl Adapter {
    /// The storage, for reads beside redb's. redb closes it.
    pub(super) fn storage(&self) -> Arc<dyn Storage> {
        Arc::clone(&self.storage)
    }
}

fn lock_error(error: io::Error) -> BackendError {
    if error.kind() == io::ErrorKind::Unsupported {
        BackendError::Unsupported
    } else {
        BackendError::Io(error)
    }
}

/// Clears the flag of a commit that may not be on disk in bytes read from the header.
fn clear_unflushed(offset: u64, out: &mut [u8]) {
    let place = FLAGS_OFFSET.checked_sub(offset).map(usize::try_from);
    if let Some(Ok(place)) = place
        && let Some(flags) = out.get_mut(place)
    {
        *flags &= !PRIMARY_UNFLUSHED;
    }
}

fn touches(range: LockRange, byte: u64) -> bool {
    let from = match range.0 {
        Bound::Included(start) => start <= byte,
        Bound::Excluded(start) => start < byte,
        Bound::Unbounded => true,
    };
    let to = match range.1 {
        Bound::Included(end) => byte <= end,
        Bound::Excluded(end) => byte < end,
        Bound::Unbounded => true,
    };
    from && to
}

impl StorageBackend for Adapter {
    fn len(&self) -> io::Result<u64> {
        self.storage.len_bytes()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.storage.read_at(offset, out)?;
        if self.view == LockView::Vouched {
            clear_unflushed(offset, out);
        }
        self.guard.check(&*self.storage, offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.storage.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.storage.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.guard.note_write(offset, data);
        self.storage.write_at(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.storage.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.storage
            .try_lock((start, end), LockKind::Exclusive)
            .map_err(lock_error)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.storage
            .try_lock((start, end), LockKind::Shared)
            .map_err(lock_error)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage
            .lock((start, end), LockKind::Exclusive)
            .map_err(lock_error)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage
            .lock((start, end), LockKind::Shared)
            .map_err(lock_error)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage.unlock((start, end)).map_err(lock_error)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        if self.view == LockView::Vouched && touches((start, end), CONSISTENT_BYTE) {
            return Ok(true);
        }
        self.storage.is_locked((start, end)).map_err(lock_error)
    }
}
