//! Storages in files.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use redb::StorageBackend;
use redb::backends::FileBackend;

#[cfg(unix)]
use crate::storage::{Disk, FileId, FileMode, LockKind, LockRange, Storage, lock_beside};

/// How long a call waits for a lock, and the interval between attempts.
const MAX_WAIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(1);

/// The file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileDisk;

impl Disk for FileDisk {
    fn open(&self, path: &Path, mode: FileMode) -> io::Result<Box<dyn Storage>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match mode {
            FileMode::Read => &mut options,
            FileMode::ReadWrite => options.write(true),
            FileMode::CreateNew => private(options.write(true).create_new(true)),
        };
        let file = match mode {
            FileMode::CreateNew => options.open(path)?,
            FileMode::Read | FileMode::ReadWrite => open_file(&mut options, path)?,
        };
        let opened = FileStorage::new(file, path, mode);
        if opened.is_err() && mode == FileMode::CreateNew {
            // This call created the file, and it is empty. Report the first error, not that of the
            // removal.
            let _ = std::fs::remove_file(path);
        }
        Ok(Box::new(opened?))
    }

    #[cfg(unix)]
    fn file_id(&self, path: &Path) -> io::Result<Option<FileId>> {
        use std::os::unix::fs::MetadataExt;
        let metadata = std::fs::metadata(path)?;
        Ok(Some(FileId {
            device: metadata.dev(),
            number: metadata.ino(),
        }))
    }

    /// An unnamed file in the system's temporary directory.
    fn scratch(&self) -> io::Result<Box<dyn Storage>> {
        let locks = FileBackend::new(tempfile::tempfile()?).map_err(io::Error::other)?;
        Ok(Box::new(FileStorage { locks }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn sync_entry(&self, path: &Path) -> io::Result<()> {
        sync_parent(path)
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        path.canonicalize()
    }

    fn is_link(&self, path: &Path) -> io::Result<bool> {
        Ok(path.symlink_metadata()?.is_symlink())
    }

    fn create_beside(&self, store: &Path, path: &Path) -> io::Result<Box<dyn Storage>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        let file = private(&mut options).open(path)?;
        let shared = share_as(&file, store, Rights::OfReaders);
        let shared = shared.and_then(|()| FileStorage::of(file));
        if shared.is_err() {
            // Report the first error, not that of the removal.
            let _ = std::fs::remove_file(path);
        }
        Ok(Box::new(shared?))
    }

    /// Links are followed first, so that all paths of a store lead to one lock file.
    fn open_lock(&self, store: &Path) -> io::Result<Box<dyn Storage>> {
        let store = store.canonicalize()?;
        let path = lock_beside(&store);
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        loop {
            match open_file(&mut options, &path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                opened => {
                    let file = opened?;
                    // The process that made it may have been killed before it shared it, and the
                    // store's file may have other rights now. Only its owner can mend that.
                    let _ = share_as(&file, &store, Rights::OfWriters);
                    return Ok(Box::new(FileStorage::of(file)?));
                }
            }
            match private(options.clone().create_new(true)).open(&path) {
                // Another process created it first.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                created => {
                    let file = created?;
                    share_as(&file, &store, Rights::OfWriters)?;
                    // Not synced: a lock file that is lost is made again.
                    return Ok(Box::new(FileStorage::of(file)?));
                }
            }
        }
    }
}

/// Who may use a file that belongs to a store's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(unix), expect(dead_code, reason = "files have no modes there"))]
enum Rights {
    /// Those who may write to the store's file may read and write this file, and no others: they
    /// could hold a lock on it if they could only read it.
    OfWriters,
    /// The rights are those of the store's file.
    OfReaders,
}

/// Gives a new file the owner of the store's file that it belongs to, and rights like those.
#[cfg(unix)]
fn share_as(file: &File, store: &Path, rights: Rights) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    let (is, like) = (file.metadata()?, std::fs::metadata(store)?);
    let owners = |metadata: &Metadata| (metadata.uid(), metadata.gid());
    let has_owners =
        owners(&is) == owners(&like) || fchown(file, Some(like.uid()), Some(like.gid())).is_ok();
    let has_group =
        has_owners || is.gid() == like.gid() || fchown(file, None, Some(like.gid())).is_ok();
    let shared = match rights {
        Rights::OfReaders => like.mode() & 0o066,
        Rights::OfWriters => [0o060, 0o006]
            .into_iter()
            .filter(|both| like.mode() & both & 0o022 != 0)
            .sum(),
    };
    // The rights of the store's group are not those of another group.
    let shared = match has_group {
        true => shared,
        false => shared & 0o006,
    };
    let mode = 0o600 | shared;
    if is.mode() & 0o7777 == mode {
        return Ok(());
    }
    file.set_permissions(std::fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn share_as(_: &File, _: &Path, _: Rights) -> io::Result<()> {
    Ok(())
}

/// A store is not encrypted: a new file is for its owner alone, whatever the umask allows.
#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600)
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Opens regular files only. Without the flag, opening a pipe would wait for a process at its other
/// end. Whether it is a pipe is checked after opening, which saves a lookup of the path.
#[cfg(unix)]
fn open_file(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let file = options.custom_flags(libc::O_NONBLOCK).open(path)?;
    check_is_file(&file.metadata()?)?;
    Ok(file)
}

#[cfg(not(unix))]
fn open_file(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    check_is_file(&std::fs::metadata(path)?)?;
    options.open(path)
}

fn check_is_file(metadata: &Metadata) -> io::Result<()> {
    match (metadata.is_file(), metadata.is_dir()) {
        (true, _) => Ok(()),
        (_, true) => Err(io::ErrorKind::IsADirectory.into()),
        _ => Err(io::ErrorKind::NotSeekable.into()),
    }
}

/// A new file is durable only once its directory is synced.
fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let parent = File::open(parent.unwrap_or(Path::new(".")))?;
    uninterrupted(|| parent.sync_all())
}

/// A file. It uses redb's own byte-range locks, so that other programs built on redb agree with us
/// on which processes have a store open.
#[derive(Debug)]
struct FileStorage {
    locks: FileBackend,
}

impl FileStorage {
    fn new(file: File, path: &Path, mode: FileMode) -> io::Result<Self> {
        if mode == FileMode::CreateNew {
            sync_parent(path)?;
        }
        Self::of(file)
    }

    fn of(file: File) -> io::Result<Self> {
        let locks = FileBackend::new(file).map_err(io::Error::other)?;
        Ok(Self { locks })
    }
}

fn io_error(error: redb::BackendError) -> io::Error {
    match error {
        redb::BackendError::Io(error) => error,
        redb::BackendError::Unsupported => io::ErrorKind::Unsupported.into(),
        error => io::Error::other(error.to_string()),
    }
}

/// Calls the operating system again while a signal interrupts the call.
fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

impl Storage for FileStorage {
    fn len_bytes(&self) -> io::Result<u64> {
        self.locks.len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.locks.read(offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.locks.write(offset, bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.locks.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        uninterrupted(|| self.locks.sync_data())
    }

    fn try_lock(&self, (start, end): LockRange, kind: LockKind) -> io::Result<bool> {
        uninterrupted(|| {
            match kind {
                LockKind::Shared => self.locks.try_lock_shared_range(start, end),
                LockKind::Exclusive => self.locks.try_lock_range(start, end),
            }
            .map_err(io_error)
        })
    }

    /// Any process that can read the file can hold a lock on it, so the wait has a limit.
    fn lock(&self, range: LockRange, kind: LockKind) -> io::Result<()> {
        let began = Instant::now();
        while !self.try_lock(range, kind)? {
            if began.elapsed() >= MAX_WAIT {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!(
                        "another process has held a lock on this file for {} seconds; end that \
                         process, or remove its permission to read the file",
                        MAX_WAIT.as_secs()
                    ),
                ));
            }
            sleep(POLL);
        }
        Ok(())
    }

    fn unlock(&self, (start, end): LockRange) -> io::Result<()> {
        uninterrupted(|| self.locks.unlock_range(start, end).map_err(io_error))
    }

    fn is_locked(&self, (start, end): LockRange) -> io::Result<bool> {
        uninterrupted(|| self.locks.query_lock_range(start, end).map_err(io_error))
    }

    fn close(&self) -> io::Result<()> {
        self.locks.close()
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn it_is_a_disk() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().canonicalize().unwrap();
        crate::storage::contract::check(&FileDisk, &directory);
    }

    #[test]
    fn a_file_beside_a_store_has_the_rights_of_the_store() {
        let directory = tempfile::tempdir().unwrap();
        let [store, beside] = ["store", "beside"].map(|name| directory.path().join(name));
        FileDisk.open(&store, FileMode::CreateNew).unwrap();
        for (of_store, expected) in [
            (0o600, 0o600),
            (0o644, 0o644),
            (0o660, 0o660),
            (0o666, 0o666),
            (0o700, 0o600),
            (0o400, 0o600),
        ] {
            std::fs::set_permissions(&store, PermissionsExt::from_mode(of_store)).unwrap();
            FileDisk.create_beside(&store, &beside).unwrap();
            assert_eq!(mode(&beside), expected, "{of_store:o}");
            FileDisk.remove(&beside).unwrap();
        }
    }

    #[test]
    fn the_canonical_path_is_that_of_the_file_behind_links() {
        let directory = tempfile::tempdir().unwrap();
        let [store, link] = ["store", "link"].map(|name| directory.path().join(name));
        FileDisk.open(&store, FileMode::CreateNew).unwrap();
        std::os::unix::fs::symlink(&store, &link).unwrap();
        let canonical = store.canonicalize().unwrap();
        assert_eq!(FileDisk.canonical(&link).unwrap(), canonical);
    }
}
