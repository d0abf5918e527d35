//! The last commit of a file, as its header names it.

use crate::backend::CommitMark;
use crate::redb::adapter::PRIMARY_UNFLUSHED;
use crate::redb::page::{FLAGS, HEADER_BYTES, PRIMARY, SLOT_BYTES, SLOTS};
use crate::storage::Storage;

/// Identifies a commit of a file: redb's slot of it, with its number and checksum.
#[derive(PartialEq, Eq)]
pub(super) struct Mark([u8; SLOT_BYTES]);

impl Mark {
    /// The last commit; `None` if it is just being made, or the file has none.
    pub(super) fn read(storage: &dyn Storage) -> Option<Self> {
        Self::of(&header(storage)?)
    }

    pub(super) fn to_public(&self) -> CommitMark {
        CommitMark::new(&self.0)
    }

    pub(super) fn of(header: &[u8; HEADER_BYTES]) -> Option<Self> {
        // Snapshots do not show such a commit yet.
        if header[FLAGS] & PRIMARY_UNFLUSHED != 0 {
            return None;
        }
        let slot = SLOTS[usize::from(header[FLAGS] & PRIMARY)];
        let slot = header.get(slot..slot + SLOT_BYTES)?;
        Some(Self(slot.try_into().ok()?))
    }
}

/// The header of a file; `None` if it cannot be read.
pub(super) fn header(storage: &dyn Storage) -> Option<[u8; HEADER_BYTES]> {
    let mut header = [0; HEADER_BYTES];
    storage.read_at(0, &mut header).ok()?;
    Some(header)
}
