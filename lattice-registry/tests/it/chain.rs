//! Restores of a copy and ops that follow it.

use std::fs;
use std::path::{Path, PathBuf};

use lattice_backend::engine::ingest::Authors;
use lattice_backend::op::BranchTips;
use lattice_meta::StoreId;
use lattice_registry::{Access, IfThere, ManagerError, StoreHandle, StoreManager};

use crate::copies::{append, assert_whole, made, ops};
use crate::counter::manager;

/// The file with which a chain begins, of 10 ops, and the ops after it, of which there are 5.
fn chain(dir: &Path) -> (StoreId, PathBuf, Vec<Vec<u8>>) {
    let (live, id) = made(dir);
    let copy = dir.join("copy.db");
    live.backup(live.store_path(id), &copy).unwrap();
    let source = live.open(id, Access::ReadOnly).unwrap();
    let known = source.branch_tips().unwrap();
    append(&live, id, 10..15);
    let later = source.ops_after(&known).unwrap();
    (id, copy, later.map(Result::unwrap).collect())
}

fn ingest(store: &dyn StoreHandle, ops: &[Vec<u8>]) -> Result<(), ManagerError> {
    let mut ops = ops.iter().cloned().map(Ok);
    let report = store.ingest(&mut ops, &Authors::Any).unwrap();
    assert_eq!(report.outcomes.len(), report.applied());
    Ok(())
}

fn restoring(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    let paths = entries.map(|entry| entry.unwrap().path());
    let is_it = |path: &PathBuf| path.is_dir() && path.to_str().unwrap().contains("restoring-");
    paths.filter(is_it).collect()
}

#[test]
fn ops_are_added_before_the_store_is_placed() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (id, copy, later) = chain(one.path());
    let to = manager(two.path());
    let mut begun = to.begin_restore_chain(&copy, &[1; 32]).unwrap();
    begun.add(|store| ingest(store, &later)).unwrap();
    assert_eq!((begun.ops(), begun.is_there()), (15, false));
    begun.place(IfThere::Refuse).unwrap();
    assert_eq!(ops(&to, id), 15);
    assert_whole(&to, id);
    assert!(
        to.open(id, Access::ReadOnly)
            .unwrap()
            .is_unconfirmed_copy()
            .unwrap()
    );
    // A failure leaves nothing behind, and the store as it is.
    let mut begun = to.begin_restore_chain(&copy, &[1; 32]).unwrap();
    let failed = begun.add(|store| {
        ingest(store, &later[..2])?;
        Err(ManagerError::NoIdentity)
    });
    assert!(matches!(failed, Err(ManagerError::NoIdentity)));
    assert_eq!(restoring(two.path()).len(), 1);
    drop(begun);
    assert_eq!(restoring(two.path()), Vec::<PathBuf>::new());
    assert_eq!(ops(&to, id), 15);
    // It replaces a store that is there.
    let mut begun = to.begin_restore_chain(&copy, &[1; 32]).unwrap();
    begun.add(|store| ingest(store, &later[..3])).unwrap();
    assert!(begun.is_there());
    let kept = begun.place(IfThere::Replace).unwrap().kept.unwrap();
    assert!(kept.exists());
    assert_eq!(ops(&to, id), 13);
    assert_whole(&to, id);
}

/// What a restore that was killed after it had added all ops left.
fn killed(to: &StoreManager, dir: &Path, copy: &Path, later: &[Vec<u8>]) {
    let mut begun = to.begin_restore_chain(copy, &[1; 32]).unwrap();
    begun.add(|store| ingest(store, later)).unwrap();
    let left = restoring(dir).remove(0);
    let aside = dir.join("aside");
    fs::create_dir(&aside).unwrap();
    fs::copy(left.join("state.db"), aside.join("state.db")).unwrap();
    drop(begun);
    fs::rename(aside, left).unwrap();
}

#[test]
fn a_killed_restore_is_continued_by_the_same_one_only() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (id, copy, later) = chain(one.path());
    let to = manager(two.path());
    killed(&to, two.path(), &copy, &later);
    to.clear_interrupted();
    let same = to.begin_restore_chain(&copy, &[1; 32]).unwrap();
    assert_eq!(same.ops(), 15);
    // Another process would work on the same directory.
    to.begin_restore_chain(&copy, &[1; 32]).unwrap_err();
    drop(same);
    killed(&to, two.path(), &copy, &later);
    let other = to.begin_restore_chain(&copy, &[2; 32]).unwrap();
    assert_eq!(other.ops(), 10);
    drop(other);
    // The removal of the store removes what the killed restore left.
    to.restore(&copy, IfThere::Refuse).unwrap();
    assert_eq!(restoring(two.path()).len(), 1);
    to.destroy(id).unwrap();
    assert_eq!(restoring(two.path()).len(), 0);
}

#[test]
fn a_store_says_which_ops_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let (live, id) = made(dir.path());
    let store = live.open(id, Access::ReadOnly).unwrap();
    let before = store.branch_tips().unwrap().tips;
    assert!(store.has_ops(&before).unwrap().iter().all(|has| *has));
    let empty = live
        .create(&crate::counter::COUNTER.parse().unwrap())
        .unwrap();
    let other = live.open(empty, Access::ReadOnly).unwrap();
    assert_eq!(other.branch_tips().unwrap(), BranchTips::default());
    assert!(!other.has_ops(&before).unwrap().iter().any(|has| *has));
}
