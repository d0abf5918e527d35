//! Files that are removed unless they are finished.

use std::path::Path;

use crate::storage::Disk;

/// A newly created file. Dropping this value removes the file unless it is marked as kept, also
/// when a panic drops it.
pub(super) struct NewFile<'a> {
    disk: &'a dyn Disk,
    path: &'a Path,
    is_kept: bool,
}

impl<'a> NewFile<'a> {
    pub(super) fn new(disk: &'a dyn Disk, path: &'a Path) -> Self {
        Self {
            disk,
            path,
            is_kept: false,
        }
    }

    pub(super) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for NewFile<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            // Report the first error, not that of the removal.
            let _ = self.disk.remove(self.path);
        }
    }
}
