//! The change feed: every change once, in the order of application, across restarts.

use lattice_node::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let home = tempfile::tempdir()?;
    let kv = Node::open(home.path())?.open_or_create::<KvStore>("settings")?;
    kv.put("colour", "green")?;
    kv.delete("colour")?;

    let mut changes = kv.changes(Cursor::START)?;
    let first = changes.next().ok_or("there are two changes")??;
    assert_eq!(first.value.as_deref(), Some(&b"green"[..]));
    // Keep the cursor, and resume from it after a restart:
    let cursor = changes.cursor();
    let mut rest = kv.changes(cursor)?;
    // The iterator blocks until the next change; `next_timeout` waits at most that long.
    while let Some(change) = rest.next_timeout(std::time::Duration::ZERO)? {
        let what = if change.value.is_some() {
            "put"
        } else {
            "deleted"
        };
        println!("{} was {what}", change.key.escape_ascii());
    }
    Ok(())
}
