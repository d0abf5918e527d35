//! Migrations through a manager.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use lattice_backend::backend::{Cause, Direction, EVERYTHING, FileError, Table};
use lattice_backend::engine::open::OpenError;
use lattice_backend::engine::verify::Depth;
use lattice_backend::machine::Value;
use lattice_backend::progress::{ProgressSink, Stage};
use lattice_backend::redb::RedbBackend;
use lattice_meta::{StoreId, StoreType};
use lattice_registry::{
    Access, Calls, ManagerError, RegisterError, ResolveError, StoreHandle, StoreManager,
};

use crate::counter::{COUNTER, Counter, manager, options, registry};
use crate::manager::contents;
use crate::whole::{counter, filled, tamper};
/// Feeds 1 to 10 to the new store; fails before call `stop`.
fn feeding(
    stop: Arc<AtomicU64>,
) -> impl for<'a> Fn(&'a dyn StoreHandle) -> Result<Calls<'a>, Cause> {
    move |old| {
        assert_eq!(old.access(), Access::ReadOnly);
        let stop = stop.load(Ordering::SeqCst);
        Ok(Box::new((1..=10_u64).map(move |n| match n == stop {
            true => Err("told to stop".into()),
            false => Ok(("add".into(), Value::record([("n", n.into())]))),
        })))
    }
}

/// A manager whose counters can migrate to counters, and the call before which the next migration
/// fails.
pub(crate) fn migrating(dir: &Path) -> (StoreManager, Arc<AtomicU64>) {
    let (mut registry, stop) = (registry(), Arc::new(AtomicU64::new(0)));
    let migration = feeding(Arc::clone(&stop));
    registry
        .register_migration(counter(), counter(), migration)
        .unwrap();
    let backend = Arc::new(RedbBackend::on_files());
    (StoreManager::new(dir, backend, registry, options()), stop)
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
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    // Each migration of the same state makes a new store.
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
fn progress_has_the_number_of_ops_from_the_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let (mut registry, reports) = (registry(), Arc::new(Mutex::new(Vec::new())));
    let stop = Arc::new(AtomicU64::new(0));
    registry
        .register_migration(counter(), counter(), feeding(Arc::clone(&stop)))
        .unwrap();
    let told = Arc::clone(&reports);
    let options = options().progress(ProgressSink::new(move |report| {
        if report.stage == Stage::Transfer {
            told.lock().unwrap().push((report.done, report.total));
        }
    }));
    let backend = Arc::new(RedbBackend::on_files());
    let manager = StoreManager::new(dir.path(), backend, registry, options);
    let id = filled(&manager);
    manager.migrate(manager.store_path(id), &counter()).unwrap();
    let expected: Vec<_> = (0..=10).map(|done| (done, Some(10))).collect();
    assert_eq!(*reports.lock().unwrap(), expected);
    // The error is that of the transfer, and the ops before it count.
    reports.lock().unwrap().clear();
    stop.store(4, Ordering::SeqCst);
    let ended = manager.migrate(manager.store_path(id), &counter());
    assert!(
        matches!(ended, Err(ManagerError::Migrate { .. })),
        "{ended:?}"
    );
    let expected: Vec<_> = (0..=3).map(|done| (done, None)).collect();
    assert_eq!(*reports.lock().unwrap(), expected);
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
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

/// The files that a migration leaves in its directory if it is killed before its fourth call.
fn killed(dir: &Path, id: StoreId) -> Vec<u8> {
    let file = building(dir, id).join("state.db");
    let saved = Arc::new(std::sync::Mutex::new(Vec::new()));
    let save = Arc::clone(&saved);
    let mut registry = registry();
    registry
        .register_migration(
            counter(),
            counter(),
            move |_: &dyn StoreHandle| -> Result<Calls<'_>, Cause> {
                let (file, save) = (file.clone(), Arc::clone(&save));
                Ok(Box::new((1..=4_u64).map(move |n| match n {
                    4 => {
                        *save.lock().unwrap() = fs::read(&file).unwrap();
                        Err("killed".into())
                    }
                    n => Ok(("add".into(), Value::record([("n", n.into())]))),
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
fn a_killed_migration_resumes_or_starts_over() {
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
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        (migrated.ops, migrated.resumed)
    };
    assert_eq!(migrate_over(&left), (10, 3));
    // A file truncated before it was a store is discarded,
    assert_eq!(migrate_over(b"torn"), (10, 0));
    // and so is a store that was made from a different state.
    manager.close(id).unwrap();
    let writer = manager.open(id, Access::ReadWrite).unwrap();
    writer.downcast_ref::<Counter>().unwrap().append(1).unwrap();
    manager.close(id).unwrap();
    let left_again = killed(dir.path(), id);
    assert_eq!(migrate_over(&left), (10, 0));
    assert_eq!(migrate_over(&left_again), (10, 3));
}

#[test]
fn concurrent_migrations_do_not_interfere() {
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
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
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
fn a_store_written_during_its_migration_is_not_migrated() {
    let dir = tempfile::tempdir().unwrap();
    let mut registry = registry();
    let other = manager(dir.path());
    let id = filled(&other);
    registry
        .register_migration(
            counter(),
            counter(),
            move |_: &dyn StoreHandle| -> Result<Calls<'_>, Cause> {
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
    fn nothing(_: &dyn StoreHandle) -> Result<Calls<'_>, Cause> {
        Ok(Box::new(std::iter::empty()))
    }
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
        missing
            .to_string()
            .contains("migrated to: org.example.other"),
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
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}
