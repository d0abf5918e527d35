//! A store type for tests: every op adds its payload, a u64, under its author.

use std::convert::Infallible;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use lattice_backend::backend::Result;
use lattice_backend::engine::Engine;
use lattice_backend::machine::{
    Args, CallError, DataRead, DataWrite, Effect, History, LogicVersion, Method, MethodKind, Param,
    StateMachine, Value, ValueType,
};
use lattice_backend::op::{OpView, SecretKey};
use lattice_backend::redb::RedbBackend;
use lattice_meta::{SchemaVersion, StoreType};
use lattice_registry::{EngineOpener, ManagerOptions, Registry, StoreManager, TypedStore};

pub(crate) const COUNTER: &str = "org.example.counter";

const METHODS: [Method; 1] = [Method {
    name: "add",
    kind: MethodKind::Command,
    doc: "Adds a number.",
    params: &[Param {
        name: "n",
        value_type: ValueType::Integer,
        required: true,
        doc: "How much.",
    }],
    result: ValueType::Record,
}];

pub(crate) struct CounterMachine {
    store_type: StoreType,
}

impl CounterMachine {
    pub(crate) fn new() -> Self {
        Self {
            store_type: COUNTER.parse().unwrap(),
        }
    }
}

impl StateMachine for CounterMachine {
    type Command = u64;
    type Refusal = Infallible;

    fn store_type(&self) -> &StoreType {
        &self.store_type
    }

    fn schemas(&self) -> RangeInclusive<SchemaVersion> {
        SchemaVersion::new(3)..=SchemaVersion::new(3)
    }

    fn logic_version(&self) -> LogicVersion {
        LogicVersion::new("counter/1").unwrap()
    }

    fn methods(&self) -> &'static [Method] {
        &METHODS
    }

    fn prepare(
        &self,
        n: &u64,
        _: &dyn DataRead,
        _: &dyn History,
    ) -> Result<Result<Vec<u8>, Infallible>> {
        Ok(Ok(n.to_le_bytes().to_vec()))
    }

    fn apply(&self, op: &OpView<'_>, data: &mut dyn DataWrite, _: &dyn History) -> Result<Effect> {
        let Some(n) = op.payload.try_into().ok().map(u64::from_le_bytes) else {
            return Ok(Effect::Void);
        };
        let key = op.reference.author.as_bytes();
        let sum = data
            .get(key)?
            .map_or(0, |sum| u64::from_le_bytes(sum.try_into().unwrap()));
        data.put(key, &(sum.wrapping_add(n)).to_le_bytes())?;
        Ok(Effect::Applied)
    }

    fn command(&self, mut args: Args) -> Result<u64, CallError> {
        Ok(args.take_u64("n")?.unwrap())
    }

    fn query(
        &self,
        _: Args,
        _: &dyn DataRead,
        _: &dyn History,
    ) -> Result<Result<Value, CallError>> {
        unreachable!("there are no queries")
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
    StoreManager::new(
        dir,
        Arc::new(RedbBackend::on_files()),
        registry(),
        options(),
    )
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
