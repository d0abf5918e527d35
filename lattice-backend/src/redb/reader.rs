//! Opening for reading, however the last writer ended.

use std::io;
use std::ops::Bound;
use std::path::Path;

use crate::backend::{FileError, Integrity, OpenOptions, Sharing};
use crate::redb::adapter::{Adapter, CONSISTENT_BYTE, FLAGS_OFFSET, LockView, PRIMARY_UNFLUSHED};
use crate::redb::db::Opened;
use crate::redb::error::{check_magic, file_error, open_error};
use crate::redb::overlay::Overlay;
use crate::redb::{LOCK_TRIES, LOCK_WAIT, builder};
use crate::storage::{Disk, FileMode, LockKind, LockRange, Storage};

/// The byte that a writer locks before it does anything else (redb's design document).
const WRITER_MODE_BYTE: u64 = (1 << 62) + 1;
const WRITER_MODE: LockRange = (
    Bound::Included(WRITER_MODE_BYTE),
    Bound::Included(WRITER_MODE_BYTE),
);
const CONSISTENT: LockRange = (
    Bound::Included(CONSISTENT_BYTE),
    Bound::Included(CONSISTENT_BYTE),
);
/// The flag of a file that was not closed, or is open for writing.
const RECOVERY_REQUIRED: u8 = 2;
/// The flag of a last commit made in two phases.
const TWO_PHASE_COMMIT: u8 = 4;

/// Opens a file for reading. Nothing is written to it.
pub(super) fn open(
    disk: &dyn Disk,
    path: &Path,
    options: &OpenOptions,
) -> Result<Opened, FileError> {
    let open_storage = || {
        disk.open(path, FileMode::Read)
            .map_err(|source| open_error(path, source))
    };
    let mut tries = 1;
    loop {
        let storage = open_storage()?;
        let flags = check_magic(&*storage, path)?;
        let failed = |source| open_error(path, source);
        // Most files that want a repair and that no live writer vouches for had a writer that was
        // killed: the engine need not be asked first.
        if flags & RECOVERY_REQUIRED != 0
            && !storage.is_locked(CONSISTENT).map_err(failed)?
            && keeps_writers_out(&*storage).map_err(failed)?
        {
            return crashed(open_storage()?, storage, path, options);
        }
        let reader =
            shared(options).open_read_only_with_backend(Adapter::new(storage, LockView::Real));
        match reader {
            Ok(database) => {
                return Ok(Opened::Reader {
                    database,
                    _guard: None,
                });
            }
            Err(redb::DatabaseError::RepairAborted) => {}
            Err(error) => return Err(file_error(path, error)),
        }
        // No writer vouches for the file: the last one was killed, or one is opening it just now.
        let guard = open_storage()?;
        if keeps_writers_out(&*guard).map_err(failed)? {
            return crashed(open_storage()?, guard, path, options);
        }
        if tries == LOCK_TRIES {
            return Err(FileError::InUse {
                path: path.to_path_buf(),
            });
        }
        tries += 1;
        std::thread::sleep(LOCK_WAIT);
    }
}

/// Locks a file so that no writer repairs it; whether there is none that has it.
fn keeps_writers_out(guard: &dyn Storage) -> io::Result<bool> {
    guard.try_lock(WRITER_MODE, LockKind::Shared)
}

/// Opens a file whose writer was killed. `guard` keeps writers out: they would repair it.
fn crashed(
    storage: Box<dyn Storage>,
    guard: Box<dyn Storage>,
    path: &Path,
    options: &OpenOptions,
) -> Result<Opened, FileError> {
    let mut flags = [0];
    storage
        .read_at(FLAGS_OFFSET, &mut flags)
        .map_err(|source| open_error(path, source))?;
    if flags[0] & TWO_PHASE_COMMIT != 0 {
        if flags[0] & PRIMARY_UNFLUSHED != 0 {
            flush(&*storage).map_err(|source| open_error(path, source))?;
        }
        let database = shared(options)
            .open_read_only_with_backend(Adapter::new(storage, LockView::Vouched))
            .map_err(|error| file_error(path, error))?;
        return Ok(Opened::Reader {
            database,
            _guard: Some(guard),
        });
    }
    // Written in exclusive mode: only the engine's repair finds the last whole commit.
    let overlay = Overlay::new(storage).map_err(|source| open_error(path, source))?;
    let exclusive = OpenOptions {
        sharing: Sharing::Exclusive,
        ..*options
    };
    let database = builder(&exclusive)
        .create_with_backend(Adapter::new(Box::new(overlay), LockView::Real))
        .map_err(|error| file_error(path, error))?;
    Ok(Opened::Repaired {
        database,
        _guard: guard,
    })
}

/// Sees to it that the last commit is on disk, of a file whose header says that it perhaps is not: the
/// adapter hides that mark. The engine takes it away after the commit's last sync and does not sync
/// that, so after a loss of power it stands beside commits that were acknowledged, and readers would be
/// shown the commit before: a backup made of that and written on would fork its author. But if only the
/// process was killed the commit may not be on disk yet, and nobody is to read what a loss of power
/// could still take back.
fn flush(storage: &dyn Storage) -> io::Result<()> {
    match storage.sync() {
        // Some systems let only writers sync.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        synced => synced,
    }
}

/// Has the engine look at all its checksums, in memory over the file: it may repair, and it opens
/// nothing that somebody else writes.
pub(super) fn check_integrity(disk: &dyn Disk, path: &Path) -> Result<Integrity, FileError> {
    let open_storage = || {
        disk.open(path, FileMode::Read)
            .map_err(|source| open_error(path, source))
    };
    let (storage, guard) = (open_storage()?, open_storage()?);
    check_magic(&*storage, path)?;
    // A writer that comes meanwhile would change the file underneath.
    let locked = guard.try_lock(WRITER_MODE, LockKind::Shared);
    if !locked.map_err(|source| open_error(path, source))? {
        return Ok(Integrity::InUse);
    }
    let overlay = Overlay::new(storage).map_err(|source| open_error(path, source))?;
    let exclusive = OpenOptions {
        sharing: Sharing::Exclusive,
        ..OpenOptions::read_write()
    };
    let mut database = builder(&exclusive)
        .create_with_backend(Adapter::new(Box::new(overlay), LockView::Real))
        .map_err(|error| file_error(path, error))?;
    let is_whole = database
        .check_integrity()
        .map_err(|error| file_error(path, error))?;
    Ok(if is_whole {
        Integrity::Whole
    } else {
        Integrity::Damaged {
            detail:
                "the engine found checksums that do not hold, and could repair what they are of"
                    .into(),
        }
    })
}

/// Readers share the file, whatever mode the store is written in.
fn shared(options: &OpenOptions) -> redb::Builder {
    builder(&OpenOptions {
        sharing: Sharing::SingleWriter,
        ..*options
    })
}
