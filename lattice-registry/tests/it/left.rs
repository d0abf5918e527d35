//! Leftovers of killed processes, and directories that have lost their store.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use lattice_backend::backend::{FileError, StateBackend};
use lattice_backend::redb::RedbBackend;
use lattice_meta::StoreId;
use lattice_registry::files::LockFile;
use lattice_registry::{Access, IfThere, LeftoverKind, ManagerError};

use crate::copies::{assert_whole, made, ops};
use crate::counter::{COUNTER, manager};

const ID: &str = "00000000-0000-8000-8000-000000000001";

pub(crate) fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn leftovers_of_a_killed_removal_go_with_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let (live, id) = made(dir.path());
    for left in [format!("destroying-{id}"), format!("destroying-{ID}")] {
        let left = dir.path().join(left);
        fs::create_dir_all(left.join("more")).unwrap();
        fs::write(left.join("state.db"), b"left").unwrap();
    }
    // A directory of another program.
    fs::create_dir(dir.path().join("destroying-angels")).unwrap();
    let destroyed = live.destroy(id).unwrap();
    assert!(destroyed.was_there);
    assert_eq!(
        destroyed.leftovers,
        [dir.path().join(format!("destroying-{id}"))]
    );
    assert_eq!(
        names(dir.path()),
        ["destroying-angels", "known.toml", "stores"]
    );
}

/// What cannot be listed is not reported as absent. A file in place of the directory stands for all
/// that keeps a directory from being listed: root, who may run this test, lists what others cannot.
#[test]
fn a_data_directory_that_cannot_be_listed_is_no_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"not a directory").unwrap();
    let live = manager(&file);
    assert!(live.leftovers().is_err());
    let failed = live.destroy(ID.parse().unwrap());
    assert!(matches!(failed, Err(ManagerError::Files(_))), "{failed:?}");
    let absent = manager(&dir.path().join("absent"));
    assert!(absent.leftovers().unwrap().is_empty());
}

#[test]
fn a_killed_removal_is_finished_by_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let (live, id) = made(dir.path());
    live.close_all().unwrap();
    let there = live.stores_dir().join(id.to_string());
    for start in ["destroying", "building", "copying", "migrating"] {
        let left = dir.path().join(format!("{start}-{id}"));
        match start {
            "destroying" => fs::rename(&there, &left).unwrap(),
            _ => fs::create_dir(&left).unwrap(),
        }
        fs::write(left.join("state.db"), b"left").unwrap();
        assert_eq!(live.leftovers().unwrap(), [(id, left.clone())]);
        let destroyed = live.destroy(id).unwrap();
        assert!(!destroyed.was_there);
        assert_eq!(destroyed.leftovers, [left]);
        assert_eq!(names(dir.path()), ["known.toml", "stores"]);
    }
    assert!(matches!(
        live.destroy(id),
        Err(ManagerError::NoSuchStore { .. })
    ));
    // A process that creates a store finishes the removals of others.
    fs::create_dir(dir.path().join(format!("destroying-{id}"))).unwrap();
    live.create(&COUNTER.parse().unwrap()).unwrap();
    assert_eq!(names(dir.path()), ["known.toml", "stores"]);
}

#[test]
fn leftovers_of_a_killed_creation_go_with_the_next_one_unless_locked() {
    let dir = tempfile::tempdir().unwrap();
    let live = manager(dir.path());
    let of: StoreId = ID.parse().unwrap();
    let left = dir.path().join(format!("building-{of}"));
    let lock = dir.path().join(format!("building-{of}.lock"));
    let leave = || {
        fs::create_dir(&left).unwrap();
        fs::write(left.join("state.db"), b"left").unwrap();
    };
    leave();
    let held = File::create(&lock).unwrap();
    held.lock().unwrap();
    live.create(&COUNTER.parse().unwrap()).unwrap();
    assert!(left.join("state.db").exists(), "its maker is alive");
    drop(held);
    live.create(&COUNTER.parse().unwrap()).unwrap();
    assert_eq!(names(dir.path()), ["known.toml", "stores"]);
    // A leftover of a version without locks.
    leave();
    fs::create_dir(dir.path().join("building-site")).unwrap();
    live.create(&COUNTER.parse().unwrap()).unwrap();
    assert_eq!(names(dir.path()), ["building-site", "known.toml", "stores"]);
}

#[test]
fn stores_created_concurrently_all_exist() {
    let dir = tempfile::tempdir().unwrap();
    let live = manager(dir.path());
    std::thread::scope(|threads| {
        for _ in 0..8 {
            threads.spawn(|| {
                for _ in 0..5 {
                    live.create(&COUNTER.parse().unwrap()).unwrap();
                }
            });
        }
    });
    assert_eq!(live.list().unwrap().len(), 40);
    assert_eq!(names(dir.path()), ["known.toml", "stores"]);
}

#[test]
fn a_directory_without_its_store_file_accepts_a_copy_or_a_replica() {
    let dir = tempfile::tempdir().unwrap();
    let (live, id) = made(dir.path());
    let copy = dir.path().join("copy.db");
    live.backup(live.store_path(id), &copy).unwrap();
    let genesis = live.open(id, Access::ReadOnly).unwrap().genesis().clone();
    live.close_all().unwrap();
    let place = live.store_path(id);
    let kept = place.with_file_name("state.db.before-restore-1");
    fs::rename(&place, &kept).unwrap();
    for if_there in [IfThere::Refuse, IfThere::Replace] {
        let restored = live.restore(&copy, if_there).unwrap();
        assert_eq!((restored.meta.store_id, restored.kept), (id, None));
        assert_eq!(ops(&live, id), 10);
        assert_whole(&live, id);
        live.close_all().unwrap();
        fs::remove_file(&place).unwrap();
    }
    live.create_replica(&genesis).unwrap();
    assert_eq!(ops(&live, id), 0);
    live.close_all().unwrap();
    fs::remove_file(&place).unwrap();
    assert!(kept.exists());
    assert_eq!(names(dir.path()), ["copy.db", "known.toml", "stores"]);
    live.destroy(id).unwrap();
    assert_eq!(names(&live.stores_dir()), [""; 0]);
}

#[test]
fn the_error_of_a_backup_to_a_missing_directory_names_the_given_file() {
    let dir = tempfile::tempdir().unwrap();
    let (live, id) = made(dir.path());
    let target = dir.path().join("none/copy.db");
    let refused = live.backup(live.store_path(id), &target).unwrap_err();
    assert!(
        matches!(&refused, ManagerError::NoDirectory { path, .. } if *path == target),
        "{refused:?}"
    );
}

/// Each page of a store's file is overwritten in turn. An error of copying must name the source
/// file, and no restore may replace a good store with the damaged one.
#[test]
fn a_store_that_lacks_a_page_is_not_restored_and_the_error_names_it() {
    const PAGE: usize = 4096;
    let dir = tempfile::tempdir().unwrap();
    let (live, id) = made(dir.path());
    let (copy, target) = (dir.path().join("copy.db"), dir.path().join("target.db"));
    live.backup(live.store_path(id), &copy).unwrap();
    live.close_all().unwrap();
    let whole = fs::read(&copy).unwrap();
    let place = fs::read(live.store_path(id)).unwrap();
    let backend = RedbBackend::on_files();
    let (mut unreadable, mut refused) = (0, 0);
    for page in 1..whole.len() / PAGE {
        let mut lost = whole.clone();
        lost[page * PAGE..][..PAGE].fill(0xa5);
        fs::write(&copy, &lost).unwrap();
        if let Err(error) = backend.backup(&copy, &target, &mut |_| Ok(())) {
            unreadable += 1;
            let is_told = matches!(&error, FileError::Damaged { path, .. } if *path == copy);
            assert!(is_told, "page {page}: {error:?}");
            assert!(!target.exists());
        } else {
            fs::remove_file(&target).unwrap();
        }
        match live.restore(&copy, IfThere::Replace) {
            Err(error) => {
                refused += 1;
                let told = error.to_string();
                assert!(told.contains("copy.db"), "page {page}: {error:?}");
                assert_eq!(fs::read(live.store_path(id)).unwrap(), place);
            }
            // This page is not in use.
            Ok(_) => {
                assert_whole(&live, id);
                live.close_all().unwrap();
                fs::write(live.store_path(id), &place).unwrap();
            }
        }
    }
    assert!(unreadable > 0 && refused > 0, "{unreadable}, {refused}");
}

/// What no process works on is listed with its kind, and can be removed; what a process holds is
/// neither listed nor removed.
#[test]
fn leftovers_are_listed_and_removed_unless_a_process_works_on_them() {
    let dir = tempfile::tempdir().unwrap();
    let (live, id) = made(dir.path());
    let make = |name: &str| {
        let path = dir.path().join(name);
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("state.db"), [0; 1000]).unwrap();
    };
    let names = [
        format!("building-{ID}"),
        format!("copying-{ID}"),
        format!("destroying-{ID}-2"),
        format!("migrating-{id}-org.example.two"),
    ];
    names.iter().for_each(|name| make(name));
    make("building-castles");
    make(&format!("stores/{id}/.lattice-0123456789abcdef.partial"));
    let listed = |expected: &[(LeftoverKind, Option<StoreId>)]| {
        let found = live.left_over(&[]).unwrap();
        let kinds: Vec<_> = found
            .iter()
            .map(|left| (left.kind, left.store_id))
            .collect();
        assert_eq!(kinds, expected);
        assert!(found.iter().all(|left| left.bytes == 1000), "{found:?}");
        found
    };
    let other = Some(ID.parse().unwrap());
    let all = [
        (LeftoverKind::Creation, other),
        (LeftoverKind::Copy, other),
        (LeftoverKind::Removal, other),
        (LeftoverKind::Migration, Some(id)),
        (LeftoverKind::Partial, None),
    ];
    let found = listed(&all);
    let lock = dir.path().join(format!("copying-{ID}.lock"));
    let held = LockFile::take(lock, Duration::ZERO).unwrap();
    listed(&[all[0], all[2], all[3], all[4]]);
    assert!(!live.remove_leftover(&found[1]).unwrap());
    drop(held);
    for leftover in &found {
        assert!(live.remove_leftover(leftover).unwrap(), "{leftover:?}");
    }
    listed(&[]);
    assert!(dir.path().join("building-castles").exists());
    assert_whole(&live, id);
}

/// A replaced file can be the last copy of a store.
#[test]
fn a_replaced_file_is_kept_while_its_successor_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let (live, id) = made(dir.path());
    let file = live.store_path(id);
    let kept = file.with_file_name("state.db.before-rebuild-1");
    fs::copy(&file, &kept).unwrap();
    fs::write(
        file.with_file_name("state.db.before-rebuild-mine"),
        b"notes",
    )
    .unwrap();
    let sound = fs::read(&file).unwrap();
    fs::write(&file, b"damaged").unwrap();
    let found = live.left_over(&[]).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].kind, LeftoverKind::BeforeRebuild);
    let refused = live.remove_leftover(&found[0]);
    assert!(
        matches!(refused, Err(ManagerError::KeptFile { .. })),
        "{refused:?}"
    );
    assert!(kept.exists());
    fs::write(&file, sound).unwrap();
    assert!(live.remove_leftover(&found[0]).unwrap());
    assert!(!kept.exists());
}
