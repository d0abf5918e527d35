//! Modes and owners.

use std::fs::{self, File};
use std::path::Path;

use super::FilesError;

/// Gives a file or directory that root has made the owner of its directory, who could not access it
/// otherwise. Does nothing for other users.
///
/// # Errors
/// What the operating system reports.
#[cfg(unix)]
pub fn adopt(path: &Path) -> Result<(), FilesError> {
    use std::os::unix::fs::{MetadataExt, fchown};
    let failed = |source| FilesError::io("set the owner of", path, source);
    let made = fs::symlink_metadata(path).map_err(failed)?;
    if made.uid() != 0 {
        return Ok(());
    }
    let dir = fs::metadata(super::directory_of(path)).map_err(failed)?;
    if dir.uid() == 0 {
        return Ok(());
    }
    // Another user may have put a link there since.
    let file = open_itself(path).map_err(failed)?;
    fchown(&file, Some(dir.uid()), Some(dir.gid())).map_err(failed)
}

/// Without owners there is nothing to give.
#[cfg(not(unix))]
pub fn adopt(_: &Path) -> Result<(), FilesError> {
    Ok(())
}

/// Opens a file or directory for reading, but no link and without waiting for a pipe.
#[cfg(unix)]
pub(super) fn open_itself(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = File::options();
    options
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    options.open(path)
}

#[cfg(not(unix))]
pub(super) fn open_itself(path: &Path) -> std::io::Result<File> {
    File::open(path)
}

/// Gives `new` the mode and the owner of the file at `old`, which it is going to replace. If this
/// user cannot give the file away, the owner of the old one must still have all the access that
/// its mode grants.
///
/// # Errors
/// [`FilesError::OwnerLost`], and what the operating system reports.
#[cfg(unix)]
pub fn keep_access(new: &File, old: &Path) -> Result<(), FilesError> {
    use std::os::unix::fs::{MetadataExt, fchown};
    let failed = |source| FilesError::io("keep the permissions of", old, source);
    let (is, was) = (
        new.metadata().map_err(failed)?,
        fs::metadata(old).map_err(failed)?,
    );
    let mut mode = was.mode() & 0o777;
    let owners = |metadata: &fs::Metadata| (metadata.uid(), metadata.gid());
    if owners(&is) != owners(&was) && fchown(new, Some(was.uid()), Some(was.gid())).is_err() {
        let (user, group, others) = (mode >> 6 & 7, mode >> 3 & 7, mode & 7);
        let has_group = is.gid() == was.gid() || fchown(new, None, Some(was.gid())).is_ok();
        // The old group's rights are not those of another group.
        let group = if has_group { group } else { group & others };
        if is.uid() != was.uid() && user & !(group | others) & 0o6 != 0 {
            return Err(FilesError::OwnerLost {
                path: old.to_path_buf(),
                owner: was.uid(),
            });
        }
        mode = user << 6 | group << 3 | others;
    }
    change_mode(new, mode).map_err(failed)
}

/// Without permission bits, the rules of the directory apply.
#[cfg(not(unix))]
pub fn keep_access(_: &File, _: &Path) -> Result<(), FilesError> {
    Ok(())
}

/// Sets the permission bits of a file or directory: the last nine bits of `mode`. The umask does
/// not limit them.
///
/// # Errors
/// What the operating system reports.
pub fn set_mode(path: &Path, mode: u32) -> Result<(), FilesError> {
    let failed = |source| FilesError::io("set the mode of", path, source);
    let file = open_itself(path).map_err(failed)?;
    change_mode(&file, mode & 0o777).map_err(failed)
}

#[cfg(unix)]
fn change_mode(file: &File, mode: u32) -> std::io::Result<()> {
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))
}

#[cfg(not(unix))]
fn change_mode(_: &File, _: u32) -> std::io::Result<()> {
    Ok(())
}
