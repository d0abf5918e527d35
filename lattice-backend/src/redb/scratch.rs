//! A storage that need not survive a crash.

use std::io;

use crate::storage::{LockKind, LockRange, Storage};

/// Forwards I/O. Syncs and locks, which only matter after a crash or to other processes, do
/// nothing.
#[derive(Debug)]
pub(super) struct Unsynced(pub(super) Box<dyn Storage>);

impl Storage for Unsynced {
    fn len_bytes(&self) -> io::Result<u64> {
        self.0.len_bytes()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
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
