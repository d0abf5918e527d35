//! Verification and rebuilds through a manager.

use std::fs;
use std::path::Path;
use std::time::Duration;

use lattice_backend::backend::{
    BackendError, FileError, OpenOptions, StateBackend, Table, WriteTx,
};
use lattice_backend::engine::open::OpenError;
use lattice_backend::engine::verify::{Depth, Finding};
use lattice_backend::redb::RedbBackend;
use lattice_meta::{StoreId, StoreType};
use lattice_registry::{Access, ManagerError, Registry, StoreManager};

use crate::counter::{COUNTER, Counter, manager, manager_of};
use crate::manager::contents;
use crate::migrating::migrating;
use crate::registry::Partial;
pub(crate) fn counter() -> StoreType {
    COUNTER.parse().unwrap()
}

/// A store with ten ops.
pub(crate) fn filled(manager: &StoreManager) -> StoreId {
    let id = manager.create(&counter()).unwrap();
    let store = manager.open(id, Access::ReadWrite).unwrap();
    let store = store.downcast_ref::<Counter>().unwrap();
    for n in 1..=10 {
        store.append(n).unwrap();
    }
    manager.close(id).unwrap();
    id
}

pub(crate) fn edit(path: &Path, edit: impl Fn(&mut dyn lattice_backend::backend::WriteTx)) {
    let db = RedbBackend::on_files()
        .open(path, &OpenOptions::read_write())
        .unwrap();
    let mut tx = db.begin_write().unwrap();
    edit(&mut *tx);
    tx.commit().unwrap().wait().unwrap();
    db.close().unwrap();
}

#[test]
fn a_store_is_verified_while_other_handles_have_it_open() {
    let dir = tempfile::tempdir().unwrap();
    let manager = manager(dir.path());
    let id = filled(&manager);
    let path = manager.store_path(id);
    let stores = dir.path().join("stores");
    let before = contents(&stores);
    let verify = |depth| manager.verify_path(&path, depth).unwrap();
    assert_eq!(verify(Depth::Full).findings, []);
    assert!(contents(&stores) == before, "it changed a byte");
    let writer = manager.open(id, Access::ReadWrite).unwrap();
    assert_eq!(verify(Depth::Full).findings, []);
    assert_eq!(verify(Depth::Quick).ops, 10);
    // The open instance stays open.
    assert!(writer.is_usable());
    manager.close(id).unwrap();
    edit(&path, |tx| tx.put(Table::Data, b"more", b"row").unwrap());
    for depth in [Depth::Quick, Depth::Full] {
        let findings = verify(depth).findings;
        assert!(
            findings
                .iter()
                .any(|finding| finding.kind() == "state_hash"),
            "{findings:?}"
        );
    }
    edit(&path, |tx| {
        tx.put(Table::System, b"frontier/short", b"").unwrap()
    });
    let findings = verify(Depth::Full).findings;
    assert!(
        findings
            .iter()
            .any(|finding| matches!(finding, Finding::UnknownRow { .. })),
        "{findings:?}"
    );
}

#[test]
fn a_rebuild_keeps_the_old_file_and_repairs_the_computed_rows() {
    let dir = tempfile::tempdir().unwrap();
    let manager = manager(dir.path());
    let id = filled(&manager);
    let path = manager.store_path(id);
    let open = || manager.open(id, Access::ReadOnly).unwrap();
    let hash = open().state_hash().unwrap();
    manager.close(id).unwrap();
    edit(&path, |tx| {
        tx.put(Table::Data, b"more", b"row").unwrap();
        tx.put(Table::System, b"frontier/short", &[0; 8]).unwrap();
    });
    let old = fs::read(&path).unwrap();
    assert!(manager.open(id, Access::ReadWrite).is_err());
    let rebuilt = manager.rebuild(&path).unwrap();
    assert_eq!(
        (rebuilt.store_id, rebuilt.ops, rebuilt.after),
        (id, 10, hash)
    );
    assert_eq!(
        manager.verify_path(&path, Depth::Full).unwrap().findings,
        []
    );
    assert_eq!(open().state_hash().unwrap(), hash);
    manager.close(id).unwrap();
    // The old file is still there, and still damaged.
    let kept = fs::read(&rebuilt.kept).unwrap();
    assert_eq!(kept.len(), old.len());
    let findings = manager
        .verify_path(&rebuilt.kept, Depth::Quick)
        .unwrap()
        .findings;
    assert_eq!(findings.len(), 1);
    // A second rebuild keeps its old file beside the first one.
    let again = manager.rebuild(&path).unwrap();
    assert_ne!(again.kept, rebuilt.kept);
    // The store, the lock file of its writers, and the two.
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 4);
}

#[test]
fn a_store_that_cannot_be_rebuilt_is_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    let manager = manager(dir.path());
    let id = filled(&manager);
    let path = manager.store_path(id);
    edit(&path, |tx| {
        tx.remove(Table::Ops, &5_u64.to_be_bytes())
            .unwrap()
            .unwrap();
    });
    let refused = manager.rebuild(&path).unwrap_err();
    assert!(
        matches!(refused, ManagerError::Open(OpenError::History { .. })),
        "{refused:?}"
    );
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 2);
    // Not every opener can rebuild.
    let mut registry = Registry::new();
    registry.register(counter(), Partial::new()).unwrap();
    let partial = manager_of(dir.path(), registry);
    let refused = partial.rebuild(&path).unwrap_err();
    assert!(
        matches!(refused, ManagerError::Open(OpenError::NoRebuild { .. })),
        "{refused:?}"
    );
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 2);
}

/// Changes rows of a closed store, bypassing its logic.
pub(crate) fn tamper(path: &Path, change: &mut dyn FnMut(&mut dyn WriteTx)) {
    let backend = RedbBackend::on_files();
    let db = backend.open(path, &OpenOptions::read_write()).unwrap();
    let mut tx = db.begin_write().unwrap();
    change(&mut *tx);
    tx.commit().unwrap().wait().unwrap();
    db.close().unwrap();
}

#[test]
fn a_rebuild_keeps_uncounted_ops() {
    let dir = tempfile::tempdir().unwrap();
    let (manager, _) = migrating(dir.path());
    let id = filled(&manager);
    manager.close_all().unwrap();
    let path = manager.store_path(id);
    tamper(&path, &mut |tx| {
        let mut ledger = tx.get(Table::System, b"ledger").unwrap().unwrap();
        ledger[0] -= 3;
        tx.put(Table::System, b"ledger", &ledger).unwrap();
    });
    let before = contents(path.parent().unwrap());
    let refused = manager.rebuild(&path).unwrap_err();
    assert!(
        matches!(refused, ManagerError::Open(OpenError::History { .. })),
        "{refused:?}"
    );
    assert_eq!(contents(path.parent().unwrap()).len(), before.len());
}

#[test]
fn concurrent_rebuilds_lose_nothing_and_readers_notice() {
    let dir = tempfile::tempdir().unwrap();
    let (manager, _) = migrating(dir.path());
    let id = filled(&manager);
    let ops = manager
        .open(id, Access::ReadOnly)
        .unwrap()
        .op_count()
        .unwrap();
    manager.close_all().unwrap();
    let path = manager.store_path(id);
    let (other, _) = migrating(dir.path());
    let reader = other.open(id, Access::ReadOnly).unwrap();
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                let (manager, _) = migrating(dir.path());
                match manager.rebuild(&path) {
                    Ok(_) | Err(ManagerError::Open(OpenError::File(FileError::InUse { .. }))) => {}
                    Err(error) => panic!("{error:?}"),
                }
            });
        }
    });
    let noticed = reader.wait_for_ops(ops, Duration::from_secs(60));
    assert!(
        matches!(noticed, Err(BackendError::Replaced)),
        "{noticed:?}"
    );
    let verified = manager.verify_path(&path, Depth::Full).unwrap();
    assert_eq!((verified.ops, verified.findings), (ops, vec![]));
    // No file has two names, and none is left incomplete.
    for entry in fs::read_dir(path.parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        assert!(!entry.path().ends_with("state.db.rebuilding"));
        #[cfg(unix)]
        assert_eq!(
            std::os::unix::fs::MetadataExt::nlink(&entry.metadata().unwrap()),
            1
        );
    }
}
