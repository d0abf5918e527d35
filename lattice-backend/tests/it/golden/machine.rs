//! The state machine whose rows are in the golden files.

use std::ops::RangeInclusive;

use lattice_backend::backend::BackendError;
use lattice_backend::machine::{
    Args, CallError, DataRead, DataWrite, Effect, History, LogicVersion, Method, StateMachine,
    Value,
};
use lattice_backend::op::{MAX_OP_BYTES, OpView};
use lattice_meta::codec;
use lattice_meta::{SchemaVersion, StoreType};

use super::Word;

/// Rows written as a payload says: the least a state machine can do.
pub(super) struct RowMachine(StoreType);

impl RowMachine {
    pub(super) fn new() -> Self {
        Self("org.example.golden".parse().unwrap())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("never")]
pub(super) struct Never;

impl StateMachine for RowMachine {
    type Command = Vec<(Vec<u8>, Word)>;
    type Refusal = Never;

    fn store_type(&self) -> &StoreType {
        &self.0
    }

    fn schemas(&self) -> RangeInclusive<SchemaVersion> {
        SchemaVersion::new(1)..=SchemaVersion::new(1)
    }

    fn logic_version(&self) -> LogicVersion {
        LogicVersion::new("rows/1").unwrap()
    }

    fn methods(&self) -> &'static [Method] {
        &[]
    }

    fn prepare(
        &self,
        command: &Self::Command,
        _data: &dyn DataRead,
        _: &dyn History,
    ) -> Result<Result<Vec<u8>, Never>, BackendError> {
        Ok(Ok(codec::encode(command).unwrap()))
    }

    fn apply(
        &self,
        op: &OpView<'_>,
        data: &mut dyn DataWrite,
        _history: &dyn History,
    ) -> Result<Effect, BackendError> {
        let writes: Self::Command = codec::decode(op.payload, MAX_OP_BYTES).unwrap();
        for (key, value) in writes {
            match value {
                Some(value) => data.put(&key, &value)?,
                None => data.remove(&key)?,
            }
        }
        Ok(Effect::Applied)
    }

    fn command(&self, _args: Args) -> Result<Self::Command, CallError> {
        unreachable!("there are no methods")
    }

    fn query(
        &self,
        _args: Args,
        _data: &dyn DataRead,
        _: &dyn History,
    ) -> Result<Result<Value, CallError>, BackendError> {
        unreachable!("there are no methods")
    }
}
