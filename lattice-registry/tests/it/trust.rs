//! Which stores a manager vouches for, and what it does with the others.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use lattice_backend::backend::Table;
use lattice_backend::backend::{OpenOptions, StateBackend};
use lattice_backend::engine::open::IfCopied;
use lattice_backend::engine::verify::Depth;
use lattice_backend::engine::write::AppendError;
use lattice_backend::redb::RedbBackend;
use lattice_meta::StoreId;
use lattice_registry::{
    Access, IfThere, IfUnverified, ManagerError, Registry, StoreManager, Vouched,
};

use crate::copies::{append, made, ops};
use crate::counter::{Counter, manager, manager_of, options, registry};

/// Adds a row that no history gives. The backend's checksums and the state hash are right; a full
/// verification finds it.
fn forge(file: &Path) {
    let db = RedbBackend::on_files().open(file, &OpenOptions::read_write());
    let db = db.unwrap();
    let mut tx = db.begin_write().unwrap();
    tx.put(Table::System, b"forged", b"row").unwrap();
    tx.commit().unwrap().wait().unwrap();
    db.close().unwrap();
}

/// A second data directory with a raw copy of a store, beside a store of its own.
fn with_raw_copy(dir: &Path) -> (StoreManager, StoreId) {
    let from = dir.join("from");
    let (one, id) = made(&from);
    one.close_all().unwrap();
    let to = dir.join("to");
    let (two, _) = made(&to);
    let place = two.store_path(id);
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    fs::copy(one.store_path(id), &place).unwrap();
    (two, id)
}

#[test]
fn a_store_that_is_not_known_is_verified_before_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (two, id) = with_raw_copy(dir.path());
    let file = two.store_path(id);
    assert!(!two.is_known(&file).unwrap());
    let listed = two.list().unwrap();
    let known: Vec<_> = listed.iter().filter(|it| it.is_known).collect();
    assert_eq!(known.len(), 1);
    // Its own store, also when the other one is known.
    let own = vec![known[0].meta.as_ref().unwrap().store_id];
    assert_eq!(two.created().unwrap(), own);
    // Reading changes nothing about that.
    assert_eq!(ops(&two, id), 10);
    assert!(!two.is_known(&file).unwrap());
    assert_eq!(two.ensure_known(&file).unwrap(), Vouched::Verified);
    assert_eq!(two.ensure_known(&file).unwrap(), Vouched::Known);
    assert_eq!(two.created().unwrap(), own);
    two.open(id, Access::ReadWrite).unwrap();
}

#[test]
fn a_forged_store_is_refused_and_trust_takes_it() {
    let dir = tempfile::tempdir().unwrap();
    let (mut two, id) = with_raw_copy(dir.path());
    let file = two.store_path(id);
    forge(&file);
    let before = fs::read(&file).unwrap();
    let target = dir.path().join("copy.db");
    for refused in [
        two.open(id, Access::ReadWrite).map(drop).unwrap_err(),
        two.backup(&file, &target).map(drop).unwrap_err(),
        two.ensure_known(&file).map(drop).unwrap_err(),
        two.restore(&file, IfThere::Replace).map(drop).unwrap_err(),
    ] {
        assert!(
            matches!(refused, ManagerError::Unsound { .. }),
            "{refused:?}"
        );
    }
    assert!(fs::read(&file).unwrap() == before && !target.exists());
    two.close_all().unwrap();
    two.set_unverified(IfUnverified::Trust);
    assert_eq!(two.ensure_known(&file).unwrap(), Vouched::Trusted);
    two.set_unverified(IfUnverified::Verify);
    two.open(id, Access::ReadWrite).unwrap();
}

#[test]
fn a_store_that_is_older_than_its_entry_is_verified_again() {
    let dir = tempfile::tempdir().unwrap();
    let (live, id) = made(dir.path());
    live.close_all().unwrap();
    let (file, old) = (live.store_path(id), dir.path().join("old"));
    fs::copy(&file, &old).unwrap();
    append(&live, id, 0..5);
    live.close_all().unwrap();
    live.verify_path(&file, Depth::Full).unwrap();
    assert_eq!(live.ensure_known(&file).unwrap(), Vouched::Known);
    fs::copy(&old, &file).unwrap();
    assert!(!live.is_known(&file).unwrap());
    assert_eq!(live.ensure_known(&file).unwrap(), Vouched::Verified);
    // It has come further than its new entry.
    append(&live, id, 0..1);
    live.close_all().unwrap();
    assert_eq!(live.ensure_known(&file).unwrap(), Vouched::Known);
}

#[test]
fn a_damaged_list_vouches_for_nothing_and_is_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let (live, id) = made(dir.path());
    live.close_all().unwrap();
    let (file, list) = (live.store_path(id), dir.path().join("known.toml"));
    assert!(live.is_known(&file).unwrap());
    fs::write(&list, [0xff; 100]).unwrap();
    assert!(!live.is_known(&file).unwrap());
    assert!(!live.list().unwrap()[0].is_known);
    assert_eq!(ops(&live, id), 10);
    live.close_all().unwrap();
    assert_eq!(live.ensure_known(&file).unwrap(), Vouched::Verified);
    assert!(live.is_known(&file).unwrap());
    assert!(fs::read_to_string(&list).unwrap().contains("verified"));
}

#[test]
fn a_store_without_code_cannot_be_verified() {
    let dir = tempfile::tempdir().unwrap();
    let (live, id) = made(&dir.path().join("live"));
    let copy = dir.path().join("copy.db");
    live.backup(live.store_path(id), &copy).unwrap();
    let mut other = manager_of(&dir.path().join("other"), Registry::new());
    let refused = other.restore(&copy, IfThere::Refuse).unwrap_err();
    let ManagerError::Unverifiable { path, source } = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(path, copy);
    assert!(matches!(*source, ManagerError::Resolve(_)), "{source:?}");
    other.set_unverified(IfUnverified::Trust);
    let restored = other.restore(&copy, IfThere::Refuse).unwrap();
    assert_eq!(
        (restored.meta.store_id, restored.vouched),
        (id, Vouched::Trusted)
    );
}

#[test]
fn a_restore_that_is_begun_and_dropped_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (live, id) = made(&dir.path().join("live"));
    let copy = dir.path().join("copy.db");
    live.backup(live.store_path(id), &copy).unwrap();
    let other = manager(&dir.path().join("other"));
    let restoring = other.begin_restore(&copy).unwrap();
    assert_eq!((restoring.ops(), restoring.meta().store_id), (10, id));
    assert!(!restoring.is_there());
    drop(restoring);
    assert!(!other.dir().exists());
}

#[test]
fn a_restored_store_refuses_its_author_until_the_manager_continues() {
    let dir = tempfile::tempdir().unwrap();
    let (mut live, id) = made(dir.path());
    let copy = dir.path().join("copy.db");
    live.backup(live.store_path(id), &copy).unwrap();
    live.restore(&copy, IfThere::Replace).unwrap();
    let store = live.open(id, Access::ReadWrite).unwrap();
    let refused = store
        .downcast_ref::<Counter>()
        .unwrap()
        .append(1)
        .unwrap_err();
    assert!(
        matches!(refused, AppendError::CopyUnconfirmed { .. }),
        "{refused:?}"
    );
    live.close_all().unwrap();
    live.set_continue_copy(IfCopied::Continue);
    let store = live.open(id, Access::ReadWrite).unwrap();
    store.downcast_ref::<Counter>().unwrap().append(1).unwrap();
    assert!(!store.is_unconfirmed_copy().unwrap());
    live.close_all().unwrap();
    let options = options().continue_copy(IfCopied::Continue);
    let backend = Arc::new(RedbBackend::on_files());
    live.restore(&copy, IfThere::Replace).unwrap();
    live.close_all().unwrap();
    let other = StoreManager::new(dir.path(), backend, registry(), options);
    let store = other.open(id, Access::ReadWrite).unwrap();
    store.downcast_ref::<Counter>().unwrap().append(1).unwrap();
}
