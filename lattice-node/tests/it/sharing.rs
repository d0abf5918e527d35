//! One store, several processes.

use std::fs;

use lattice_node::{Access, KvStore, Node};

use crate::{lattice, printed};

#[test]
fn another_process_reads_the_live_store_and_cannot_write_it() {
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
    let refused = lattice(dir.path(), &["put", &store, "round", "9"]);
    assert_eq!(
        refused.status.code(),
        Some(5),
        "{}",
        String::from_utf8_lossy(&refused.stderr)
    );
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
    let before = fs::read(node.manager().store_path(id)).unwrap();
    printed(dir.path(), &["peek", &id.to_string()]);
    printed(dir.path(), &["list"]);
    printed(dir.path(), &["info", &id.to_string()]);
    assert_eq!(fs::read(node.manager().store_path(id)).unwrap(), before);
}
