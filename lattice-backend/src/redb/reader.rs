//! Opens files for reading, however their last writer ended.

use std::io;
use std::ops::Bound;

use crate::backend::file_error::FileFault;
use crate::backend::{Integrity, OpenOptions, Sharing};
use crate::redb::adapter::{Adapter, CONSISTENT_BYTE, FLAGS_OFFSET, LockView, PRIMARY_UNFLUSHED};
use crate::redb::db::Opened;
use crate::redb::error::{check_magic, file_error, open_error};
use crate::redb::overlay::Overlay;
use crate::redb::turn::Patience;
use crate::redb::{MIN_WAIT, builder};
use crate::storage::{LockKind, LockRange, Storage};

/// A writer locks this byte before it does anything else (redb's design document).
const WRITER_MODE_BYTE: u64 = (1 << 62) + 1;
pub(super) const WRITER_MODE: LockRange = (
    Bound::Included(WRITER_MODE_BYTE),
    Bound::Included(WRITER_MODE_BYTE),
);
const CONSISTENT: LockRange = (
    Bound::Included(CONSISTENT_BYTE),
    Bound::Included(CONSISTENT_BYTE),
);
/// The flag of a file that is open for writing, or was not closed.
const RECOVERY_REQUIRED: u8 = 2;
/// The flag that the last commit was made in two phases.
pub(super) const TWO_PHASE_COMMIT: u8 = 4;

/// Opens a file for reading, without writing to it. Each call of `open_file` opens the file again.
pub(super) fn open(
    open_file: &dyn Fn() -> io::Result<Box<dyn Storage>>,
    options: &OpenOptions,
) -> Result<Opened, FileFault> {
    let open_file = || open_file().map_err(open_error);
    let mut patience = Patience::new(options.wait.max(MIN_WAIT));
    loop {
        let storage = open_file()?;
        // Skip the first attempt to open such a file with redb.
        if is_crashed(&*storage)? && keeps_writers_out(&*storage).map_err(open_error)? {
            return crashed(open_file()?, storage, options);
        }
        let adapter = Adapter::new(storage, LockView::Real);
        let header = adapter.storage();
        match shared(options).open_read_only_with_backend(adapter) {
            Ok(database) => {
                return Ok(Opened::Reader {
                    database,
                    header,
                    guard: None,
                });
            }
            Err(redb::DatabaseError::RepairAborted) => {}
            Err(error) => return Err(file_error(error)),
        }
        // No writer vouches for the file: the last one was killed, or one is just opening it.
        let guard = open_file()?;
        if keeps_writers_out(&*guard).map_err(open_error)? {
            return crashed(open_file()?, guard, options);
        }
        if !patience.pause_long() {
            return Err(FileFault::InUse(patience.busy()));
        }
    }
}

/// Whether a file needs a repair and no live writer vouches for it. Most such files had a writer
/// that was killed; a few have one that is just opening or closing them.
pub(super) fn is_crashed(storage: &dyn Storage) -> Result<bool, FileFault> {
    let flags = check_magic(storage)?;
    Ok(needs_repair(flags) && !storage.is_locked(CONSISTENT).map_err(open_error)?)
}

/// Whether a file with these flags is open for writing, or was not closed.
pub(super) const fn needs_repair(flags: u8) -> bool {
    flags & RECOVERY_REQUIRED != 0
}

/// Locks a file so that no writer can repair it. Returns whether the lock was taken: then no writer
/// has the file open.
pub(super) fn keeps_writers_out(guard: &dyn Storage) -> io::Result<bool> {
    guard.try_lock(WRITER_MODE, LockKind::Shared)
}

/// Opens a file whose writer was killed. `guard` locks out writers, which would repair the file.
fn crashed(
    storage: Box<dyn Storage>,
    guard: Box<dyn Storage>,
    options: &OpenOptions,
) -> Result<Opened, FileFault> {
    tracing::info!("the writer of the file ended without closing it: reading its last commit");
    let mut flags = [0];
    storage
        .read_at(FLAGS_OFFSET, &mut flags)
        .map_err(open_error)?;
    if flags[0] & TWO_PHASE_COMMIT != 0 {
        if flags[0] & PRIMARY_UNFLUSHED != 0 {
            flush(&*storage).map_err(open_error)?;
        }
        let adapter = Adapter::new(storage, LockView::Vouched);
        let header = adapter.storage();
        let database = shared(options)
            .open_read_only_with_backend(adapter)
            .map_err(file_error)?;
        return Ok(Opened::Reader {
            database,
            header,
            guard: Some(guard),
        });
    }
    // Written in exclusive mode: only redb's repair finds the last intact commit.
    let overlay = Overlay::new(storage).map_err(open_error)?;
    let exclusive = OpenOptions {
        sharing: Sharing::Exclusive,
        ..*options
    };
    let database = builder(&exclusive)
        .create_with_backend(Adapter::new(Box::new(overlay), LockView::Real))
        .map_err(file_error)?;
    Ok(Opened::Repaired {
        database,
        _guard: guard,
    })
}

/// Syncs a file whose header has the flag that its last commit may not be on disk. The adapter
/// hides the flag. redb clears it after the commit's last sync and does not sync the cleared flag,
/// so after a power loss the flag can stand beside acknowledged commits. With the flag, readers
/// would get the previous commit, and a backup made of that would fork its author at the next
/// write. If only the process was killed, the commit may not be on disk yet, and readers must not
/// see what a power loss could still undo.
fn flush(storage: &dyn Storage) -> io::Result<()> {
    match storage.sync() {
        // Some systems allow only writers to sync.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        synced => synced,
    }
}

/// Lets redb verify all its checksums. It works on an overlay in memory, because it may repair, and
/// it does not open a file that has a writer. Each call of `open_file` opens the file again.
pub(super) fn check_integrity(
    open_file: &dyn Fn() -> io::Result<Box<dyn Storage>>,
) -> Result<Integrity, FileFault> {
    let storage = open_file().map_err(open_error)?;
    let guard = open_file().map_err(open_error)?;
    check_magic(&*storage)?;
    // A writer that opened the file during the check would change it.
    if !keeps_writers_out(&*guard).map_err(open_error)? {
        return Ok(Integrity::InUse);
    }
    let overlay = Overlay::new(storage).map_err(open_error)?;
    let exclusive = OpenOptions {
        sharing: Sharing::Exclusive,
        ..OpenOptions::read_write()
    };
    let mut database = builder(&exclusive)
        .create_with_backend(Adapter::new(Box::new(overlay), LockView::Real))
        .map_err(file_error)?;
    Ok(if database.check_integrity().map_err(file_error)? {
        Integrity::Intact
    } else {
        Integrity::Damaged {
            detail: "redb found checksums that do not match, in parts that it can repair".into(),
        }
    })
}

/// Readers share the file, in whatever mode the store is written.
fn shared(options: &OpenOptions) -> redb::Builder {
    builder(&OpenOptions {
        sharing: Sharing::SingleWriter,
        ..*options
    })
}
