//! Other builds of the key-value store's logic, as a maintainer might ship them.

use std::ops::RangeInclusive;

use lattice_backend::backend::{Result, Row};
use lattice_backend::engine::Engine;
use lattice_backend::machine::{
    Args, CallError, DataRead, DataWrite, Effect, History, LogicVersion, Method, StateMachine,
    Value,
};
use lattice_backend::op::{OpKind, OpView};
use lattice_kvstore::{Command, KvMachine, KvRefusal};
use lattice_meta::{SchemaVersion, StoreType};
use lattice_registry::{EngineOpener, RegisterError, Registry, TypedStore};

/// The logic of key-value stores, changed or only said to be.
pub(super) struct Build {
    machine: KvMachine,
    logic: &'static str,
    has_mistake: bool,
}

impl Build {
    /// Computes the same, only otherwise.
    fn faster() -> Self {
        Self {
            machine: KvMachine::new(),
            logic: "core:kvstore/2",
            has_mistake: false,
        }
    }

    /// Takes a delete for nothing.
    fn mistaken() -> Self {
        Self {
            machine: KvMachine::new(),
            logic: "core:kvstore/3",
            has_mistake: true,
        }
    }
}

/// An open store of such a build.
#[derive(Debug, Clone)]
pub(super) struct Built(Engine<Build>);

impl TypedStore for Built {
    type Machine = Build;

    fn from_engine(engine: Engine<Build>) -> Self {
        Self(engine)
    }

    fn engine(&self) -> &Engine<Build> {
        &self.0
    }
}

/// The registry of the build that computes the same.
pub(super) fn faster() -> Result<Registry, RegisterError> {
    registry(Build::faster)
}

/// The registry of the build with a mistake.
pub(super) fn mistaken() -> Result<Registry, RegisterError> {
    registry(Build::mistaken)
}

fn registry(build: fn() -> Build) -> Result<Registry, RegisterError> {
    let mut registry = Registry::new();
    registry.register(
        lattice_kvstore::store_type(),
        EngineOpener::<Built>::new(build),
    )?;
    Ok(registry)
}

/// What the mistaken build makes of the state: a row is never removed.
struct Keeping<'a>(&'a mut dyn DataWrite);

impl DataRead for Keeping<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.0.get(key)
    }

    fn range(
        &self,
        span: lattice_backend::backend::Span<'_>,
        direction: lattice_backend::backend::Direction,
    ) -> Result<lattice_backend::backend::Rows<'_>> {
        self.0.range(span, direction)
    }
}

impl DataWrite for Keeping<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.0.put(key, value)
    }

    fn remove(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }
}

impl StateMachine for Build {
    type Command = Command;
    type Refusal = KvRefusal;

    fn store_type(&self) -> &StoreType {
        self.machine.store_type()
    }

    fn schemas(&self) -> RangeInclusive<SchemaVersion> {
        self.machine.schemas()
    }

    fn logic_version(&self) -> LogicVersion {
        LogicVersion::new(self.logic).expect("it is visible ASCII")
    }

    fn methods(&self) -> &'static [Method] {
        self.machine.methods()
    }

    fn elements(
        &self,
        schema: SchemaVersion,
        row: Row<'_>,
        history: &dyn History,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<()> {
        self.machine.elements(schema, row, history, each)
    }

    fn migrate(
        &self,
        from: SchemaVersion,
        data: &mut dyn DataWrite,
        history: &dyn History,
    ) -> Result<()> {
        self.machine.migrate(from, data, history)
    }

    fn prepare(
        &self,
        command: &Command,
        data: &dyn DataRead,
        history: &dyn History,
    ) -> Result<std::result::Result<Vec<u8>, KvRefusal>> {
        self.machine.prepare(command, data, history)
    }

    fn apply(
        &self,
        op: &OpView<'_>,
        data: &mut dyn DataWrite,
        history: &dyn History,
    ) -> Result<Effect> {
        match self.has_mistake {
            true => self.machine.apply(op, &mut Keeping(data), history),
            false => self.machine.apply(op, data, history),
        }
    }

    fn settle(&self, kind: OpKind, op: &OpView<'_>, data: &mut dyn DataWrite) -> Result<()> {
        self.machine.settle(kind, op, data)
    }

    fn describe(&self, payload: &[u8]) -> String {
        self.machine.describe(payload)
    }

    fn command(&self, args: Args) -> std::result::Result<Command, CallError> {
        self.machine.command(args)
    }

    fn query(
        &self,
        args: Args,
        data: &dyn DataRead,
        history: &dyn History,
    ) -> Result<std::result::Result<Value, CallError>> {
        self.machine.query(args, data, history)
    }
}
