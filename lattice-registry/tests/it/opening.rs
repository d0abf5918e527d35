//! Opening and closing, from many threads and under many paths.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Barrier};

use lattice_backend::backend::{BackendError, FileError, PeekError, Sharing, StateBackend};
use lattice_backend::engine::Engine;
use lattice_backend::engine::open::OpenError;
use lattice_backend::engine::verify::Depth;
use lattice_backend::machine::Value;
use lattice_backend::redb::RedbBackend;
use lattice_meta::{MetaInfo, SchemaVersion, StoreId};
use lattice_registry::{Access, ManagerError, StoreHandle, StoreManager, TypedStore};

use crate::counter::{COUNTER, Counter, CounterMachine, manager, options, registry};
use crate::manager::contents;

fn created() -> (tempfile::TempDir, StoreManager, StoreId) {
    let dir = tempfile::tempdir().unwrap();
    let manager = manager(dir.path());
    let id = manager.create(&COUNTER.parse().unwrap()).unwrap();
    (dir, manager, id)
}

#[test]
fn sixteen_threads_get_one_instance() {
    let shared: fn(&Path) -> StoreManager = manager;
    for manager_of in [shared, exclusive] {
        let dir = tempfile::tempdir().unwrap();
        let manager = manager_of(dir.path());
        let id = manager.create(&COUNTER.parse().unwrap()).unwrap();
        for _ in 0..20 {
            let start = Barrier::new(16);
            let handles: Vec<Arc<dyn StoreHandle>> = std::thread::scope(|scope| {
                let open = || {
                    start.wait();
                    manager.open(id, Access::ReadWrite).unwrap()
                };
                let threads: Vec<_> = (0..16).map(|_| scope.spawn(open)).collect();
                threads
                    .into_iter()
                    .map(|thread| thread.join().unwrap())
                    .collect()
            });
            assert!(
                handles
                    .iter()
                    .all(|handle| Arc::ptr_eq(handle, &handles[0]))
            );
            manager.close(id).unwrap();
        }
    }
}

#[test]
fn a_store_is_called_by_name_and_downcast() {
    let (_dir, manager, id) = created();
    let store = manager.open(id, Access::ReadWrite).unwrap();
    assert_eq!(store.methods()[0].name, "add");
    let args = Value::record([("n", Value::Integer(40))]);
    let Value::Record(receipt) = store.call("add", args).unwrap() else {
        panic!("no record")
    };
    assert_eq!(receipt["seq"], Value::Integer(0));
    assert!(store.call("add", Value::Null).is_err());
    assert!(store.call("subtract", Value::Null).is_err());
    store.downcast_ref::<Counter>().unwrap().append(2).unwrap();
    assert_eq!(store.op_count().unwrap(), 2);
    assert_eq!(store.tips().unwrap().len(), 1);
    assert_eq!(store.frontier().unwrap().len(), 1);
    assert_eq!(store.branch_tips().unwrap().tips, store.frontier().unwrap());
}

#[test]
fn a_closed_store_is_released_at_once_and_its_handles_report_it() {
    let (_dir, manager, id) = created();
    let path = manager.store_path(id);
    for n in 0..50 {
        let store = manager.open(id, Access::ReadWrite).unwrap();
        let counter = store.downcast_ref::<Counter>().unwrap().clone();
        counter.append(n).unwrap();
        manager.close(id).unwrap();
        assert!(matches!(counter.op_count(), Err(BackendError::Closed)));
        assert!(counter.append(0).is_err());
        // Another owner gets the file without waiting.
        let request = lattice_backend::engine::open::OpenRequest::new(
            Arc::new(RedbBackend::on_files()),
            &path,
        );
        Engine::open(request, CounterMachine::new())
            .unwrap()
            .close()
            .unwrap();
    }
    // The manager also detects that a handle has closed its store itself.
    manager
        .open(id, Access::ReadWrite)
        .unwrap()
        .close()
        .unwrap();
    assert_eq!(
        manager
            .open(id, Access::ReadWrite)
            .unwrap()
            .op_count()
            .unwrap(),
        50
    );
}

#[test]
fn a_second_writer_takes_turns_with_the_first() {
    let (dir, manager, id) = created();
    let store = manager.open(id, Access::ReadWrite).unwrap();
    let other = crate::counter::manager(dir.path());
    let second = other.open(id, Access::ReadWrite).unwrap();
    for (writer, follower) in [(&store, &second), (&second, &store), (&store, &second)] {
        writer.downcast_ref::<Counter>().unwrap().append(1).unwrap();
        assert_eq!(follower.op_count().unwrap(), writer.op_count().unwrap());
    }
    other.close_all().unwrap();
    // The reader still works, and sees new writes.
    let reader = other.open(id, Access::ReadOnly).unwrap();
    store.downcast_ref::<Counter>().unwrap().append(1).unwrap();
    assert_eq!(reader.op_count().unwrap(), 4);
    assert!(reader.downcast_ref::<Counter>().unwrap().append(1).is_err());
}

#[test]
fn an_exclusive_store_opens_again_here_and_not_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let exclusive = options().sharing(Sharing::Exclusive);
    let backend: Arc<dyn StateBackend> = Arc::new(RedbBackend::on_files());
    let manager = StoreManager::new(dir.path(), backend, registry(), exclusive);
    let id = manager.create(&COUNTER.parse().unwrap()).unwrap();
    let store = manager.open(id, Access::ReadWrite).unwrap();
    assert!(Arc::ptr_eq(
        &store,
        &manager.open(id, Access::ReadOnly).unwrap()
    ));
    let other = crate::counter::manager(dir.path());
    assert!(other.peek(id).is_err());
    assert!(other.open(id, Access::ReadOnly).is_err());
}

/// Changes rows of a closed store; returns the error of opening it.
fn refusal(change: impl Fn(&mut dyn lattice_backend::backend::WriteTx)) -> ManagerError {
    use lattice_backend::backend::OpenOptions;
    let (dir, manager, id) = created();
    let backend = RedbBackend::on_files();
    let db = backend
        .open(&manager.store_path(id), &OpenOptions::read_write())
        .unwrap();
    let mut tx = db.begin_write().unwrap();
    change(&mut *tx);
    tx.commit().unwrap().wait().unwrap();
    db.close().unwrap();
    let before = contents(dir.path());
    let error = manager.open(id, Access::ReadWrite).unwrap_err();
    assert_eq!(contents(dir.path()), before, "a refusal changed something");
    error
}

#[test]
fn every_failed_check_of_an_open_changes_nothing() {
    use lattice_backend::backend::Table::{Data, Meta, System};
    let newer = refusal(|tx| {
        tx.put(Meta, b"schema_version", &9_u64.to_le_bytes())
            .unwrap()
    });
    let ManagerError::Open(OpenError::NewerSchema { newest, found, .. }) = newer else {
        panic!("{newer}")
    };
    assert_eq!(
        (newest, found),
        (SchemaVersion::new(3), SchemaVersion::new(9))
    );
    let older = refusal(|tx| {
        tx.put(Meta, b"schema_version", &2_u64.to_le_bytes())
            .unwrap()
    });
    assert!(matches!(
        older,
        ManagerError::Open(OpenError::OlderSchema { .. })
    ));
    let logic = refusal(|tx| {
        tx.put(System, b"logic", b"counter/0").unwrap();
        tx.put(Data, b"not", b"of this history").unwrap();
    });
    assert!(matches!(
        logic,
        ManagerError::Open(OpenError::LogicDiffers { .. })
    ));
    let unknown = refusal(|tx| tx.put(Meta, b"store_type", b"org.example.chat").unwrap());
    assert!(matches!(unknown, ManagerError::Resolve(_)));
    let id = refusal(|tx| tx.put(Meta, b"store_id", &[9; 16]).unwrap());
    assert!(matches!(id, ManagerError::Misplaced { .. }));
    let genesis = refusal(|tx| drop(tx.remove(System, b"genesis").unwrap()));
    assert!(matches!(
        genesis,
        ManagerError::Open(OpenError::NoGenesis { .. })
    ));
    let missing = refusal(|tx| drop(tx.remove(Meta, b"store_type").unwrap()));
    assert!(matches!(
        missing,
        ManagerError::Peek(lattice_backend::backend::PeekError::Meta { .. })
    ));
}

#[test]
fn a_swapped_type_is_found_even_if_the_other_type_is_registered() {
    let dir = tempfile::tempdir().unwrap();
    let mut two = registry();
    two.register(
        "org.example.other".parse().unwrap(),
        crate::counter::opener(),
    )
    .unwrap();
    let backend: Arc<dyn StateBackend> = Arc::new(RedbBackend::on_files());
    let manager = StoreManager::new(dir.path(), Arc::clone(&backend), two, options());
    let id = manager.create(&COUNTER.parse().unwrap()).unwrap();
    let options = lattice_backend::backend::OpenOptions::read_write();
    let db = backend.open(&manager.store_path(id), &options).unwrap();
    let mut tx = db.begin_write().unwrap();
    tx.put(
        lattice_backend::backend::Table::Meta,
        b"store_type",
        b"org.example.other",
    )
    .unwrap();
    tx.commit().unwrap().wait().unwrap();
    db.close().unwrap();
    let meta: MetaInfo = manager.peek(id).unwrap();
    assert_eq!(meta.store_type.as_str(), "org.example.other");
    let error = manager.open(id, Access::ReadWrite).unwrap_err();
    let swapped = matches!(
        error,
        ManagerError::Open(OpenError::TypeAgainstGenesis { .. })
    );
    assert!(swapped, "{error}");
    assert!(fs::exists(manager.store_path(id)).unwrap());
}

fn exclusive(dir: &Path) -> StoreManager {
    let options = options().sharing(Sharing::Exclusive);
    StoreManager::new(dir, Arc::new(RedbBackend::on_files()), registry(), options)
}

/// No other process can peek at a store in exclusive use; its own manager still answers.
#[test]
fn a_store_in_exclusive_use_can_be_used_through_its_own_manager() {
    let dir = tempfile::tempdir().unwrap();
    let (mine, other) = (exclusive(dir.path()), manager(dir.path()));
    let id = mine.create(&COUNTER.parse().unwrap()).unwrap();
    let store = mine.open(id, Access::ReadWrite).unwrap();
    store.downcast_ref::<Counter>().unwrap().append(7).unwrap();
    let in_use = other.peek(id).unwrap_err();
    assert!(
        matches!(
            &in_use,
            ManagerError::Peek(PeekError::File(FileError::InUse { .. }))
        ),
        "{in_use:?}"
    );
    assert_eq!(mine.peek(id).unwrap().tips.len(), 1);
    assert!(mine.list().unwrap()[0].meta.is_ok());
    let verified = mine.verify_path(mine.store_path(id), Depth::Full).unwrap();
    assert_eq!((verified.findings.len(), verified.ops), (0, 1));
    mine.rebuild(mine.store_path(id)).unwrap();
    assert_eq!(mine.peek(id).unwrap().tips.len(), 1);
}

/// A reader without remaining handles does not block a writer of the same manager.
#[test]
fn a_writer_does_not_wait_for_closed_readers() {
    let dir = tempfile::tempdir().unwrap();
    let mine = exclusive(dir.path());
    let id = mine.create(&COUNTER.parse().unwrap()).unwrap();
    let reader = mine.open(id, Access::ReadOnly).unwrap();
    let used = reader.downcast_ref::<Counter>().unwrap().clone();
    drop(reader);
    let refused = mine.open(id, Access::ReadWrite).unwrap_err();
    assert!(
        matches!(
            &refused,
            ManagerError::Open(OpenError::File(FileError::InUse { .. }))
        ),
        "{refused:?}"
    );
    assert_eq!(used.engine().op_count().unwrap(), 0, "it goes on reading");
    drop(used);
    let writer = mine.open(id, Access::ReadWrite).unwrap();
    writer.downcast_ref::<Counter>().unwrap().append(7).unwrap();
}
