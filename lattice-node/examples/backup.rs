//! Backup while the store is written, and restore into another data directory.

use lattice_node::IfThere;
use lattice_node::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let home = tempfile::tempdir()?;
    let (dir, copy) = (home.path().join("data"), home.path().join("copy.db"));
    let node = Node::open(dir)?;
    let kv = node.open_or_create::<KvStore>("settings")?;
    kv.put("colour", "green")?;
    let meta = node.manager().backup(kv.path(), &copy)?;
    kv.put("colour", "blue")?; // not in the copy

    let other = Node::open(home.path().join("other"))?;
    other.manager().restore(&copy, IfThere::Refuse)?;
    let restored: KvStore = other.open_as(meta.store_id, Access::ReadOnly)?;
    assert_eq!(restored.get("colour")?.as_deref(), Some(&b"green"[..]));
    println!("restored {} at {} ops", meta.store_id, restored.op_count()?);
    Ok(())
}
