//! One store, several processes.

use std::fs;
use std::time::Duration;

use lattice_backend::backend::OpenOptions;
use lattice_node::{Access, KvStore, Node};

use crate::printed;

#[test]
fn another_process_reads_and_writes_the_live_store() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::open(dir.path()).unwrap();
    let id = node
        .manager()
        .create(&"core:kvstore".parse().unwrap())
        .unwrap();
    let kv = node.open_as::<KvStore>(id, Access::ReadWrite).unwrap();
    let store = id.to_string();
    for round in 0..5 {
        kv.put("round", round.to_string()).unwrap();
        assert_eq!(
            printed(dir.path(), &["get", &store, "round"]),
            round.to_string()
        );
        let info = printed(dir.path(), &["--json", "info", &store]);
        assert!(info.contains(&kv.snapshot().unwrap().state_hash().unwrap().to_string()));
    }
    printed(dir.path(), &["put", &store, "round", "9"]);
    let read = kv.get("round").unwrap();
    assert_eq!(read.as_deref(), Some(b"9".as_slice()));
    kv.put("round", "10").unwrap();
    assert_eq!(printed(dir.path(), &["get", &store, "round"]), "10");
    node.manager().close(id).unwrap();
    printed(dir.path(), &["put", &store, "round", "9"]);
}

#[test]
fn peeking_and_listing_change_no_byte_of_a_live_store() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::open(dir.path()).unwrap();
    let id = node
        .manager()
        .create(&"core:kvstore".parse().unwrap())
        .unwrap();
    let kv = node.open_as::<KvStore>(id, Access::ReadWrite).unwrap();
    kv.put("key", "value").unwrap();
    node.manager().close(id).unwrap();
    // A handle that has the turn, and so the file open for writing.
    let work = OpenOptions::long_work("rebuild", Duration::ZERO);
    let backend = lattice_backend::file_backend();
    let _held = backend.open(&node.manager().store_path(id), &work).unwrap();
    let before = fs::read(node.manager().store_path(id)).unwrap();
    printed(dir.path(), &["peek", &id.to_string()]);
    printed(dir.path(), &["list"]);
    printed(dir.path(), &["info", &id.to_string()]);
    assert_eq!(fs::read(node.manager().store_path(id)).unwrap(), before);
}
