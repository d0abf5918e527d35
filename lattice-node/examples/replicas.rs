//! Two replicas of one store that write independently and then exchange the missing ops. If both
//! put a value under one key, both values are kept until a writer replaces them.

use lattice_node::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let home = tempfile::tempdir()?;
    let ann = Node::open(home.path().join("ann"))?;
    let bob = Node::open(home.path().join("bob"))?;
    let anns = ann.open_or_create::<KvStore>("drinks")?;
    // Bob's replica starts from the same genesis record, so it has the same id.
    let id = bob.manager().create_replica(anns.genesis())?;
    let bobs: KvStore = bob.open_as(id, Access::ReadWrite)?;

    anns.put("breakfast", "tea")?;
    bobs.put("breakfast", "coffee")?;
    bobs.ingest(anns.ops_after(&bobs.branch_tips()?)?, &Authors::Any)?;
    anns.ingest(bobs.ops_after(&anns.branch_tips()?)?, &Authors::Any)?;
    assert_eq!(anns.state_hash()?, bobs.state_hash()?);

    for value in anns.conflicts("breakfast")? {
        println!("{:.8} put {}", value.op.author, value.value.escape_ascii());
    }
    anns.put("breakfast", "tea and coffee")?; // replaces both
    assert_eq!(anns.conflicts("breakfast")?.len(), 1);
    Ok(())
}
