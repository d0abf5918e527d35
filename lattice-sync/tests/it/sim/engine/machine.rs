//! The code of `core:kvstore`, in a version that cannot apply some ops.

use lattice_backend::backend::{BackendError, Result, Row};
use lattice_backend::machine::{
    DataRead, DataWrite, History, Invalid, Logic, LogicFault, MachineError, StateMachine,
};
use lattice_backend::op::OpView;
use lattice_kvstore::{Command, KvMachine};
use lattice_meta::SchemaVersion;

/// Old code fails on payloads with this word.
pub(super) const POISON: &str = "poison";

#[derive(Debug, Clone, Copy)]
pub(super) struct Machine {
    pub(super) is_old: bool,
}

const INNER: KvMachine = KvMachine::new();

impl StateMachine for Machine {
    type Command = Command;
    type Refusal = <KvMachine as StateMachine>::Refusal;
    type Payload<'a> = <KvMachine as StateMachine>::Payload<'a>;

    fn logic(&self) -> &Logic {
        INNER.logic()
    }

    fn decode<'a>(&self, payload: &'a [u8]) -> Result<Self::Payload<'a>, Invalid> {
        INNER.decode(payload)
    }

    fn prepare(
        &self,
        command: &Command,
        data: &dyn DataRead,
        history: &dyn History,
    ) -> Result<Vec<u8>, MachineError<Self::Refusal>> {
        INNER.prepare(command, data, history)
    }

    fn apply(
        &self,
        op: &OpView<'_>,
        payload: Self::Payload<'_>,
        data: &mut dyn DataWrite,
        history: &dyn History,
    ) -> Result<()> {
        let mut words = op.payload.windows(POISON.len());
        if self.is_old && words.any(|word| word == POISON.as_bytes()) {
            let message = "old code".to_owned();
            return Err(BackendError::Fault(LogicFault::Trap { message }));
        }
        INNER.apply(op, payload, data, history)
    }

    fn elements(
        &self,
        schema: SchemaVersion,
        row: Row<'_>,
        history: &dyn History,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<()> {
        INNER.elements(schema, row, history, each)
    }
}
