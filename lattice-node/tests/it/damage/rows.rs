//! A full verification finds every change of one row of stores of every type.

use std::path::Path;
use std::sync::Arc;

use lattice_backend::backend::{Access, BackendError, MemoryBackend, OpenOptions, StateBackend};
use lattice_backend::conformance::{RowMap, create_of, mutations, rows_of};
use lattice_backend::engine::open::{LogicPolicy, OpenRequest};
use lattice_backend::redb::RedbBackend;
use lattice_node::{Depth, ManagerOptions, ProgressSink, Registry, StoreManager, core_registry};
use lattice_registry::Peeked;

use super::stores::Kind;

fn read(path: &Path) -> RowMap {
    let db = RedbBackend::on_files()
        .open(path, &OpenOptions::read_only())
        .unwrap();
    let rows = rows_of(&*db.snapshot().unwrap());
    db.close().unwrap();
    rows.unwrap()
}

/// Whether opening or verifying a store with these rows reports something.
fn is_found(rows: &RowMap, registry: &Registry) -> bool {
    let (backend, path) = (Arc::new(MemoryBackend::new()), Path::new("state.db"));
    create_of(&*backend, path, rows).unwrap();
    let Ok(peek) = backend.peek(path) else {
        return true;
    };
    let Ok(opener) = registry.resolve(&peek) else {
        return true;
    };
    let request = OpenRequest::new(backend.clone(), path)
        .access(Access::ReadOnly)
        .logic(LogicPolicy::Trust);
    let Ok(store) = opener.open(Peeked { peek, request }) else {
        return true;
    };
    let verified = store.verify(Depth::Full, &*backend, &ProgressSink::none());
    verified.map_or(true, |verified| !verified.is_ok())
}

#[track_caller]
fn assert_all_are_found(rows: &RowMap, least: usize) {
    let registry = core_registry().unwrap();
    assert!(!is_found(rows, &registry));
    let all = mutations(rows);
    assert!(all.len() > least, "{} changes", all.len());
    let missed: Vec<_> = all
        .iter()
        .filter(|change| !is_found(&change.apply(rows), &registry))
        .map(|change| {
            let key = change.key.escape_ascii();
            format!("{}: `{}` {key}", change.what, change.table)
        })
        .collect();
    assert!(missed.is_empty(), "missed:\n{}", missed.join("\n"));
}

/// Forks, merges, long values, ops of two authors.
#[test]
fn every_change_of_one_row_of_a_built_in_store_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    for kind in [Kind::Kv, Kind::Log] {
        let [_, bytes] = kind.make_smaller(6);
        std::fs::write(&path, bytes).unwrap();
        assert_all_are_found(&read(&path), 1500);
    }
}

/// A migrated store and its successor, and a registry of releases.
#[test]
fn every_change_of_one_row_of_a_small_store_is_found() -> Result<(), BackendError> {
    let dir = tempfile::tempdir().unwrap();
    let secret = lattice_node::SecretKey::from_bytes(&[3; 32]);
    let backend = Arc::new(RedbBackend::on_files());
    let registry = core_registry().unwrap();
    let options = ManagerOptions::new(secret);
    let manager = StoreManager::new(dir.path(), backend, registry, options);
    let id = manager.create(&lattice_kvstore::store_type()).unwrap();
    let store = manager.open(id, Access::ReadWrite).unwrap();
    let kv = store.downcast_ref::<lattice_node::KvStore>().unwrap();
    kv.put("a", "1").unwrap();
    kv.put("b", vec![7; 2000]).unwrap();
    kv.delete("a").unwrap();
    drop(store);
    manager.close_all().unwrap();
    assert_all_are_found(&read(&manager.store_path(id)), 500);
    let migrated = manager
        .migrate(manager.store_path(id), &lattice_kvstore::store_type())
        .unwrap();
    assert_all_are_found(&read(&manager.store_path(migrated.store_id)), 500);
    let registry = manager
        .create(&lattice_code::releases::store_type())
        .unwrap();
    assert_all_are_found(&read(&manager.store_path(registry)), 300);
    Ok(())
}
