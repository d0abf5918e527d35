//! A full verification finds every change of one row of stores of every type.

use std::path::Path;
use std::sync::Arc;

use lattice_backend::backend::{Access, MemoryBackend, OpenOptions, StateBackend};
use lattice_backend::conformance::{RowMap, create_of, mutations, rows_of};
use lattice_backend::engine::open::{LogicPolicy, OpenRequest};
use lattice_backend::redb::RedbBackend;
use lattice_meta::{StoreId, StoreType};
use lattice_node::{
    Depth, KvStore, ManagerOptions, ProgressSink, Registry, StoreHandle, StoreManager,
    core_registry,
};
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
fn assert_all_are_found(rows: &RowMap, registry: &Registry, least: usize) {
    assert!(!is_found(rows, registry));
    let all = mutations(rows);
    assert!(all.len() > least, "{} changes", all.len());
    let missed: Vec<_> = all
        .iter()
        .filter(|change| !is_found(&change.apply(rows), registry))
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
        assert_all_are_found(&read(&path), &core_registry().unwrap(), 1500);
    }
}

fn manager(dir: &Path, registry: Registry) -> StoreManager {
    let options = ManagerOptions::new(lattice_node::SecretKey::from_bytes(&[3; 32]));
    StoreManager::new(dir, Arc::new(RedbBackend::on_files()), registry, options)
}

/// Creates a store, lets `write` write to it, and returns its rows.
fn written(
    manager: &StoreManager,
    store_type: &StoreType,
    write: impl FnOnce(&dyn StoreHandle),
) -> (StoreId, RowMap) {
    let id = manager.create(store_type).unwrap();
    let store = manager.open(id, Access::ReadWrite).unwrap();
    write(&*store);
    drop(store);
    manager.close_all().unwrap();
    (id, read(&manager.store_path(id)))
}

#[test]
fn every_change_of_one_row_of_a_migrated_store_and_its_successor_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let manager = manager(dir.path(), core_registry().unwrap());
    let store_type = lattice_kvstore::store_type();
    let (id, rows) = written(&manager, &store_type, |store| {
        let kv = store.downcast_ref::<KvStore>().unwrap();
        kv.put("a", "1").unwrap();
        kv.put("b", vec![7; 2000]).unwrap();
        kv.delete("a").unwrap();
    });
    let registry = core_registry().unwrap();
    assert_all_are_found(&rows, &registry, 500);
    let migrated = manager.migrate(manager.store_path(id), &store_type);
    let successor = read(&manager.store_path(migrated.unwrap().store_id));
    assert_all_are_found(&successor, &registry, 500);
}

#[cfg(feature = "wasm")]
mod modules {
    //! The registry of releases, and a store whose code is a module.

    use lattice_backend::engine::Engine;
    use lattice_backend::machine::Value;
    use lattice_code::releases::{self, Publish, ReleaseStore, Withdraw};
    use lattice_meta::Cid;
    use lattice_registry::EngineOpener;
    use lattice_wasm::{Code, WasmMachine, guests};

    use super::*;

    /// Releases that conflict, one that is withdrawn, and no ops at all.
    #[test]
    fn every_change_of_one_row_of_a_registry_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let manager = manager(dir.path(), core_registry().unwrap());
        let store_type = releases::store_type();
        let registry = core_registry().unwrap();
        let (_, rows) = written(&manager, &store_type, |_| {});
        assert_all_are_found(&rows, &registry, 300);
        let (_, rows) = written(&manager, &store_type, |store| {
            let store = store.downcast_ref::<ReleaseStore>().unwrap();
            let modules = [guests::CHAT, guests::COUNTER, guests::LOGSTORE];
            let cids = modules.map(Cid::of);
            for (release, cid) in [(1, cids[0]), (2, cids[1]), (3, cids[2])] {
                let publish = Publish {
                    store_type: "org.example.chat".parse().unwrap(),
                    release,
                    cid,
                    length: 7000,
                    abi: 1,
                    schemas: (1, 1),
                    replaces: (release > 1).then_some(cids[0]),
                    notes: format!("Release {release}").repeat(20),
                };
                store.publish(&publish).unwrap();
            }
            let reason = "It loses messages.".to_owned();
            let withdraw = Withdraw {
                cid: cids[1],
                reason,
            };
            store.withdraw(&withdraw).unwrap();
        });
        assert_all_are_found(&rows, &registry, 900);
    }

    /// The code of the store is a module.
    #[test]
    fn every_change_of_one_row_of_a_store_of_a_module_is_found() {
        let code = Code::new(guests::CHAT).unwrap();
        let store_type = code.store_type().clone();
        let registry = || {
            let mut registry = core_registry().unwrap();
            let code = code.clone();
            let machine = move || WasmMachine::new(code.clone(), &[]).unwrap();
            let opener = EngineOpener::<Engine<WasmMachine>>::new(machine);
            registry.register(store_type.clone(), opener).unwrap();
            registry
        };
        let dir = tempfile::tempdir().unwrap();
        let (_, rows) = written(&manager(dir.path(), registry()), &store_type, |store| {
            for (room, text) in [
                ("tea", "one"),
                ("coffee", "two"),
                ("tea", &"x".repeat(2000)),
            ] {
                let text = ("text", Value::Text(text.into()));
                let args = [("room", Value::Text(room.into())), text];
                store.call("post", Value::record(args)).unwrap();
            }
        });
        assert_all_are_found(&rows, &registry(), 800);
    }
}
