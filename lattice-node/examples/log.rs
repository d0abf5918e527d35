//! An append-only log: append, read by time and position, the newest entries.

use lattice_node::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let home = tempfile::tempdir()?;
    let log = Node::open(home.path())?.open_or_create::<LogStore>("events")?;

    log.append("started")?;
    log.append_many(["disk 1 checked", "disk 2 checked"])?; // one op: all or none
    for entry in log.tail(2)? {
        println!("{} {}", entry.time_ms(), entry.content.escape_ascii());
    }
    let first = log.tail(u64::MAX)?.remove(0);
    let after = log.read(Selection::all().after(first.position()))?;
    assert_eq!(after.count(), 2);
    Ok(())
}
