//! Stores behind symbolic links, and files whose permissions do not allow everything.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use lattice_backend::backend::FileError;
use lattice_backend::engine::open::OpenError;
use lattice_meta::StoreId;
use lattice_registry::{Access, IfThere, ManagerError, StoreManager};

use crate::copies::{append, assert_whole, made, ops};
use crate::counter::{impatient, long_work};
use crate::left::names;

/// Which part of a store's path is a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Linked {
    Dir,
    File,
}

const BOTH: [Linked; 2] = [Linked::Dir, Linked::File];

/// Moves a store's directory or file to `to`, puts a link in its place, and returns the file.
fn link(manager: &StoreManager, id: StoreId, linked: Linked, to: &Path) -> PathBuf {
    manager.close_all().unwrap();
    let file = manager.store_path(id);
    let (place, there, state_db) = match linked {
        Linked::Dir => (
            file.parent().unwrap(),
            to.join("moved"),
            to.join("moved/state.db"),
        ),
        Linked::File => (&*file, to.join("any.db"), to.join("any.db")),
    };
    fs::rename(place, &there).unwrap();
    symlink(&there, place).unwrap();
    state_db.canonicalize().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

fn is_in_use(error: &ManagerError) -> bool {
    matches!(
        error,
        ManagerError::Open(OpenError::File(FileError::InUse { .. }))
    )
}

#[test]
fn a_linked_store_with_a_writer_is_neither_replaced_nor_removed() {
    for linked in BOTH {
        let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (live, id) = made(dir.path());
        let copy = dir.path().join("copy.db");
        live.backup(live.store_path(id), &copy).unwrap();
        let target = link(&live, id, linked, elsewhere.path());
        let writer = long_work(&live.store_path(id));
        let other = impatient(dir.path());
        let refused = other.restore(&copy, IfThere::Replace).unwrap_err();
        assert!(is_in_use(&refused), "{linked:?}: {refused:?}");
        let refused = other.destroy(id).unwrap_err();
        assert!(is_in_use(&refused), "{linked:?}: {refused:?}");
        writer.close().unwrap();
        append(&live, id, 0..1);
        assert_eq!(ops(&live, id), 11);
        // Without the writer, the file at the link's target is replaced, and the link stays.
        live.close_all().unwrap();
        let kept = other
            .restore(&copy, IfThere::Replace)
            .unwrap()
            .kept
            .unwrap();
        assert_eq!(kept.parent(), target.parent());
        assert_eq!(other.store_path(id).canonicalize().unwrap(), target);
        assert_eq!(ops(&other, id), 10);
        assert_whole(&other, id);
    }
}

#[test]
fn a_damaged_store_is_locked_before_it_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let (live, id) = made(dir.path());
    let copy = dir.path().join("copy.db");
    live.backup(live.store_path(id), &copy).unwrap();
    live.close_all().unwrap();
    let writer = long_work(&live.store_path(id));
    // Nothing can open the file any more. The writer that has it open still holds the lock.
    let file = fs::File::options()
        .write(true)
        .open(live.store_path(id))
        .unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[7; 64], 0).unwrap();
    let other = impatient(dir.path());
    let refused = other.restore(&copy, IfThere::Replace).unwrap_err();
    assert!(is_in_use(&refused), "{refused:?}");
    let refused = other.destroy(id).unwrap_err();
    assert!(is_in_use(&refused), "{refused:?}");
    // What it wrote over the damage is not read.
    let _ = writer.close();
    std::os::unix::fs::FileExt::write_all_at(&file, &[7; 64], 0).unwrap();
    other.restore(&copy, IfThere::Replace).unwrap();
    assert_whole(&other, id);
}

#[test]
fn a_link_to_nothing_gets_the_same_answer_whether_a_store_may_be_replaced_or_not() {
    for linked in BOTH {
        let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (live, id) = made(dir.path());
        let copy = dir.path().join("copy.db");
        live.backup(live.store_path(id), &copy).unwrap();
        let genesis = live.open(id, Access::ReadOnly).unwrap().genesis().clone();
        let target = link(&live, id, linked, elsewhere.path());
        match linked {
            Linked::Dir => fs::remove_dir_all(target.parent().unwrap()).unwrap(),
            Linked::File => fs::remove_file(&target).unwrap(),
        }
        let tries = [
            live.restore(&copy, IfThere::Refuse).map(drop),
            live.restore(&copy, IfThere::Replace).map(drop),
            live.create_replica(&genesis).map(drop),
        ];
        for refused in tries {
            let refused = refused.unwrap_err();
            assert!(
                matches!(refused, ManagerError::DanglingLink { .. }),
                "{refused:?}"
            );
        }
        // The link itself can be removed.
        live.destroy(id).unwrap();
        assert_eq!(names(&live.stores_dir()), [""; 0]);
        live.restore(&copy, IfThere::Refuse).unwrap();
        assert_whole(&live, id);
    }
}

#[test]
fn removing_a_linked_store_removes_its_files_and_no_others() {
    for linked in BOTH {
        let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (live, id) = made(dir.path());
        let target = link(&live, id, linked, elsewhere.path());
        let there = target.parent().unwrap();
        let kept = live.rebuild(live.store_path(id)).unwrap().kept;
        assert_eq!(kept.parent(), Some(there));
        fs::write(there.join("notes.txt"), b"mine").unwrap();
        // A kept file of another store, and one that cannot be read.
        let other = live
            .create(&crate::counter::COUNTER.parse().unwrap())
            .unwrap();
        fs::copy(
            live.store_path(other),
            there.join("state.db.before-rebuild-7"),
        )
        .unwrap();
        // What a killed rebuild leaves.
        fs::create_dir(there.join(".lattice-0123456789abcdef.partial")).unwrap();
        let destroyed = live.destroy(id).unwrap();
        assert!(destroyed.linked.contains(&target) && destroyed.linked.contains(&kept));
        let left = names(there);
        assert_eq!(left, ["notes.txt", "state.db.before-rebuild-7"]);
        // A directory that holds the target of a linked file may have any files.
        let expected = match linked {
            Linked::Dir => 2,
            Linked::File => 1,
        };
        assert_eq!(destroyed.left.len(), expected, "{destroyed:?}");
        assert_eq!(names(&live.stores_dir()), [other.to_string()]);
    }
}

#[test]
fn a_link_to_another_store_is_removed_and_that_store_stays() {
    for linked in BOTH {
        let dir = tempfile::tempdir().unwrap();
        let (live, id) = made(dir.path());
        let other = live
            .create(&crate::counter::COUNTER.parse().unwrap())
            .unwrap();
        append(&live, other, 0..10);
        live.close_all().unwrap();
        let (place, theirs) = (live.store_path(id), live.store_path(other));
        match linked {
            Linked::Dir => {
                fs::remove_dir_all(place.parent().unwrap()).unwrap();
                symlink(theirs.parent().unwrap(), place.parent().unwrap()).unwrap();
            }
            Linked::File => {
                fs::remove_file(&place).unwrap();
                symlink(&theirs, &place).unwrap();
            }
        }
        let destroyed = live.destroy(id).unwrap();
        assert_eq!(destroyed.left, [theirs.canonicalize().unwrap()]);
        assert_eq!(names(&live.stores_dir()), [other.to_string()]);
        assert_eq!(ops(&live, other), 10);
        assert_whole(&live, other);
    }
}

#[test]
fn files_and_directories_are_private_and_a_replaced_file_keeps_its_mode() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    let (live, id) = made(&dir);
    let file = live.store_path(id);
    for private in [&dir, &live.stores_dir(), file.parent().unwrap()] {
        assert_eq!(mode(private), 0o700, "{}", private.display());
    }
    assert_eq!(mode(&file), 0o600);
    let copy = home.path().join("copy.db");
    live.backup(&file, &copy).unwrap();
    assert_eq!(mode(&copy), 0o600);
    let shared = home.path().join("shared.db");
    live.backup_with_mode(&file, &shared, 0o644).unwrap();
    assert_eq!(mode(&shared), 0o644);
    for bits in [0o600, 0o640, 0o644] {
        set_mode(&file, bits);
        live.rebuild(&file).unwrap();
        assert_eq!(mode(&file), bits);
        live.restore(&copy, IfThere::Replace).unwrap();
        assert_eq!(mode(&file), bits);
        live.close_all().unwrap();
        live.compact(&file).unwrap();
        assert_eq!(mode(&file), bits);
    }
    live.share_with_group(id).unwrap();
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o640, 0o750));
    // The modes of an existing directory are its owner's choice.
    set_mode(&dir, 0o755);
    live.create(&crate::counter::COUNTER.parse().unwrap())
        .unwrap();
    assert_eq!(mode(&dir), 0o755);
}

#[test]
fn a_backup_to_the_longest_name_succeeds_and_leaves_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (live, id) = made(&dir.path().join("data"));
    let target = dir.path().join("n".repeat(255));
    // What a killed backup leaves.
    let left = dir.path().join(".lattice-0123456789abcdef.partial");
    fs::create_dir(&left).unwrap();
    fs::write(left.join("new"), b"half").unwrap();
    live.backup(live.store_path(id), &target).unwrap();
    assert_eq!(names(dir.path()), ["data".to_owned(), "n".repeat(255)]);
}
