//! Stores that modules open, and upgrades to other code.

use std::fs;

use lattice_backend::engine::open::OpenError;
use lattice_backend::engine::verify::Depth;
use lattice_backend::machine::Value;
use lattice_code::LibraryError;
use lattice_kvstore::{KvStore, kv_opener};
use lattice_meta::{Cid, SchemaVersion};
use lattice_registry::{Access, ManagerError, NamedType, Registry, ResolveError};
use lattice_wasm::{Code, guests};

use crate::support::*;

/// The library's error for a request for the code of a store.
fn refusal(error: &ManagerError) -> &LibraryError {
    let ManagerError::Resolve(ResolveError::Resolver { source, .. }) = error else {
        panic!("{error:?}");
    };
    source.downcast_ref().unwrap()
}

#[test]
fn a_store_records_its_code_and_opens_where_the_code_is_available() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let place = Place::new(one.path());
    let unknown = place.manager.create(&of(CHAT)).unwrap_err();
    assert!(matches!(
        unknown,
        ManagerError::Resolve(ResolveError::Unknown { .. })
    ));
    let cid = place.add(guests::CHAT);
    let id = place.manager.create(&of(CHAT)).unwrap();
    let store = place.open(id);
    post(&*store, "tea", "Anyone here?");
    assert_eq!(texts(&*store, "tea"), ["Anyone here?"]);
    assert_eq!(place.recorded(id), cid.to_string());
    place.manager.close_all().unwrap();

    let other = Place::new(two.path());
    let to = other.manager.store_path(id);
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(place.manager.store_path(id), &to).unwrap();
    let missing = other.manager.open(id, Access::ReadOnly).unwrap_err();
    assert!(
        matches!(refusal(&missing), LibraryError::Missing { cid: named, .. } if *named == cid),
        "{missing:?}"
    );
    assert_eq!(other.add(guests::CHAT), cid);
    assert_eq!(texts(&*other.open(id), "tea"), ["Anyone here?"]);
    let verified = other.manager.verify_path(&to, Depth::Full).unwrap();
    assert_eq!((verified.findings.len(), verified.ops), (0, 1));
}

#[test]
fn other_code_is_accepted_if_a_replay_proves_it_equal() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new(dir.path());
    let first = place.add(guests::CHAT);
    let id = place.manager.create(&of(CHAT)).unwrap();
    post(&*place.open(id), "tea", "no shouting");
    place.manager.close_all().unwrap();
    let path = place.manager.store_path(id);
    let opener = |wasm: &[u8]| place.library.opener(&Code::new(wasm).unwrap());

    let (fixed, broken) = (opener(guests::CHAT_HOTFIX), opener(guests::CHAT_BROKEN));
    let before = fs::read(&path).unwrap();
    let proof = place.manager.prove(&path, &fixed).unwrap();
    assert!(proof.difference.is_none(), "{:?}", proof.difference);
    assert_eq!((proof.ops, proof.recorded), (1, first.to_string()));
    let proof = place.manager.prove(&path, &broken).unwrap();
    let differs = proof.difference.op.unwrap();
    assert_eq!(differs.index.get(), 0);
    assert_eq!(fs::read(&path).unwrap(), before, "a proof changes nothing");

    let refused = place.manager.upgrade(&path, Some(&broken)).unwrap_err();
    assert!(
        matches!(refused, ManagerError::Open(OpenError::LogicDiffers { .. })),
        "{refused:?}"
    );
    assert_eq!(place.recorded(id), first.to_string());
    place.manager.upgrade(&path, Some(&fixed)).unwrap();
    let second = Cid::of(guests::CHAT_HOTFIX);
    assert_eq!(place.recorded(id), second.to_string());
    // The recorded code was not added. A reader cannot take the other one; a writer can, if a
    // replay proves it.
    let changed = place.manager.open(id, Access::ReadOnly).unwrap_err();
    assert!(
        matches!(changed, ManagerError::Open(OpenError::LogicChanged { .. })),
        "{changed:?}"
    );
    assert_eq!(place.add(guests::CHAT_HOTFIX), second);
    assert_eq!(texts(&*place.open(id), "tea"), ["no shouting"]);
    assert_eq!(place.recorded(id), second.to_string());
    place.manager.close_all().unwrap();
    assert!(place.library.remove(&second).unwrap());
    assert_eq!(texts(&*place.open(id), "tea"), ["no shouting"]);
    assert_eq!(place.recorded(id), first.to_string());
}

/// A new store takes the most recently added module; existing stores keep theirs.
#[test]
fn new_stores_use_the_module_that_was_added_last() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new(dir.path());
    let first = place.add(guests::CHAT);
    let id = place.manager.create(&of(CHAT)).unwrap();
    // Times of addition have milliseconds.
    std::thread::sleep(std::time::Duration::from_millis(5));
    let second = place.add(guests::CHAT_HOTFIX);
    let newer = place.manager.create(&of(CHAT)).unwrap();
    assert_eq!(place.recorded(id), first.to_string());
    assert_eq!(place.recorded(newer), second.to_string());
    post(&*place.open(id), "tea", "still here");
    assert_eq!(place.recorded(id), first.to_string());
    place.manager.close_all().unwrap();

    // After the trust is revoked, the other module is the newest.
    assert!(place.library.remove(&second).unwrap());
    assert!(!place.library.remove(&second).unwrap());
    let third = place.manager.create(&of(CHAT)).unwrap();
    assert_eq!(place.recorded(third), first.to_string());
}

/// Native code and the module alternate on one store, and neither replays the other's work.
#[test]
fn a_store_switches_between_native_code_and_its_module() {
    let dir = tempfile::tempdir().unwrap();
    let mut registry = Registry::new();
    registry
        .register(of(KvStore::STORE_TYPE), kv_opener())
        .unwrap();
    let place = Place::with(dir.path(), registry);
    place.add(guests::KVSTORE);
    let id = place.manager.create(&of(KvStore::STORE_TYPE)).unwrap();
    let native = place.recorded(id);
    place.manager.close_all().unwrap();
    let code = Code::new(guests::KVSTORE).unwrap();
    let modules = Place::with(dir.path(), {
        let mut registry = Registry::new();
        let opener = place.library.opener(&code);
        registry.register(of(KvStore::STORE_TYPE), opener).unwrap();
        registry
    });
    for round in 0..3 {
        for place in [&place, &modules] {
            let store = place.open(id);
            let (key, value) = (format!("k{round}"), format!("v{round}"));
            let args = [("key", Value::Text(key)), ("value", Value::Text(value))];
            store.call("put", Value::record(args)).unwrap();
            // The record stays, so that neither program replays.
            assert_eq!(place.recorded(id), native);
            place.manager.close_all().unwrap();
        }
    }
    let path = place.manager.store_path(id);
    let verified = place.manager.verify_path(&path, Depth::Full).unwrap();
    assert_eq!((verified.findings.len(), verified.ops), (0, 6));
    let verified = modules.manager.verify_path(&path, Depth::Full).unwrap();
    assert_eq!((verified.findings.len(), verified.ops), (0, 6));
}

/// The second version of the code has a different row layout, and computes the same state.
#[test]
fn a_module_migrates_the_rows_of_an_earlier_layout() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new(dir.path());
    place.add(guests::TALLY_V1);
    let id = place.manager.create(&of(TALLY)).unwrap();
    let store = place.open(id);
    for n in 0..600_i64 {
        add(&*store, &format!("name {}", n % 300), n);
    }
    let hash = store.state_hash().unwrap();
    place.manager.close_all().unwrap();
    let path = place.manager.store_path(id);
    let schema = || place.manager.peek(id).unwrap().schema_version;
    assert_eq!(schema(), SchemaVersion::new(1));

    let second = place.add(guests::TALLY);
    let code = Code::new(guests::TALLY).unwrap();
    let opener = place.library.opener(&code);
    assert!(
        place
            .manager
            .prove(&path, &opener)
            .unwrap()
            .difference
            .is_none()
    );
    place.manager.upgrade(&path, Some(&opener)).unwrap();
    assert_eq!(schema(), SchemaVersion::new(2));
    assert_eq!(place.recorded(id), second.to_string());
    let store = place.open(id);
    assert_eq!(store.state_hash().unwrap(), hash);
    assert_eq!(sum(&*store, "name 7"), (7_u64 + 307).into());
    add(&*store, "name 7", -314);
    assert_eq!(sum(&*store, "name 7"), 0_u64.into());
    place.manager.close_all().unwrap();
    let verified = place.manager.verify_path(&path, Depth::Full).unwrap();
    assert_eq!((verified.findings.len(), verified.ops), (0, 601));
    // The first version does not know the new layout.
    let opener = place.library.opener(&Code::new(guests::TALLY_V1).unwrap());
    let refused = place.manager.upgrade(&path, Some(&opener)).unwrap_err();
    assert!(
        matches!(refused, ManagerError::Open(OpenError::NewerSchema { .. })),
        "{refused:?}"
    );
}
