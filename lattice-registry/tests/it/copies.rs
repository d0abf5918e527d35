//! Replicas, backups, restores and removal of stores.

use std::fs;
use std::path::Path;

use lattice_backend::backend::{BackendError, FileError};
use lattice_backend::engine::ingest::Authors;
use lattice_backend::engine::open::OpenError;
use lattice_backend::engine::verify::Depth;
use lattice_backend::op::BranchTips;
use lattice_meta::StoreId;
use lattice_registry::{Access, IfThere, ManagerError, StoreManager, TypedStore};

use crate::counter::{COUNTER, Counter, impatient, long_work, manager};
use crate::manager::contents;

pub(crate) fn append(manager: &StoreManager, id: StoreId, values: std::ops::Range<u64>) {
    let store = manager.open(id, Access::ReadWrite).unwrap();
    let counter = store.downcast_ref::<Counter>().unwrap();
    for value in values {
        counter.append(value).unwrap();
    }
}

pub(crate) fn ops(manager: &StoreManager, id: StoreId) -> u64 {
    let store = manager.open(id, Access::ReadOnly).unwrap();
    store.op_count().unwrap()
}

pub(crate) fn assert_whole(manager: &StoreManager, id: StoreId) {
    let verified = manager.verify_path(manager.store_path(id), Depth::Full);
    assert_eq!(verified.unwrap().findings, []);
}

pub(crate) fn made(dir: &Path) -> (StoreManager, StoreId) {
    let manager = manager(dir);
    let id = manager.create(&COUNTER.parse().unwrap()).unwrap();
    append(&manager, id, 0..10);
    (manager, id)
}

#[test]
fn a_replica_starts_from_the_genesis_and_ingests_the_ops() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (from, id) = made(one.path());
    let to = manager(two.path());
    let source = from.open(id, Access::ReadOnly).unwrap();
    assert_eq!(to.create_replica(source.genesis()).unwrap(), id);
    assert_eq!(fs::read_dir(two.path()).unwrap().count(), 2);
    let again = to.create_replica(source.genesis()).unwrap_err();
    assert!(matches!(again, ManagerError::StoreExists { store_id } if store_id == id));
    let replica = to.open(id, Access::ReadWrite).unwrap();
    assert_eq!(replica.op_count().unwrap(), 0);
    let all = source.ops_after(&BranchTips::default()).unwrap();
    let report = replica.ingest(&mut all.map(|op| Ok(op?)), &Authors::Any);
    assert_eq!(report.unwrap().applied(), 10);
    assert_eq!(replica.state_hash().unwrap(), source.state_hash().unwrap());
    assert_whole(&to, id);
}

#[test]
fn a_backup_of_a_store_in_use_is_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let (live, id) = made(dir.path());
    let copy = dir.path().join("copy.db");
    // Open for writing here, and another manager copies it while ops arrive.
    let writer = live.open(id, Access::ReadWrite).unwrap();
    let counter = writer.downcast_ref::<Counter>().unwrap();
    let other = manager(dir.path());
    std::thread::scope(|threads| {
        let backup = threads.spawn(|| other.backup(other.store_path(id), &copy).unwrap());
        for value in 0..50 {
            counter.append(value).unwrap();
        }
        assert_eq!(backup.join().unwrap().store_id, id);
    });
    let verified = other.verify_path(&copy, Depth::Full).unwrap();
    assert_eq!(verified.findings, []);
    assert!((10..=60).contains(&verified.ops), "{}", verified.ops);
    let again = other.backup(other.store_path(id), &copy).unwrap_err();
    assert!(
        matches!(&again, ManagerError::Create(FileError::Exists { .. })),
        "{again:?}"
    );
}

#[test]
fn a_backup_has_no_unused_space() {
    let dir = tempfile::tempdir().unwrap();
    let (live, id) = made(dir.path());
    append(&live, id, 0..500);
    live.close_all().unwrap();
    let copy = dir.path().join("copy.db");
    live.backup(live.store_path(id), &copy).unwrap();
    let bytes = |path: &Path| fs::metadata(path).unwrap().len();
    assert!(bytes(&copy) < bytes(&live.store_path(id)));
}

#[test]
fn a_restore_replaces_a_store_only_when_asked_and_keeps_the_old_file() {
    let dir = tempfile::tempdir().unwrap();
    let (live, id) = made(dir.path());
    let copy = dir.path().join("copy.db");
    live.backup(live.store_path(id), &copy).unwrap();
    append(&live, id, 0..5);
    let refused = live.restore(&copy, IfThere::Refuse).unwrap_err();
    assert!(matches!(refused, ManagerError::StoreExists { store_id } if store_id == id));
    assert_eq!(ops(&live, id), 15);
    let restored = live.restore(&copy, IfThere::Replace).unwrap();
    assert_eq!(ops(&live, id), 10);
    assert_whole(&live, id);
    let kept = live
        .store_path(id)
        .with_file_name("state.db.before-restore-1");
    assert_eq!(restored.kept.as_ref(), Some(&kept));
    let old = live.verify_path(&kept, Depth::Full).unwrap();
    assert_eq!((old.ops, old.findings), (15, vec![]));
    // Where the store does not exist, the restore creates it.
    live.close_all().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let other = manager(elsewhere.path());
    other.restore(&copy, IfThere::Refuse).unwrap();
    assert_eq!(ops(&other, id), 10);
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 2);
    // A file that is not a store is not restored, and leaves no files.
    fs::write(&copy, b"something else").unwrap();
    let before = contents(elsewhere.path());
    other.close_all().unwrap();
    let refused = other.restore(&copy, IfThere::Replace).unwrap_err();
    assert!(matches!(refused, ManagerError::Peek(_)), "{refused:?}");
    assert_eq!(contents(elsewhere.path()), before);
}

#[test]
fn a_damaged_store_can_be_replaced_by_its_copy() {
    let dir = tempfile::tempdir().unwrap();
    let (live, id) = made(dir.path());
    let copy = dir.path().join("copy.db");
    live.backup(live.store_path(id), &copy).unwrap();
    live.close_all().unwrap();
    fs::write(live.store_path(id), b"rust in the disk").unwrap();
    live.restore(&copy, IfThere::Replace).unwrap();
    assert_whole(&live, id);
}

#[test]
fn a_store_with_a_writer_is_neither_replaced_nor_removed() {
    let dir = tempfile::tempdir().unwrap();
    let (live, id) = made(dir.path());
    let copy = dir.path().join("copy.db");
    live.backup(live.store_path(id), &copy).unwrap();
    live.close_all().unwrap();
    let writer = long_work(&live.store_path(id));
    let other = impatient(dir.path());
    let in_use = |result: Result<(), ManagerError>| {
        let error = result.unwrap_err();
        assert!(
            matches!(
                error,
                ManagerError::Open(OpenError::File(FileError::InUse { .. }))
            ),
            "{error:?}"
        );
    };
    in_use(other.restore(&copy, IfThere::Replace).map(drop));
    in_use(other.destroy(id).map(drop));
    writer.close().unwrap();
    assert_eq!(ops(&live, id), 10);
    append(&live, id, 0..1);
    assert_whole(&live, id);
}

#[test]
fn removing_a_store_removes_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (live, id) = made(dir.path());
    let other = live.create(&COUNTER.parse().unwrap()).unwrap();
    live.destroy(id).unwrap();
    let missing = live.destroy(id).unwrap_err();
    assert!(matches!(missing, ManagerError::NoSuchStore { .. }));
    assert_eq!(live.list().unwrap().len(), 1);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    // Removes a damaged store, too.
    live.close_all().unwrap();
    fs::write(live.store_path(other), b"").unwrap();
    live.destroy(other).unwrap();
    assert_eq!(fs::read_dir(live.stores_dir()).unwrap().count(), 0);
}

#[test]
fn a_store_is_compacted_unless_it_has_readers() {
    let dir = tempfile::tempdir().unwrap();
    let (manager, id) = made(dir.path());
    append(&manager, id, 0..300);
    let open = manager.open(id, Access::ReadWrite).unwrap();
    let counter = open.downcast_ref::<Counter>().unwrap();
    let view = counter.engine().snapshot().unwrap();
    let hash = view.state_hash().unwrap();
    let is_read = |refused: &ManagerError| {
        matches!(
            refused,
            ManagerError::Compact {
                source: BackendError::SnapshotsLive,
                ..
            }
        )
    };
    let refused = manager.compact(manager.store_path(id)).unwrap_err();
    assert!(is_read(&refused), "{refused:?}");
    assert!(open.is_usable(), "a refusal breaks nothing");
    drop(view);
    // A second manager, which could be in another process.
    let other = self::manager(dir.path());
    let reader = other.open(id, Access::ReadOnly).unwrap();
    let reader = reader.downcast_ref::<Counter>().unwrap();
    let view = reader.engine().snapshot().unwrap();
    let refused = manager.compact(manager.store_path(id)).unwrap_err();
    assert!(is_read(&refused), "{refused:?}");
    drop(view);
    let compacted = manager.compact(manager.store_path(id)).unwrap();
    assert_eq!(compacted.store_id, id);
    assert!(
        compacted.after_bytes < compacted.before_bytes,
        "{compacted:?}"
    );
    append(&manager, id, 0..1);
    assert_eq!(reader.engine().op_count().unwrap(), 311);
    // Handles that are idle do not prevent it, and are not disturbed.
    other.compact(other.store_path(id)).unwrap();
    append(&manager, id, 0..1);
    assert_eq!(reader.engine().op_count().unwrap(), 312);
    manager.close_all().unwrap();
    other.close_all().unwrap();
    other.compact(other.store_path(id)).unwrap();
    let after = other.open(id, Access::ReadOnly).unwrap();
    // The op appended above adds zero to the sum.
    assert_eq!(after.state_hash().unwrap(), hash);
    assert_whole(&other, id);
}
