//! Stores of `core:kvstore` that other programs wrote: their code has another version, and may
//! compute another state.

use std::path::Path;

use lattice_backend::backend::{Result, Row};
use lattice_backend::engine::Engine;
use lattice_backend::machine::{
    DataRead, DataWrite, History, Invalid, Logic, MachineError, StateMachine,
};
use lattice_backend::op::OpView;
use lattice_kvstore::{Command, KvMachine, KvRefusal, Payload, STORE_TYPE};
use lattice_meta::{SchemaVersion, StoreId};
use lattice_node::{Access, Aliases, Node, Registry};
use lattice_registry::EngineOpener;

/// The code of another program.
#[derive(Debug, Clone)]
pub(crate) struct Other {
    logic: Logic,
    /// Whether payloads that contain `bolt` change nothing.
    ignores_bolts: bool,
}

impl Other {
    /// Code that computes the same state as the program's own.
    pub(crate) fn equal() -> Self {
        Self::new("core:kvstore/other", false)
    }

    /// Code that ignores ops about bolts.
    pub(crate) fn different() -> Self {
        Self::new("core:kvstore/different", true)
    }

    fn new(version: &str, ignores_bolts: bool) -> Self {
        Self {
            logic: Logic::new(STORE_TYPE, version).unwrap(),
            ignores_bolts,
        }
    }

    #[cfg(feature = "wasm")]
    /// The same with another layout, whose rows are the same.
    pub(crate) fn schema(self, schema: u64) -> Self {
        let schema = SchemaVersion::new(schema);
        Self {
            logic: self.logic.schemas(schema..=schema),
            ..self
        }
    }

    #[cfg(feature = "wasm")]
    /// Creates a store with the alias `s` in a data directory, and puts nuts and bolts.
    pub(crate) fn write(self, dir: &Path) -> StoreId {
        self.write_as(dir, "s")
    }

    /// The same with another alias.
    pub(crate) fn write_as(self, dir: &Path, alias: &str) -> StoreId {
        let mut registry = Registry::new();
        let store_type: lattice_meta::StoreType = STORE_TYPE.parse().unwrap();
        let opener = EngineOpener::<Engine<Self>>::new(move || self.clone());
        registry.register(store_type.clone(), opener).unwrap();
        let node = Node::builder(dir).registry(registry).open().unwrap();
        let id = node.manager().create(&store_type).unwrap();
        let store = node.manager().open(id, Access::ReadWrite).unwrap();
        let engine: &Engine<Self> = store.downcast_ref().unwrap();
        for key in ["nut", "bolt", "nut 2"] {
            let mut command = Command::new();
            command.put(key, "5");
            engine.append(command).unwrap();
        }
        node.manager().close_all().unwrap();
        Aliases::set(dir, &alias.parse().unwrap(), id).unwrap();
        id
    }
}

impl StateMachine for Other {
    type Command = Command;
    type Refusal = KvRefusal;
    /// The payload, and whether the code ignores it.
    type Payload<'a> = (Payload<'a>, bool);

    fn logic(&self) -> &Logic {
        &self.logic
    }

    fn decode<'a>(&self, payload: &'a [u8]) -> Result<Self::Payload<'a>, Invalid> {
        let bolt = b"bolt";
        let is_of_bolts = payload.windows(bolt.len()).any(|part| part == bolt);
        let decoded = KvMachine::new().decode(payload)?;
        Ok((decoded, self.ignores_bolts && is_of_bolts))
    }

    fn prepare(
        &self,
        command: &Command,
        data: &dyn DataRead,
        history: &dyn History,
    ) -> Result<Vec<u8>, MachineError<KvRefusal>> {
        KvMachine::new().prepare(command, data, history)
    }

    fn apply(
        &self,
        op: &OpView<'_>,
        (payload, is_ignored): (Payload<'_>, bool),
        data: &mut dyn DataWrite,
        history: &dyn History,
    ) -> Result<()> {
        match is_ignored {
            true => Ok(()),
            false => KvMachine::new().apply(op, payload, data, history),
        }
    }

    fn elements(
        &self,
        schema: SchemaVersion,
        row: Row<'_>,
        history: &dyn History,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<()> {
        KvMachine::new().elements(schema, row, history, each)
    }
}
