//! A store type for tests: every op adds its payload, a u64, under its author.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lattice_backend::backend::{OpenOptions, Result, StateBackend, StateDb};
use lattice_backend::engine::Engine;
use lattice_backend::machine::{
    DataRead, DataWrite, History, Invalid, Logic, MachineError, MethodEntry, Param, StateMachine,
    ValueType,
};
use lattice_backend::op::{OpView, SecretKey};
use lattice_backend::params;
use lattice_backend::redb::RedbBackend;
use lattice_meta::SchemaVersion;
use lattice_registry::{EngineOpener, ManagerOptions, Registry, StoreManager, TypedStore};

pub(crate) const COUNTER: &str = "org.example.counter";

pub(crate) struct CounterMachine {
    logic: Logic,
}

impl CounterMachine {
    pub(crate) fn new() -> Self {
        Self::of_type(COUNTER)
    }

    pub(crate) fn of_type(store_type: &str) -> Self {
        let third = SchemaVersion::new(3);
        let logic = Logic::new(store_type, "counter/1").unwrap();
        Self {
            logic: logic.schemas(third..=third),
        }
    }
}

const METHODS: &[MethodEntry<CounterMachine>] = &[MethodEntry::command(
    "add",
    "Adds a number.",
    params![Param::required("n", ValueType::Integer, "How much.")],
    |_, mut args| Ok(args.take_u64("n")?.unwrap()),
)];

impl StateMachine for CounterMachine {
    type Command = u64;
    type Refusal = Infallible;
    type Payload<'a> = u64;

    fn logic(&self) -> &Logic {
        &self.logic
    }

    fn decode(&self, payload: &[u8]) -> Result<u64, Invalid> {
        let bytes = payload.try_into().map(u64::from_le_bytes);
        bytes.map_err(|_| Invalid::new("expected 8 bytes"))
    }

    fn prepare(
        &self,
        n: &u64,
        _: &dyn DataRead,
        _: &dyn History,
    ) -> Result<Vec<u8>, MachineError<Infallible>> {
        Ok(n.to_le_bytes().to_vec())
    }

    fn apply(
        &self,
        op: &OpView<'_>,
        n: u64,
        data: &mut dyn DataWrite,
        _: &dyn History,
    ) -> Result<()> {
        let key = op.reference.author.as_bytes();
        let sum = data
            .get(key)?
            .map_or(0, |sum| u64::from_le_bytes(sum.try_into().unwrap()));
        data.put(key, &(sum.wrapping_add(n)).to_le_bytes())
    }

    fn methods(&self) -> &[MethodEntry<Self>] {
        METHODS
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Counter(Engine<CounterMachine>);

impl TypedStore for Counter {
    type Machine = CounterMachine;

    fn from_engine(engine: Engine<CounterMachine>) -> Self {
        Self(engine)
    }

    fn engine(&self) -> &Engine<CounterMachine> {
        &self.0
    }
}

pub(crate) fn opener() -> EngineOpener<Counter> {
    EngineOpener::new(CounterMachine::new)
}

pub(crate) fn registry() -> Registry {
    let mut registry = Registry::new();
    registry
        .register(COUNTER.parse().unwrap(), opener())
        .unwrap();
    registry
}

pub(crate) fn options() -> ManagerOptions {
    ManagerOptions::new(SecretKey::from_bytes(&[5; 32]))
}

pub(crate) fn manager(dir: &Path) -> StoreManager {
    manager_of(dir, registry())
}

/// A manager that does not wait for other writers.
pub(crate) fn impatient(dir: &Path) -> StoreManager {
    let options = options().wait(Duration::ZERO);
    StoreManager::new(dir, Arc::new(RedbBackend::on_files()), registry(), options)
}

/// Keeps the turn of a store, as a process does during long work.
pub(crate) fn long_work(file: &Path) -> Arc<dyn StateDb> {
    let work = OpenOptions::long_work("rebuild", Duration::ZERO);
    RedbBackend::on_files().open(file, &work).unwrap()
}

pub(crate) fn manager_of(dir: &Path, registry: Registry) -> StoreManager {
    StoreManager::new(dir, Arc::new(RedbBackend::on_files()), registry, options())
}

impl Counter {
    pub(crate) fn append(
        &self,
        n: u64,
    ) -> Result<
        lattice_backend::engine::write::Receipt,
        lattice_backend::engine::write::AppendError<Infallible>,
    > {
        self.0.append(n)
    }
}
