//! One store in one file, without a data directory: the layer alone.

use lattice_kvstore::KvStore;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let home = tempfile::tempdir()?;
    let path = home.path().join("settings.db");
    let kv = KvStore::create(&path)?; // its key is in `settings.db.key`
    kv.put("colour", "green")?;
    kv.close()?;

    let kv = KvStore::open(&path)?;
    println!("{} op, state {}", kv.op_count()?, kv.state_hash()?);
    assert_eq!(kv.get("colour")?.as_deref(), Some(&b"green"[..]));
    Ok(())
}
