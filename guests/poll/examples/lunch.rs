//! Votes on lunch, in a store of `lunch-data`.

use lattice_node::store_type::*;
use lattice_node::{Node, core_registry};
use poll::Poll;

fn main() -> Result<(), Cause> {
    let mut registry = core_registry()?;
    let opener = EngineOpener::<Engine<Poll>>::new(|| Poll);
    registry.register(Poll::STORE_TYPE.parse()?, opener)?;
    let node = Node::builder("lunch-data").registry(registry).open()?;

    let lunch: Engine<Poll> = node.open_or_create("lunch")?;
    lunch.append("soup".into())?;
    lunch.append("noodles".into())?; // signed and on disk when it returns
    println!("{:?}", lunch.call("results", Value::Null)?);
    Ok(())
}
