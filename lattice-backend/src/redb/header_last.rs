//! A storage whose file has no header until the rest of it is on the disk.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::storage::{Storage, StorageOver};

/// redb keeps its header in the first page.
const PAGE: usize = 4096;

/// The first page of a file that is being written. After a power loss, any of the writes since the
/// last sync can be missing; a header beside them would make such a file look like a whole store.
#[derive(Debug, Clone)]
pub(super) struct Header(Arc<Mutex<[u8; PAGE]>>);

impl Default for Header {
    fn default() -> Self {
        Self(Arc::new(Mutex::new([0; PAGE])))
    }
}

impl Header {
    fn page(&self) -> MutexGuard<'_, [u8; PAGE]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Syncs the file, and then writes the header.
    pub(super) fn finish(&self, storage: &dyn Storage) -> io::Result<()> {
        storage.sync()?;
        storage.write_at(0, &*self.page())?;
        storage.sync()
    }
}

/// Forwards I/O, except that of the first page, which it keeps in memory.
#[derive(Debug)]
pub(super) struct HeaderLast {
    pub(super) storage: Box<dyn Storage>,
    pub(super) header: Header,
}

/// How many of the bytes from `offset` on are in the first page, and where.
fn in_page(offset: u64, len: usize) -> (usize, usize) {
    match usize::try_from(offset) {
        Ok(offset) if offset < PAGE => (offset, len.min(PAGE - offset)),
        _ => (0, 0),
    }
}

fn after(offset: u64, head: usize) -> io::Result<u64> {
    let head = u64::try_from(head).map_err(io::Error::other)?;
    Ok(offset.saturating_add(head))
}

impl StorageOver for HeaderLast {
    fn under(&self) -> &dyn Storage {
        &*self.storage
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        // It fails at the end of the file.
        self.storage.read_at(offset, buffer)?;
        let (at, len) = in_page(offset, buffer.len());
        buffer[..len].copy_from_slice(&self.header.page()[at..at + len]);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let (at, len) = in_page(offset, bytes.len());
        self.header.page()[at..at + len].copy_from_slice(&bytes[..len]);
        let next = after(offset, len)?;
        match &bytes[len..] {
            // The file is as long as if they were written.
            [] if self.storage.len_bytes()? < next => self.storage.set_len(next),
            [] => Ok(()),
            rest => self.storage.write_at(next, rest),
        }
    }
}
