#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::*;

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_lock_is_held_once_and_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let held = DirLock::take(dir.path(), Duration::ZERO).unwrap();
    let refused = DirLock::take(dir.path(), Duration::from_millis(30)).unwrap_err();
    assert!(
        matches!(&refused, FilesError::Held { waited, .. } if waited.as_millis() >= 30),
        "{refused:?}"
    );
    drop(held);
    assert_eq!(names(dir.path()), [""; 0]);
    // A lock on the directory, which every user who can list it can take, does no harm.
    let listed = File::open(dir.path()).unwrap();
    listed.lock().unwrap();
    DirLock::take(dir.path(), Duration::ZERO).unwrap();
}

#[test]
fn threads_that_take_a_lock_come_one_after_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let count = dir.path().join("count");
    fs::write(&count, "0").unwrap();
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                for _ in 0..25 {
                    let _held = DirLock::take(dir.path(), MAX_WAIT).unwrap();
                    let before: u32 = fs::read_to_string(&count).unwrap().parse().unwrap();
                    replace_bytes(&count, (before + 1).to_string().as_bytes()).unwrap();
                }
            });
        }
    });
    assert_eq!(fs::read_to_string(&count).unwrap(), "100");
    assert_eq!(names(dir.path()), ["count"]);
}

/// A holder that releases the lock removes its file, which another thread may have opened already.
#[test]
fn a_lock_has_one_holder_while_many_try_to_take_it() {
    let dir = tempfile::tempdir().unwrap();
    let is_held = AtomicBool::new(false);
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                let mut taken = 0;
                while taken < 500 {
                    match DirLock::take(dir.path(), Duration::ZERO) {
                        Ok(_held) => {
                            assert!(!is_held.swap(true, Ordering::SeqCst), "it has two holders");
                            taken += 1;
                            is_held.store(false, Ordering::SeqCst);
                        }
                        Err(FilesError::Held { .. }) => std::thread::yield_now(),
                        Err(error) => panic!("{error:?}"),
                    }
                }
            });
        }
    });
    assert_eq!(names(dir.path()), [""; 0]);
}

#[cfg(unix)]
#[test]
fn a_lock_file_is_private_and_is_not_a_link() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let held = DirLock::take(dir.path(), Duration::ZERO).unwrap();
    assert_eq!(mode(&dir.path().join(DIR_LOCK)), 0o600);
    drop(held);
    let target = elsewhere.path().join("made");
    std::os::unix::fs::symlink(&target, dir.path().join(DIR_LOCK)).unwrap();
    let refused = DirLock::take(dir.path(), Duration::ZERO).unwrap_err();
    assert!(matches!(refused, FilesError::Io { .. }), "{refused:?}");
    assert!(!target.exists());
}

#[cfg(unix)]
#[test]
fn a_replaced_file_keeps_its_mode_and_its_link() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (link, target) = (dir.path().join("link"), elsewhere.path().join("target"));
    std::os::unix::fs::symlink(&target, &link).unwrap();
    // A link that leads to nothing yet.
    replace_bytes(&link, b"first").unwrap();
    assert_eq!(mode(&target), 0o600);
    for bits in [0o640, 0o444, 0o666] {
        set_mode(&target, bits).unwrap();
        replace_bytes(&link, b"next").unwrap();
        assert_eq!(
            (mode(&target), fs::read(&target).unwrap()),
            (bits, b"next".to_vec())
        );
    }
    assert!(link.is_symlink());
    assert_eq!(names(elsewhere.path()), ["target"]);
    // Relative, in two steps, and in a circle.
    std::os::unix::fs::symlink("link", dir.path().join("second")).unwrap();
    replace_bytes(&dir.path().join("second"), b"last").unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"last");
    std::os::unix::fs::symlink("circle", dir.path().join("circle")).unwrap();
    replace_bytes(&dir.path().join("circle"), b"none").unwrap_err();
    let refused = replace_bytes(dir.path(), b"none").unwrap_err();
    assert!(
        matches!(refused, FilesError::NotAFile { .. }),
        "{refused:?}"
    );
}

#[test]
fn an_unfinished_file_is_removed_by_the_next_one_unless_its_maker_lives() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("n".repeat(255));
    let live = Partial::beside(&target).unwrap();
    fs::write(live.file(), b"live").unwrap();
    // What a killed process leaves, and a directory of another program.
    let (left, other) = (".lattice-0123456789abcdef.partial", ".lattice-and-more");
    for dir in [left, other].map(|name| dir.path().join(name)) {
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("new"), b"left").unwrap();
    }
    let second = Partial::beside(&target).unwrap();
    assert_eq!(cfg!(unix), !dir.path().join(left).exists());
    assert!(live.file().exists() && dir.path().join(other).exists());
    live.place(&target).unwrap();
    fs::write(second.file(), b"second").unwrap();
    let refused = second.place(&target).unwrap_err();
    assert_eq!(refused.io_kind(), Some(io::ErrorKind::AlreadyExists));
    assert_eq!(fs::read(&target).unwrap(), b"live");
    assert_eq!(names(dir.path()).len(), if cfg!(unix) { 2 } else { 3 });
}

/// Regression: between making its directory and locking it, a thread lost it to another one, which
/// took it for a leftover, and failed.
#[test]
fn threads_that_make_files_in_one_directory_at_once_all_succeed() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|threads| {
        for thread in 0..8 {
            let target = dir.path().join(format!("file-{thread}"));
            threads.spawn(move || {
                for _ in 0..100 {
                    replace_bytes(&target, b"contents").unwrap();
                }
            });
        }
    });
    assert_eq!(names(dir.path()).len(), 8);
}

#[cfg(unix)]
#[test]
fn new_directories_are_private_and_existing_ones_stay_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    set_mode(dir.path(), 0o755).unwrap();
    let inner = dir.path().join("a/b");
    let made = make_dirs(&inner).unwrap();
    assert_eq!(made, [dir.path().join("a"), inner.clone()]);
    assert_eq!(
        made.iter().map(|dir| mode(dir)).collect::<Vec<_>>(),
        [0o700; 2]
    );
    assert_eq!(make_dirs(&inner).unwrap(), [""; 0].map(PathBuf::from));
    assert_eq!(mode(dir.path()), 0o755);
}

/// Only root can give files away.
#[cfg(unix)]
#[test]
fn what_root_makes_in_the_directory_of_another_user_belongs_to_that_user() {
    use std::os::unix::fs::{MetadataExt, chown};
    let dir = tempfile::tempdir().unwrap();
    if fs::metadata(dir.path()).unwrap().uid() != 0 {
        return;
    }
    chown(dir.path(), Some(1234), Some(2345)).unwrap();
    let owners = |path: &Path| {
        let metadata = fs::metadata(path).unwrap();
        (metadata.uid(), metadata.gid())
    };
    let file = dir.path().join("file");
    replace_bytes(&file, b"first").unwrap();
    assert_eq!(owners(&file), (1234, 2345));
    chown(&file, Some(77), Some(88)).unwrap();
    replace_bytes(&file, b"next").unwrap();
    assert_eq!(owners(&file), (77, 88));
    let _held = DirLock::take(dir.path(), Duration::ZERO).unwrap();
    assert_eq!(owners(&dir.path().join(DIR_LOCK)), (1234, 2345));
}
