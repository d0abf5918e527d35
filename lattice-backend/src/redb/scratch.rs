//! A storage that need not survive a crash.

use std::io;

use crate::storage::{LockKind, LockRange, Storage, StorageOver};

/// Forwards I/O. Syncs and locks, which only matter after a crash or to other processes, do
/// nothing.
#[derive(Debug)]
pub(super) struct Unsynced(pub(super) Box<dyn Storage>);

impl StorageOver for Unsynced {
    fn under(&self) -> &dyn Storage {
        &*self.0
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn try_lock(&self, _: LockRange, _: LockKind) -> io::Result<bool> {
        Ok(true)
    }

    fn lock(&self, _: LockRange, _: LockKind) -> io::Result<()> {
        Ok(())
    }

    fn unlock(&self, _: LockRange) -> io::Result<()> {
        Ok(())
    }

    fn is_locked(&self, _: LockRange) -> io::Result<bool> {
        Ok(false)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }
}
