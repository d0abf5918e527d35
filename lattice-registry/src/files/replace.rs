//! Files that take the place of others.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::access::open_itself;
use super::lock::is_same;
use super::names::{self, OnDisk};
use super::{FilesError, Partial, directory_of, keep_access};

/// The most symbolic links that are followed, as in Linux.
const MAX_LINKS: u32 = 40;
/// The most old files that are kept beside a file.
const MAX_KEPT: u32 = 1000;

/// Replaces a small file, or creates it: atomically, durably, and with the mode and owner that it
/// has. A new file has mode 0600. If the path is a symbolic link, the file that it leads to is
/// replaced, and the link stays.
///
/// The caller holds the lock that guards the file, if its contents depend on the old ones.
///
/// # Errors
/// See [`FilesError`]. The file has not changed then, unless syncing its directory failed.
pub fn replace_bytes(path: &Path, bytes: &[u8]) -> Result<(), FilesError> {
    let target = link_target(path)?;
    if let Ok(metadata) = fs::metadata(&target)
        && !metadata.is_file()
    {
        return Err(FilesError::NotAFile { path: target });
    }
    let failed = |source| FilesError::io("write", &target, source);
    let partial = Partial::beside(&target).map_err(|error| match error {
        FilesError::Io { source, .. } => failed(source),
        error => error,
    })?;
    let file = partial.file();
    create_private(&file)
        .and_then(|mut file| file.write_all(bytes))
        .map_err(failed)?;
    partial.replace(&target)
}

/// Creates a file that only its owner can read, for writing. It must not exist.
///
/// # Errors
/// What the operating system reports.
pub fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Moves a finished file to the place of another one in the same file system, atomically and
/// durably. It gets the other one's mode and owner; if the name is not in use, the owner of its
/// directory if root calls this. Does not follow links.
///
/// # Errors
/// See [`FilesError`]. The old file is still in its place then, unless syncing the directory
/// failed.
pub fn take_place(new: &Path, old: &Path) -> Result<(), FilesError> {
    let failed = |source| FilesError::io("replace", old, source);
    let file = open_itself(new).map_err(failed)?;
    let dir = directory_of(old);
    match fs::symlink_metadata(old) {
        Ok(_) => keep_access(&file, old)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => give_to_owner_of(&file, new, dir)?,
        Err(error) => return Err(failed(error)),
    }
    // The sync makes the change of mode and owner durable as well.
    names::replace(&OnDisk, new, old)
}

/// The same for a name that is in use. The old file keeps a name beside the new one, which is
/// returned: the first unused one of `<kept_as>-1`, `<kept_as>-2`, ..., in the same directory.
///
/// # Errors
/// See [`FilesError`]. Nothing has changed then, unless syncing the directory failed.
pub fn replace_kept(new: &Path, old: &Path, kept_as: &Path) -> Result<PathBuf, FilesError> {
    let file = open_itself(new).map_err(|source| FilesError::io("replace", old, source))?;
    keep_access(&file, old)?;
    let kept = keep(old, kept_as)?;
    match names::replace_kept(&OnDisk, new, old) {
        Ok(()) => Ok(kept),
        Err(error) => {
            // If the new file has taken the place, only the last sync has failed.
            if new.exists() {
                let _ = fs::remove_file(&kept);
            }
            Err(error)
        }
    }
}

/// Gives a file a second name, which it keeps when another file replaces it.
fn keep(file: &Path, kept_as: &Path) -> Result<PathBuf, FilesError> {
    let mut nth = 1;
    loop {
        let mut kept = kept_as.as_os_str().to_owned();
        kept.push(format!("-{nth}"));
        let kept = PathBuf::from(kept);
        let failed = |source| FilesError::io("keep the old file as", &kept, source);
        match fs::hard_link(file, &kept) {
            Ok(()) => return Ok(kept),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let (there, old) = (fs::symlink_metadata(&kept), fs::symlink_metadata(file));
                // A replacement that was interrupted before the rename left this name.
                if cfg!(unix) && is_same(&there.map_err(failed)?, &old.map_err(failed)?) {
                    return Ok(kept);
                }
                if nth == MAX_KEPT {
                    return Err(failed(error));
                }
                nth += 1;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(failed(error)),
            // Some file systems have no hard links.
            Err(_) => {
                let copied = fs::copy(file, &kept);
                let synced = copied.and_then(|_| File::open(&kept)?.sync_all());
                return match synced {
                    Ok(()) => Ok(kept),
                    Err(error) => {
                        // A part of the old file must not pass for it. The first error counts.
                        let _ = fs::remove_file(&kept);
                        Err(failed(error))
                    }
                };
            }
        }
    }
}

#[cfg(unix)]
fn give_to_owner_of(file: &File, new: &Path, dir: &Path) -> Result<(), FilesError> {
    use std::os::unix::fs::{MetadataExt, fchown};
    let failed = |source| FilesError::io("set the owner of", new, source);
    let (made, dir) = (
        file.metadata().map_err(failed)?,
        fs::metadata(dir).map_err(failed)?,
    );
    match made.uid() == 0 && dir.uid() != 0 {
        true => fchown(file, Some(dir.uid()), Some(dir.gid())).map_err(failed),
        false => Ok(()),
    }
}

#[cfg(not(unix))]
fn give_to_owner_of(_: &File, new: &Path, _: &Path) -> Result<(), FilesError> {
    let _ = new;
    Ok(())
}

/// The path that a chain of symbolic links ends at, whether that exists or not. A path that is no
/// link is returned as it is.
///
/// # Errors
/// What the operating system reports; links that form a circle.
pub fn link_target(path: &Path) -> Result<PathBuf, FilesError> {
    let failed = |source| FilesError::io("follow the link", path, source);
    let mut target = path.to_path_buf();
    for _ in 0..MAX_LINKS {
        match fs::symlink_metadata(&target) {
            Ok(metadata) if metadata.is_symlink() => {
                let to = fs::read_link(&target).map_err(failed)?;
                target = directory_of(&target).join(to);
            }
            Ok(_) => return Ok(target),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(target),
            Err(error) => return Err(failed(error)),
        }
    }
    Err(failed(io::Error::other("too many symbolic links")))
}
