//! Reading the history of stores without the code of their type, and upgrading stores.

use lattice_backend::backend::{OpenOptions, StateBackend, Table};
use lattice_backend::engine::verify::Depth;
use lattice_backend::machine::Value;
use lattice_backend::op::ApplyIndex;
use lattice_backend::progress::ProgressSink;
use lattice_backend::redb::RedbBackend;
use lattice_meta::{MetaKey, StoreId};
use lattice_registry::{Access, Registry, StoreManager};

use crate::counter::{COUNTER, Counter, manager, manager_of};

/// A counter with two ops, which records this logic and this schema.
fn written(logic: &str, schema: u64) -> (tempfile::TempDir, StoreManager, StoreId) {
    let dir = tempfile::tempdir().unwrap();
    let manager = manager(dir.path());
    let id = manager.create(&COUNTER.parse().unwrap()).unwrap();
    let store = manager.open(id, Access::ReadWrite).unwrap();
    let counter: &Counter = store.downcast_ref().unwrap();
    counter.append(1).unwrap();
    counter.append(2).unwrap();
    manager.close(id).unwrap();
    let options = OpenOptions::read_write();
    let path = manager.store_path(id);
    let db = RedbBackend::on_files().open(&path, &options).unwrap();
    let mut tx = db.begin_write().unwrap();
    tx.put(Table::System, b"logic", logic.as_bytes()).unwrap();
    let key = MetaKey::SchemaVersion.to_bytes();
    tx.put(Table::Meta, &key, &schema.to_le_bytes()).unwrap();
    tx.commit().unwrap().wait().unwrap();
    db.close().unwrap();
    (dir, manager, id)
}

#[test]
fn a_history_is_read_whatever_code_and_layout_the_store_has() {
    for (logic, schema) in [
        ("counter/1", 3),
        ("counter/0", 3),
        ("counter/1", 1),
        ("counter/9", 9),
        ("not a version", 3),
    ] {
        let (dir, manager, id) = written(logic, schema);
        let unknown = manager_of(dir.path(), Registry::new());
        for (manager, what) in [(&manager, "8 bytes"), (&unknown, "8 bytes")] {
            let history = manager.open_history(manager.store_path(id)).unwrap();
            assert_eq!(history.op_count().unwrap(), 2);
            let op = history.op_at(ApplyIndex::new(1)).unwrap().unwrap();
            assert_eq!(history.describe(&op), what);
            assert_eq!(history.frontier().unwrap(), [op.reference()]);
            assert_eq!(history.info().unwrap().schema_version.get(), schema);
            assert_eq!(history.methods(), []);
            assert!(history.call("add", Value::Null).is_err());
            for depth in [Depth::Quick, Depth::Full] {
                let backend = RedbBackend::on_files();
                let verified = history.verify(depth, &backend, &ProgressSink::none());
                assert!(verified.is_err(), "{verified:?}");
            }
        }
    }
}

#[test]
fn an_upgrade_says_what_it_proved() {
    let (_dir, manager, id) = written("counter/0", 3);
    assert!(manager.open(id, Access::ReadOnly).is_err());
    let done = manager.upgrade(manager.store_path(id), None).unwrap();
    assert_eq!(
        (done.recorded.as_deref(), &*done.logic, done.replayed),
        (Some("counter/0"), "counter/1", Some(2))
    );
    assert!(done.is_changed());
    let store = manager.open(id, Access::ReadOnly).unwrap();
    assert_eq!(store.state_hash().unwrap(), done.state_hash);
    manager.close(id).unwrap();
    let again = manager.upgrade(manager.store_path(id), None).unwrap();
    assert_eq!((again.is_changed(), again.replayed), (false, None));
}
