//! A short custom store type with a Serde payload: each author has one vote, and the latest one
//! counts. `cargo run -q --example votes` creates a store, votes and counts.

use std::collections::BTreeMap;

use lattice_node::store_type::*;
use lattice_node::{Node, core_registry};
use serde::{Deserialize, Serialize};

/// A choice: both the command and the payload that every replica decodes.
#[derive(Serialize, Deserialize)]
pub(crate) struct Vote(pub(crate) String);

pub(crate) struct Machine;

static LOGIC: Logic = Logic::constant(Votes::STORE_TYPE, "votes/1");

impl StateMachine for Machine {
    type Command = Vote;
    type Refusal = codec::CodecError;
    type Payload<'a> = Vote;

    fn logic(&self) -> &Logic {
        &LOGIC
    }

    fn decode(&self, payload: &[u8]) -> Result<Vote, Invalid> {
        codec::decode(payload, MAX_OP_BYTES).map_err(|error| Invalid::new(error.to_string()))
    }

    fn prepare(
        &self,
        vote: &Vote,
        _: &dyn DataRead,
        _: &dyn History,
    ) -> Result<Vec<u8>, MachineError<codec::CodecError>> {
        codec::encode(vote).map_err(MachineError::Refused)
    }

    /// Each author has a row: time, op and choice. Ops arrive in any order; the greatest row stays.
    fn apply(
        &self,
        op: &OpView<'_>,
        Vote(choice): Vote,
        data: &mut dyn DataWrite,
        _: &dyn History,
    ) -> Result<()> {
        let (author, id) = (op.reference.author.as_bytes(), op.reference.id.as_bytes());
        let time = op.hlc.to_u64().to_be_bytes();
        let row = [&time, &id[..], choice.as_bytes()].concat();
        match data.get(author)?.is_some_and(|before| before > row) {
            true => Ok(()),
            false => data.put(author, &row),
        }
    }
}

#[derive(Debug, Clone)]
struct Votes(Engine<Machine>);

impl NamedType for Votes {
    const STORE_TYPE: &'static str = "org.example.votes";
}

impl TypedStore for Votes {
    type Machine = Machine;

    fn from_engine(engine: Engine<Machine>) -> Self {
        Self(engine)
    }

    fn engine(&self) -> &Engine<Machine> {
        &self.0
    }
}

pub(crate) fn main() -> Result<(), Cause> {
    let (dir, mut registry) = (tempfile::tempdir()?, core_registry()?);
    registry.register(
        Votes::STORE_TYPE.parse()?,
        EngineOpener::<Votes>::new(|| Machine),
    )?;
    let node = Node::builder(dir.path()).registry(registry).open()?;
    let Votes(engine) = node.open_or_create("lunch")?;
    engine.append(Vote("coffee".into()))?;
    engine.append(Vote("tea".into()))?;
    let (snapshot, mut counts) = (engine.snapshot()?, BTreeMap::<_, u32>::new());
    let mut rows = snapshot.range(EVERYTHING, Direction::Forward)?;
    while let Some(row) = rows.next()? {
        let choice = String::from_utf8_lossy(&row.value[8 + 32..]);
        *counts.entry(choice.into_owned()).or_default() += 1;
    }
    println!("{counts:?}");
    assert_eq!(counts, BTreeMap::from([("tea".into(), 1)]));
    Ok(())
}
