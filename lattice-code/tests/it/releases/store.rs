//! The handle of a registry.

use std::sync::Arc;

use lattice_backend::engine::write::AppendError;
use lattice_backend::machine::Value;
use lattice_backend::op::SecretKey;
use lattice_backend::redb::RedbBackend;
use lattice_code::releases::{
    Filter, Publish, Release, ReleaseRefusal, ReleaseStore, release_opener, store_type,
};
use lattice_registry::{
    ManagerError, ManagerOptions, Registry, ResolveError, StoreHandle, StoreManager,
};

use super::support::{CHAT, CHAT_V2, NOW_MS, On, Replica, cid, key, publish, withdraw};

#[test]
fn a_release_has_the_fields_publisher_op_and_time_of_its_op() {
    for on in [On::Memory, On::Redb] {
        let replica = Replica::new(on, 1);
        let mut first = publish(CHAT, 1, 1);
        first.replaces = Some(cid(9));
        let receipt = replica.store.publish(&first).unwrap();
        replica.clock.advance(5);
        let reason = replica.store.withdraw(&withdraw(1, "why")).unwrap();
        assert_eq!((receipt.index.get(), reason.index.get()), (0, 1));
        let releases = replica.store.releases(&Filter::default()).unwrap();
        let [release] = &releases[..] else {
            panic!("{releases:?}");
        };
        assert_eq!(release.published, first);
        assert_eq!(release.publisher, key(1).public());
        assert_eq!((release.op, release.time), (receipt.op.id, receipt.hlc));
        assert_eq!(release.time.ms(), NOW_MS);
        assert_eq!(release.withdrawn.as_deref(), Some("why"));
        assert!(!release.is_conflicting);
    }
}

#[test]
fn releases_are_selected_by_type_publisher_number_and_module() {
    let here = Replica::new(On::Redb, 1);
    let there = Replica::new(On::Memory, 2);
    for (of, release, module) in [(CHAT, 1, 1), (CHAT, 2, 2), (CHAT_V2, 1, 3)] {
        here.store.publish(&publish(of, release, module)).unwrap();
    }
    there.store.publish(&publish(CHAT, 1, 1)).unwrap();
    here.pull(&there);
    let modules = |releases: Vec<Release>| -> Vec<_> {
        let mut found: Vec<_> = releases
            .into_iter()
            .map(|release| {
                let Publish {
                    release: number,
                    cid,
                    ..
                } = release.published;
                (release.publisher, number, cid)
            })
            .collect();
        found.sort_unstable();
        found
    };
    let (one, two) = (key(1).public(), key(2).public());
    let expected = |mut all: Vec<_>| {
        all.sort_unstable();
        all
    };
    let selected = |filter: &Filter| modules(here.store.releases(filter).unwrap());
    let mut filter = Filter {
        store_type: Some(CHAT.parse().unwrap()),
        ..Filter::default()
    };
    assert_eq!(
        selected(&filter),
        expected(vec![(one, 1, cid(1)), (one, 2, cid(2)), (two, 1, cid(1))])
    );
    filter.release = Some(1);
    assert_eq!(
        selected(&filter),
        expected(vec![(one, 1, cid(1)), (two, 1, cid(1))])
    );
    filter.publisher = Some(one);
    assert_eq!(selected(&filter), [(one, 1, cid(1))]);
    filter.store_type = None;
    assert_eq!(
        selected(&filter),
        expected(vec![(one, 1, cid(1)), (one, 1, cid(3))])
    );
    assert_eq!(
        modules(here.store.releases_of(&cid(1)).unwrap()),
        expected(vec![(one, 1, cid(1)), (two, 1, cid(1))])
    );
    assert_eq!(here.store.releases_of(&cid(4)).unwrap(), []);
    let types = here.store.types().unwrap();
    assert_eq!(types, [CHAT, CHAT_V2].map(|of| of.parse().unwrap()));
}

#[test]
fn refusals_change_nothing() {
    let replica = Replica::new(On::Redb, 1);
    let mut wrong = publish(CHAT, 1, 1);
    wrong.abi = 0;
    let refused = replica.store.publish(&wrong);
    assert!(
        matches!(refused, Err(AppendError::Refused(ReleaseRefusal::Abi))),
        "{refused:?}"
    );
    assert_eq!(replica.store.op_count().unwrap(), 0);
}

/// A manager creates, closes, opens and verifies registries as stores of any type, and does not
/// migrate them.
#[test]
fn a_registry_is_a_store_of_a_manager() {
    let dir = tempfile::tempdir().unwrap();
    let mut registry = Registry::new();
    registry.register(store_type(), release_opener()).unwrap();
    let backend = Arc::new(RedbBackend::on_files());
    let options = ManagerOptions::new(SecretKey::from_bytes(&[7; 32]));
    let manager = StoreManager::new(dir.path().join("stores"), backend, registry, options);
    let id = manager.create(&store_type()).unwrap();
    let handle = manager
        .open(id, lattice_registry::Access::ReadWrite)
        .unwrap();
    let store: &ReleaseStore = handle.downcast_ref().unwrap();
    store.publish(&publish(CHAT, 1, 1)).unwrap();
    let types = handle.call("types", Value::Null).unwrap();
    assert_eq!(types, Value::List(vec![Value::Text(CHAT.into())]));
    let hash = handle.state_hash().unwrap();
    handle.close().unwrap();
    drop(handle);

    let handle = manager
        .open(id, lattice_registry::Access::ReadWrite)
        .unwrap();
    assert_eq!(handle.state_hash().unwrap(), hash);
    let op = handle
        .op_at(lattice_backend::op::ApplyIndex::FIRST)
        .unwrap();
    assert_eq!(
        handle.describe(&op.unwrap()),
        "publish org.example.chat release 1: \"module 1\""
    );
    let depth = lattice_backend::engine::verify::Depth::Full;
    let verified = manager.verify_path(manager.store_path(id), depth).unwrap();
    assert_eq!(verified.findings, []);
    let migrated = manager.migrate(manager.store_path(id), &store_type());
    assert!(
        matches!(
            migrated,
            Err(ManagerError::Resolve(ResolveError::NoMigration { .. }))
        ),
        "{migrated:?}"
    );
}
