//! Other builds of the key-value store's logic, as a maintainer could ship them.

use lattice_backend::backend::{Direction, Result, Row, Rows, Span};
use lattice_backend::engine::Engine;
use lattice_backend::machine::{
    DataRead, DataWrite, History, Invalid, Logic, MachineError, StateMachine,
};
use lattice_backend::op::OpView;
use lattice_kvstore::{Command, KvMachine, KvRefusal, Payload, STORE_TYPE};
use lattice_meta::SchemaVersion;
use lattice_registry::{EngineOpener, RegisterError, Registry, TypedStore};

/// The logic of key-value stores with another version: unchanged, or with a bug.
pub(super) struct Build {
    machine: KvMachine,
    logic: Logic,
    has_mistake: bool,
}

impl Build {
    /// Computes the same state under a new version.
    fn faster() -> Self {
        Self::new("core:kvstore/2", false)
    }

    /// Ignores deletes.
    fn mistaken() -> Self {
        Self::new("core:kvstore/3", true)
    }

    fn new(version: &str, has_mistake: bool) -> Self {
        Self {
            machine: KvMachine::new(),
            logic: Logic::new(STORE_TYPE, version).expect("both texts are well formed"),
            has_mistake,
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

/// The registry of the build that computes the same state.
pub(super) fn faster() -> Result<Registry, RegisterError> {
    registry(Build::faster)
}

/// The registry of the build with the bug.
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

/// The state as the buggy build writes it: rows are never removed.
struct Keeping<'a>(&'a mut dyn DataWrite);

impl DataRead for Keeping<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.0.get(key)
    }

    fn range(&self, span: Span<'_>, direction: Direction) -> Result<Rows<'_>> {
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
    type Payload<'a> = Payload<'a>;

    fn logic(&self) -> &Logic {
        &self.logic
    }

    fn decode<'a>(&self, payload: &'a [u8]) -> Result<Payload<'a>, Invalid> {
        self.machine.decode(payload)
    }

    fn prepare(
        &self,
        command: &Command,
        data: &dyn DataRead,
        history: &dyn History,
    ) -> Result<Vec<u8>, MachineError<KvRefusal>> {
        self.machine.prepare(command, data, history)
    }

    fn apply(
        &self,
        op: &OpView<'_>,
        payload: Payload<'_>,
        data: &mut dyn DataWrite,
        history: &dyn History,
    ) -> Result<()> {
        match self.has_mistake {
            true => {
                let mut data = Keeping(data);
                self.machine.apply(op, payload, &mut data, history)
            }
            false => self.machine.apply(op, payload, data, history),
        }
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

    fn describe(&self, payload: &[u8]) -> String {
        self.machine.describe(payload)
    }
}
