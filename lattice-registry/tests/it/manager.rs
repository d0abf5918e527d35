//! Creating, listing and peeking.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use lattice_backend::redb::RedbBackend;
use lattice_registry::{Access, ManagerError, ManagerOptions, StoreManager};

use crate::counter::{COUNTER, Counter, manager, options, registry};

/// Everything below a directory, with the bytes of its files.
pub(crate) fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    let mut dirs = vec![dir.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let bytes = if path.is_dir() {
                Vec::new()
            } else {
                fs::read(&path).unwrap()
            };
            if path.is_dir() {
                dirs.push(path.clone());
            }
            all.push((path.display().to_string(), bytes));
        }
    }
    all.sort();
    all
}

#[test]
fn a_new_store_is_one_file_under_its_id() {
    let dir = tempfile::tempdir().unwrap();
    let manager = manager(dir.path());
    let id = manager.create(&COUNTER.parse().unwrap()).unwrap();
    let meta = manager.peek(id).unwrap();
    assert_eq!((meta.store_id, meta.store_type.as_str()), (id, COUNTER));
    assert_eq!(meta.schema_version.get(), 3);
    assert!(meta.tips.is_empty());
    let names: Vec<_> = contents(dir.path())
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let stores = dir.path().join("stores");
    let expected = [
        dir.path().join("known.toml"),
        stores.clone(),
        stores.join(id.to_string()),
        manager.store_path(id),
    ];
    assert_eq!(names, expected.map(|path| path.display().to_string()));
}

#[test]
fn a_refused_store_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let unknown = manager(dir.path()).create(&"org.example.chat".parse().unwrap());
    assert!(matches!(unknown, Err(ManagerError::Resolve(_))));
    let backend = Arc::new(RedbBackend::on_files());
    let reader = StoreManager::new(dir.path(), backend, registry(), ManagerOptions::reader());
    let ownerless = reader.create(&COUNTER.parse().unwrap());
    assert!(matches!(ownerless, Err(ManagerError::NoIdentity)));
    assert_eq!(contents(dir.path()), []);

    // A file where the directory of stores should be.
    fs::write(dir.path().join("stores"), "in the way").unwrap();
    let blocked = manager(dir.path()).create(&COUNTER.parse().unwrap());
    assert!(
        matches!(blocked, Err(ManagerError::Files(_))),
        "{blocked:?}"
    );
    assert_eq!(contents(dir.path()).len(), 1);
}

#[test]
fn a_missing_store_is_its_own_error() {
    let dir = tempfile::tempdir().unwrap();
    let manager = manager(dir.path());
    let id = "00000000-0000-8000-8000-000000000000".parse().unwrap();
    assert!(matches!(
        manager.peek(id),
        Err(ManagerError::NoSuchStore { .. })
    ));
    assert!(matches!(
        manager.open(id, Access::ReadWrite),
        Err(ManagerError::NoSuchStore { .. })
    ));
    assert_eq!(contents(dir.path()), []);
}

#[test]
fn a_list_shows_damaged_stores_with_their_errors() {
    let dir = tempfile::tempdir().unwrap();
    let manager = manager(dir.path());
    assert!(manager.list().unwrap().is_empty());
    let ids = [(); 5].map(|()| manager.create(&COUNTER.parse().unwrap()).unwrap());
    let [whole, cut, garbage, empty, moved] = ids;

    let bytes = fs::read(manager.store_path(cut)).unwrap();
    fs::write(manager.store_path(cut), &bytes[..5000]).unwrap();
    fs::write(manager.store_path(garbage), vec![0xa5; 100_000]).unwrap();
    fs::write(manager.store_path(empty), "").unwrap();
    let wrong = "11111111-1111-8111-8111-111111111111";
    let stores = manager.stores_dir();
    fs::rename(stores.join(moved.to_string()), stores.join(wrong)).unwrap();
    fs::create_dir(stores.join("nothing-in-it")).unwrap();
    fs::write(stores.join("a-file"), "not a store").unwrap();

    let listed = manager.list().unwrap();
    assert_eq!(listed.len(), 6);
    for entry in listed {
        let name = entry.path.file_name().unwrap().to_str().unwrap().to_owned();
        let result = entry.meta.map(|meta| meta.store_id);
        let fits = match name.as_str() {
            name if name == whole.to_string() => matches!(result, Ok(id) if id == whole),
            name if name == wrong => matches!(result, Err(ManagerError::Misplaced { .. })),
            _ => matches!(result, Err(ManagerError::Peek(_))),
        };
        assert!(fits, "{name}: {result:?}");
    }
}

#[test]
fn a_copied_directory_opens_elsewhere_but_not_while_the_original_is_open() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, two) = (manager(here.path()), manager(there.path()));
    let id = one.create(&COUNTER.parse().unwrap()).unwrap();
    let store = one.open(id, Access::ReadWrite).unwrap();
    store.downcast_ref::<Counter>().unwrap().append(7).unwrap();
    let hash = store.state_hash().unwrap();
    one.close(id).unwrap();

    fs::create_dir_all(two.store_path(id).parent().unwrap()).unwrap();
    fs::copy(one.store_path(id), two.store_path(id)).unwrap();
    assert_eq!(
        two.open(id, Access::ReadWrite)
            .unwrap()
            .state_hash()
            .unwrap(),
        hash
    );

    let original = one.store_path(id);
    let elsewhere = two.open_path(&original, Access::ReadWrite);
    assert!(
        matches!(elsewhere, Err(ManagerError::OpenElsewhere { .. })),
        "{elsewhere:?}"
    );
    two.close(id).unwrap();
    two.open_path(&original, Access::ReadWrite).unwrap();
}

#[test]
fn caches_share_one_budget() {
    let dir = tempfile::tempdir().unwrap();
    let options = options().cache_budget_bytes(1 << 20);
    let backend = Arc::new(RedbBackend::on_files());
    let manager = StoreManager::new(dir.path(), backend, registry(), options);
    let ids: Vec<_> = (0..20)
        .map(|_| manager.create(&COUNTER.parse().unwrap()).unwrap())
        .collect();
    for round in 0..3 {
        for id in &ids {
            let store = manager.open(*id, Access::ReadWrite).unwrap();
            store
                .downcast_ref::<Counter>()
                .unwrap()
                .append(round)
                .unwrap();
        }
        manager.close_all().unwrap();
    }
    for id in &ids {
        assert_eq!(
            manager
                .open(*id, Access::ReadOnly)
                .unwrap()
                .op_count()
                .unwrap(),
            3
        );
    }
}

#[test]
fn many_managers_create_stores_in_one_directory_concurrently() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let manager = manager(dir.path());
                for _ in 0..25 {
                    manager.create(&COUNTER.parse().unwrap()).unwrap();
                }
            });
        }
    });
    let listed = manager(dir.path()).list().unwrap();
    assert_eq!(listed.len(), 200);
    assert!(listed.iter().all(|listed| listed.meta.is_ok()));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}
