//! Verifying, rebuilding and migrating through a manager.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lattice_backend::{
    BackendError, Cause, Depth, Direction, EVERYTHING, FileError, Finding, OpenError, OpenOptions,
    RedbBackend, StateBackend, Table, Value, Verdict, WriteTx,
};
use lattice_meta::{StoreId, StoreType};
use lattice_registry::{
    Access, Calls, ManagerError, RegisterError, Registry, ResolveError, StoreHandle, StoreManager,
};

use crate::counter::{COUNTER, Counter, manager, options, registry};
use crate::manager::contents;
use crate::registry::open_counter;

fn counter() -> StoreType {
    COUNTER.parse().unwrap()
}

/// A store with ten ops.
fn filled(manager: &StoreManager) -> StoreId {
    let id = manager.create(&counter()).unwrap();
    let store = manager.open(id, Access::ReadWrite).unwrap();
    let store = store.downcast_ref::<Counter>().unwrap();
    for n in 1..=10 {
        store.append(n).unwrap();
    }
    manager.close(id).unwrap();
    id
}

/// Feeds 1 to 10 to the new store, and ends with an error before call `stop`.
fn feeding(stop: Arc<AtomicU64>) -> impl Fn(&dyn StoreHandle) -> Result<Calls, Cause> {
    move |old| {
        assert_eq!(old.access(), Access::ReadOnly);
        let stop = stop.load(Ordering::SeqCst);
        Ok(Box::new((1..=10_u64).map(move |n| match n == stop {
            true => Err("told to stop".into()),
            false => Ok(("add", Value::record([("n", n.into())]))),
        })))
    }
}

/// A manager whose counters can become counters, and where the next time is to end early.
fn migrating(dir: &Path) -> (StoreManager, Arc<AtomicU64>) {
    let (mut registry, stop) = (registry(), Arc::new(AtomicU64::new(0)));
    let migration = feeding(Arc::clone(&stop));
    registry
        .register_migration(counter(), counter(), migration)
        .unwrap();
    let backend = Arc::new(RedbBackend::on_files());
    (StoreManager::new(dir, backend, registry, options()), stop)
}

fn edit(path: &Path, edit: impl Fn(&mut dyn lattice_backend::WriteTx)) {
    let db = RedbBackend::on_files()
        .open(path, &OpenOptions::read_write())
        .unwrap();
    db.write(&mut |tx| {
        edit(tx);
        Ok(Verdict::Commit)
    })
    .unwrap();
    db.close().unwrap();
}

#[test]
fn a_store_is_verified_whoever_has_it_open() {
    let dir = tempfile::tempdir().unwrap();
    let manager = manager(dir.path());
    let id = filled(&manager);
    let path = manager.store_path(id);
    let before = contents(dir.path());
    let verify = |depth| manager.verify_path(&path, depth).unwrap();
    assert_eq!(verify(Depth::Full).findings, []);
    assert!(contents(dir.path()) == before, "it changed a byte");
    let writer = manager.open(id, Access::ReadWrite).unwrap();
    assert_eq!(verify(Depth::Full).findings, []);
    assert_eq!(verify(Depth::Quick).ops, 10);
    // The instance that is open stays so.
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
fn a_rebuild_keeps_the_old_file_and_mends_what_is_computed() {
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
    // The old one is still there, and still damaged.
    let kept = fs::read(&rebuilt.kept).unwrap();
    assert_eq!(kept.len(), old.len());
    let findings = manager
        .verify_path(&rebuilt.kept, Depth::Quick)
        .unwrap()
        .findings;
    assert_eq!(findings.len(), 1);
    // Once more: it is kept beside the first.
    let again = manager.rebuild(&path).unwrap();
    assert_ne!(again.kept, rebuilt.kept);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 3);
}

#[test]
fn what_cannot_be_rebuilt_stays_as_it_was() {
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
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    // An opener that is a closure cannot.
    let mut registry = Registry::new();
    registry.register(counter(), open_counter).unwrap();
    let backend = Arc::new(RedbBackend::on_files());
    let closure = StoreManager::new(dir.path(), backend, registry, options());
    let refused = closure.rebuild(&path).unwrap_err();
    assert!(
        matches!(refused, ManagerError::Open(OpenError::Unsupported { .. })),
        "{refused:?}"
    );
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn a_migrated_store_is_a_new_one_that_names_the_old() {
    let dir = tempfile::tempdir().unwrap();
    let (manager, _) = migrating(dir.path());
    let id = filled(&manager);
    let old = contents(&dir.path().join("stores"));
    let migrated = manager.migrate(manager.store_path(id), &counter()).unwrap();
    assert_eq!((migrated.from, migrated.ops), (id, 10));
    assert_ne!(migrated.store_id, id);
    let new = manager.open(migrated.store_id, Access::ReadOnly).unwrap();
    assert_eq!(
        new.genesis().migrated_from(),
        Some((id, migrated.state_hash))
    );
    let from = manager.open(id, Access::ReadOnly).unwrap();
    assert_eq!(from.state_hash().unwrap(), migrated.state_hash);
    manager.close_all().unwrap();
    let now = contents(&dir.path().join("stores"));
    assert!(
        old.iter().all(|file| now.contains(file)),
        "the old store changed"
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    // Of one state, each time another store is made.
    let again = manager.migrate(manager.store_path(id), &counter()).unwrap();
    assert_ne!(again.store_id, migrated.store_id);
    assert_eq!(
        manager
            .verify_path(manager.store_path(again.store_id), Depth::Full)
            .unwrap()
            .findings,
        []
    );
}

#[test]
fn a_failed_migration_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (manager, stop) = migrating(dir.path());
    let id = filled(&manager);
    stop.store(4, Ordering::SeqCst);
    let ended = manager.migrate(manager.store_path(id), &counter());
    assert!(
        matches!(ended, Err(ManagerError::Migrate { store_id, .. }) if store_id == id),
        "{ended:?}"
    );
    assert_eq!(manager.list().unwrap().len(), 1);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

/// What a migration leaves in its directory that is killed before its fourth call: the files as they
/// are then.
fn killed(dir: &Path, id: StoreId) -> Vec<u8> {
    let file = building(dir, id).join("state.db");
    let saved = Arc::new(std::sync::Mutex::new(Vec::new()));
    let save = Arc::clone(&saved);
    let mut registry = registry();
    registry
        .register_migration(
            counter(),
            counter(),
            move |_: &dyn StoreHandle| -> Result<Calls, Cause> {
                let (file, save) = (file.clone(), Arc::clone(&save));
                Ok(Box::new((1..=4_u64).map(move |n| match n {
                    4 => {
                        *save.lock().unwrap() = fs::read(&file).unwrap();
                        Err("killed".into())
                    }
                    n => Ok(("add", Value::record([("n", n.into())]))),
                })))
            },
        )
        .unwrap();
    let backend = Arc::new(RedbBackend::on_files());
    let manager = StoreManager::new(dir, backend, registry, options());
    manager
        .migrate(manager.store_path(id), &counter())
        .unwrap_err();
    let saved = saved.lock().unwrap();
    saved.clone()
}

fn building(dir: &Path, id: StoreId) -> std::path::PathBuf {
    dir.join(format!("migrating-{id}-{}", COUNTER.replace(':', "+")))
}

#[test]
fn a_killed_migration_goes_on_or_starts_over() {
    let dir = tempfile::tempdir().unwrap();
    let (manager, _) = migrating(dir.path());
    let id = filled(&manager);
    let path = manager.store_path(id);
    let left = killed(dir.path(), id);
    let migrate_over = |left: &[u8]| {
        let building = building(dir.path(), id);
        fs::create_dir(&building).unwrap();
        fs::write(building.join("state.db"), left).unwrap();
        fs::write(format!("{}.lock", building.display()), b"").unwrap();
        let migrated = manager.migrate(&path, &counter()).unwrap();
        let new = manager.store_path(migrated.store_id);
        assert_eq!(manager.verify_path(new, Depth::Full).unwrap().findings, []);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        (migrated.ops, migrated.resumed)
    };
    assert_eq!(migrate_over(&left), (10, 3));
    // What was cut before it was a store is of no use,
    assert_eq!(migrate_over(b"torn"), (10, 0));
    // and neither is what was made of another state.
    manager.close(id).unwrap();
    let writer = manager.open(id, Access::ReadWrite).unwrap();
    writer.downcast_ref::<Counter>().unwrap().append(1).unwrap();
    manager.close(id).unwrap();
    let left_again = killed(dir.path(), id);
    assert_eq!(migrate_over(&left), (10, 0));
    assert_eq!(migrate_over(&left_again), (10, 3));
}

#[test]
fn two_migrations_at_once_do_not_meet() {
    let dir = tempfile::tempdir().unwrap();
    let (manager, _) = migrating(dir.path());
    let id = filled(&manager);
    let path = manager.store_path(id);
    let outcomes: Vec<_> = std::thread::scope(|threads| {
        let one = || {
            let (manager, _) = migrating(dir.path());
            manager.migrate(&path, &counter())
        };
        let running: Vec<_> = (0..8).map(|_| threads.spawn(one)).collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let mut made = 0;
    for outcome in outcomes {
        match outcome {
            Ok(migrated) => {
                made += 1;
                let path = manager.store_path(migrated.store_id);
                let verified = manager.verify_path(path, Depth::Full).unwrap();
                assert_eq!(verified.findings, []);
            }
            Err(error) => assert!(
                matches!(
                    error,
                    ManagerError::Open(OpenError::File(FileError::InUse { .. }))
                ),
                "{error:?}"
            ),
        }
    }
    assert!(made > 0);
    assert_eq!(manager.list().unwrap().len(), 1 + made);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

/// Writes to a row of a closed store, past all logic.
fn tamper(path: &Path, change: &mut dyn FnMut(&mut dyn WriteTx)) {
    let backend = RedbBackend::on_files();
    let db = backend.open(path, &OpenOptions::read_write()).unwrap();
    db.write(&mut |tx| {
        change(tx);
        Ok(Verdict::Commit)
    })
    .unwrap();
    db.close().unwrap();
}

#[test]
fn a_damaged_state_is_not_migrated() {
    let dir = tempfile::tempdir().unwrap();
    let (manager, _) = migrating(dir.path());
    let id = filled(&manager);
    manager.close_all().unwrap();
    let path = manager.store_path(id);
    tamper(&path, &mut |tx| {
        let (key, mut value) = {
            let mut rows = tx
                .range(Table::Data, EVERYTHING, Direction::Forward)
                .unwrap();
            let row = rows.next().unwrap().unwrap();
            (row.key.to_vec(), row.value.to_vec())
        };
        value[0] ^= 1;
        tx.put(Table::Data, &key, &value).unwrap();
    });
    let refused = manager.migrate(&path, &counter()).unwrap_err();
    assert!(
        matches!(refused, ManagerError::MigrateDamaged { store_id, .. } if store_id == id),
        "{refused:?}"
    );
    assert_eq!(manager.list().unwrap().len(), 1);
}

#[test]
fn a_rebuild_loses_no_op_that_is_not_counted() {
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
fn rebuilds_at_once_lose_nothing_and_a_reader_notices() {
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
    // No file has two names, and none is left half made.
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

#[test]
fn a_store_that_is_written_meanwhile_is_not_migrated() {
    let dir = tempfile::tempdir().unwrap();
    let mut registry = registry();
    let other = manager(dir.path());
    let id = filled(&other);
    registry
        .register_migration(
            counter(),
            counter(),
            move |_: &dyn StoreHandle| -> Result<Calls, Cause> {
                let writer = other.open(id, Access::ReadWrite)?;
                writer.downcast_ref::<Counter>().unwrap().append(1)?;
                Ok(Box::new(std::iter::empty()))
            },
        )
        .unwrap();
    let backend = Arc::new(RedbBackend::on_files());
    let manager = StoreManager::new(dir.path(), backend, registry, options());
    let refused = manager
        .migrate(manager.store_path(id), &counter())
        .unwrap_err();
    assert!(
        matches!(refused, ManagerError::MigrateChanged { store_id } if store_id == id),
        "{refused:?}"
    );
    assert_eq!(manager.list().unwrap().len(), 1);
}

#[test]
fn migrations_are_registered_once_and_looked_up_by_both_types() {
    let mut registry = registry();
    let (from, to): (StoreType, StoreType) = (counter(), "org.example.other".parse().unwrap());
    let nothing =
        |_: &dyn StoreHandle| -> Result<Calls, Cause> { Ok(Box::new(std::iter::empty())) };
    registry
        .register_migration(from.clone(), to.clone(), nothing)
        .unwrap();
    let again = registry.register_migration(from.clone(), to.clone(), nothing);
    assert!(matches!(
        again,
        Err(RegisterError::DuplicateMigration { .. })
    ));
    assert_eq!(registry.migrations_from(&from).collect::<Vec<_>>(), [&to]);
    assert!(registry.migration(&from, &to).is_ok());
    let Err(ResolveError::NoMigration { known, .. }) = registry.migration(&to, &from).map(drop)
    else {
        panic!("it leads one way only");
    };
    assert!(known.is_empty());
    let missing = registry.migration(&from, &from).map(drop).unwrap_err();
    assert!(
        missing.to_string().contains("those to org.example.other"),
        "{missing}"
    );
    // The new type has no opener.
    let dir = tempfile::tempdir().unwrap();
    let backend = Arc::new(RedbBackend::on_files());
    let manager = StoreManager::new(dir.path(), backend, registry, options());
    let id = filled(&manager);
    let refused = manager.migrate(manager.store_path(id), &to).unwrap_err();
    assert!(
        matches!(refused, ManagerError::Resolve(ResolveError::Unknown { .. })),
        "{refused:?}"
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}
