//! Older layouts.

use lattice_backend::backend::{BackendError, Table};
use lattice_backend::storage::{
    DiskCall, DiskFault, FailingDisk, Failure, FailurePoint, Lasting, MemoryDisk,
};
use lattice_meta::SchemaVersion;

use super::*;
use crate::registers::Lie;

const NEWEST: SchemaVersion = SchemaVersion::new(4);

fn old_schema() -> Old {
    Old::written_by(Registers::old_layout())
}

#[test]
fn a_migration_changes_the_rows_and_not_the_state() {
    let old = old_schema();
    let before = old
        .read(&Registers::old_layout(), LogicPolicy::Replay)
        .unwrap();
    let hash = before.state_hash().unwrap();
    assert_eq!(get(&before, "key 7"), None, "its row stands elsewhere");
    before.close().unwrap();
    let told = Told::default();
    let mut request = old.request();
    request.progress = told.progress();
    let store = Engine::open(request, Registers::default()).unwrap();
    assert_eq!(
        told.of(Stage::Migration),
        [(0, Some(2)), (1, Some(2)), (2, Some(2))]
    );
    assert_eq!(store.schema_version(), NEWEST);
    assert_eq!(store.info().unwrap().schema_version, NEWEST);
    assert_eq!(store.state_hash().unwrap(), hash);
    assert_eq!(get(&store, "key 7"), Some(b"value 287".to_vec()));
    assert_whole_at(&store, &old.site);
    append(&store, "key 7", "new");
    assert_whole_at(&store, &old.site);
    store.close().unwrap();
    // The old program no longer opens it.
    let back = old.open(&Registers::old_layout());
    assert!(matches!(back, Err(OpenError::NewerSchema { .. })));
}

#[test]
fn a_reader_does_not_migrate_and_verifies_the_old_rows() {
    let old = old_schema();
    let bytes = old.bytes();
    let refused = old
        .read(&Registers::default(), LogicPolicy::Replay)
        .unwrap_err();
    assert!(matches!(&refused, OpenError::NeedsMigration { newest, .. } if *newest == NEWEST));
    assert!(
        refused.to_string().contains("`lattice upgrade STORE`"),
        "{refused}"
    );
    let as_is = old.read(&Registers::default(), LogicPolicy::Trust).unwrap();
    assert_eq!(as_is.schema_version(), SchemaVersion::new(2));
    assert_whole_at(&as_is, &old.site);
    assert!(old.bytes() == bytes);
}

#[test]
fn a_reader_that_is_open_across_a_migration_notices() {
    let old = old_schema();
    let reader = old
        .read(&Registers::old_layout(), LogicPolicy::Replay)
        .unwrap();
    let (hash, seen) = (reader.state_hash().unwrap(), reader.snapshot().unwrap());
    let writer = old.open(&Registers::default()).unwrap();
    let noticed = reader.snapshot().unwrap_err();
    assert!(
        matches!(noticed, BackendError::SchemaChanged { opened, found }
            if opened == SchemaVersion::new(2) && found == NEWEST),
        "{noticed:?}"
    );
    assert!(reader.call("get", key_args()).is_err());
    // Snapshots from before the upgrade do not change.
    assert_eq!(seen.state_hash().unwrap(), hash);
    drop(writer);
}

fn key_args() -> lattice_backend::machine::Value {
    lattice_backend::machine::Value::record([(
        "key",
        lattice_backend::machine::Value::Text("key 7".into()),
    )])
}

#[test]
fn a_migration_that_would_change_the_state_is_undone() {
    let old = old_schema();
    let lossy = Registers {
        lie: Lie::MigrationLoses,
        ..Registers::default()
    };
    let before = old
        .read(&Registers::old_layout(), LogicPolicy::Replay)
        .unwrap();
    let hash = before.state_hash().unwrap();
    before.close().unwrap();
    let refused = old.open(&lossy).unwrap_err();
    let OpenError::MigrationDiffers {
        from,
        to,
        difference,
        ..
    } = &refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!((*from, *to), (SchemaVersion::new(2), NEWEST));
    assert_eq!(difference.state.as_ref().unwrap().expected, hash);
    assert!(refused.to_string().contains("nothing was changed"));
    let after = old.open(&Registers::old_layout()).unwrap();
    assert_eq!(after.state_hash().unwrap(), hash);
    assert_whole_at(&after, &old.site);
}

#[test]
fn layout_and_logic_can_change_together() {
    let old = old_schema();
    let store = old.open(&Registers::build("registers-2", None)).unwrap();
    assert_whole_at(&store, &old.site);
    store.close().unwrap();
    let old = old_schema();
    let bytes = old.bytes();
    let refused = old.open(&Registers::build("registers-2", Some(b"key 3")));
    assert!(matches!(refused, Err(OpenError::LogicDiffers { .. })));
    assert!(old.bytes() == bytes);
    // Only the rows of the new layout show that this one loses a row.
    let lossy = Registers {
        lie: Lie::MigrationLoses,
        ..Registers::build("registers-2", None)
    };
    let refused = old.open(&lossy).unwrap_err();
    let OpenError::MigrationDiffers { difference, .. } = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(difference.row.unwrap().table, Table::Data);
}

/// The disk fails at every call of a migration: the store is the old one or the new one.
#[test]
fn a_migration_killed_anywhere_leaves_the_old_store_or_the_new_one() {
    let (disk, path) = (MemoryDisk::new(), PathBuf::from("state.db"));
    let point = FailurePoint::default();
    let site = |machine: Registers| Site {
        backend: Arc::new(RedbBackend::on_disk(FailingDisk::new(
            disk.clone(),
            point.clone(),
        ))),
        path: path.clone(),
        clock: Arc::new(lattice_backend::clock::ManualClock::new(NOW_MS)),
        machine,
    };
    let old = site(Registers::old_layout());
    Engine::create(&*old.backend, &old.path, &genesis(), &old.machine).unwrap();
    let store = old.open();
    for nth in 0..30 {
        append(&store, &format!("key {nth}"), "value");
    }
    let hash = store.state_hash().unwrap();
    store.close().unwrap();
    let before = disk.bytes(&path).unwrap();
    let (mut failed, mut migrated) = (0, 0);
    let mut calls = DiskCall::ON_FILES.into_iter();
    let (mut call, mut nth) = (calls.next(), 0);
    while let Some(failing) = call {
        disk.insert(&path, before.clone());
        point.fail(Failure {
            call: failing,
            after: nth,
            lasting: Lasting::FromThenOn,
            fault: DiskFault::Io,
        });
        let outcome = site(Registers::default()).try_open(site(Registers::default()).request());
        let has_failed = point.has_failed();
        point.heal();
        drop(outcome);
        // A failed commit may still be on disk; the next open shows which.
        let store = match site(Registers::old_layout()).try_open(old.request()) {
            Err(OpenError::NewerSchema { .. }) => {
                migrated += 1;
                site(Registers::default()).open()
            }
            opened => opened.unwrap(),
        };
        assert_eq!(store.state_hash().unwrap(), hash, "{failing:?} {nth}");
        assert_whole_at(&store, &old);
        store.close().unwrap();
        if has_failed {
            (nth, failed) = (nth + 1, failed + 1);
        } else {
            (call, nth) = (calls.next(), 0);
        }
    }
    assert!(
        failed > 20 && migrated > 0,
        "{failed} failed, {migrated} migrated"
    );
}
