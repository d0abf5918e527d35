//! The store as a caller uses it that does not know its type.

use std::sync::Arc;

use lattice_backend::engine::read::MethodError;
use lattice_backend::machine::Value;
use lattice_backend::op::SecretKey;
use lattice_backend::redb::RedbBackend;
use lattice_kvstore::{KvStore, kv_opener, store_type};
use lattice_registry::{Access, ManagerOptions, Registry, StoreHandle, StoreManager};

use crate::support::replica::{On, Replica};

fn bytes(text: &str) -> Value {
    Value::Bytes(text.into())
}

#[test]
fn methods_are_called_by_name() {
    let replica = Replica::new(On::Redb);
    let store: &dyn StoreHandle = &replica.kv;
    let pair = [("key", bytes("k")), ("value", bytes("v"))];
    let Value::Record(receipt) = store.call("put", Value::record(pair.clone())).unwrap() else {
        panic!("a record");
    };
    assert_eq!(receipt["apply_index"], Value::Integer(0));
    let key = || Value::record([("key", bytes("k"))]);
    assert_eq!(store.call("get", key()).unwrap(), bytes("v"));
    let scanned = store.call("scan", Value::Null).unwrap();
    assert_eq!(scanned, Value::List(vec![Value::record(pair)]));
    let refused = store.call(
        "delete",
        Value::record([("key", bytes("k")), ("expect", bytes("w"))]),
    );
    match refused.unwrap_err() {
        MethodError::Append(cause) => {
            assert_eq!(
                cause.to_string(),
                "expected key \"k\" to have value \"w\", found value \"v\""
            );
        }
        other => panic!("{other}"),
    }
    store.call("delete", key()).unwrap();
    assert_eq!(store.call("contains", key()).unwrap(), Value::Bool(false));
    assert!(matches!(
        store.call("mend", Value::Null),
        Err(MethodError::Call(_))
    ));
}

#[test]
fn a_manager_creates_stores_and_opens_them_by_type() {
    let dir = tempfile::tempdir().unwrap();
    let mut registry = Registry::new();
    registry.register(store_type(), kv_opener()).unwrap();
    let me = Arc::new(SecretKey::from_bytes(&[1; 32]));
    let backend = Arc::new(RedbBackend::on_files());
    let manager = StoreManager::new(dir.path(), backend, registry, ManagerOptions::new(me));
    let id = manager.create(&store_type()).unwrap();
    let store = manager.open(id, Access::ReadWrite).unwrap();
    let kv = store.downcast_ref::<KvStore>().unwrap().clone();
    kv.put("key", "value").unwrap();
    assert_eq!(kv.get("key").unwrap().as_deref(), Some(&b"value"[..]));
    manager.close(id).unwrap();
    assert!(kv.get("key").is_err(), "closed for everybody");
}
