//! The state machine whose rows are in the golden files.

use lattice_backend::backend::BackendError;
use lattice_backend::machine::{
    DataRead, DataWrite, History, Invalid, Logic, MachineError, StateMachine,
};
use lattice_backend::op::{MAX_OP_BYTES, OpView};
use lattice_meta::codec;

use super::Word;

/// Writes the rows that a payload lists: the minimal state machine.
pub(super) struct RowMachine(Logic);

impl RowMachine {
    pub(super) fn new() -> Self {
        Self(Logic::new("org.example.golden", "rows/1").unwrap())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("never")]
pub(super) struct Never;

impl StateMachine for RowMachine {
    type Command = Vec<(Vec<u8>, Word)>;
    type Refusal = Never;
    type Payload<'a> = Vec<(Vec<u8>, Word)>;

    fn logic(&self) -> &Logic {
        &self.0
    }

    fn decode(&self, payload: &[u8]) -> Result<Self::Command, Invalid> {
        codec::decode(payload, MAX_OP_BYTES).map_err(|error| Invalid::new(error.to_string()))
    }

    fn prepare(
        &self,
        command: &Self::Command,
        _data: &dyn DataRead,
        _: &dyn History,
    ) -> Result<Vec<u8>, MachineError<Never>> {
        Ok(codec::encode(command).unwrap())
    }

    fn apply(
        &self,
        _: &OpView<'_>,
        writes: Self::Command,
        data: &mut dyn DataWrite,
        _history: &dyn History,
    ) -> Result<(), BackendError> {
        for (key, value) in writes {
            match value {
                Some(value) => data.put(&key, &value)?,
                None => data.remove(&key)?,
            }
        }
        Ok(())
    }
}
