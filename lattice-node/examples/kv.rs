//! A key-value store of a data directory: put, get, batches, iteration.

use lattice_node::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let home = tempfile::tempdir()?;
    let kv = Node::open(home.path())?.open_or_create::<KvStore>("settings")?;

    kv.put("colour", "green")?;
    // Writes both or neither, and only if the colour is still the expected one:
    let batch = kv.batch().expect_value("colour", "green");
    batch.put("colour", "blue").put("size", "7").commit()?;
    // A batch whose expectation fails writes nothing.
    let stale = kv.batch().expect_value("colour", "green").delete("size");
    assert!(matches!(stale.commit(), Err(AppendError::Refused(_))));

    for row in kv.scan("a".."z")? {
        let (key, value) = row?;
        println!("{} = {}", key.escape_ascii(), value.escape_ascii());
    }
    assert_eq!(kv.get("size")?.as_deref(), Some(&b"7"[..]));
    Ok(())
}
