//! The state machine of registries.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use lattice_backend::backend::Result;
use lattice_backend::machine::manifest::StoreCode;
use lattice_backend::machine::{
    DataRead, DataWrite, History, Invalid, Logic, MachineError, MethodEntry, StateMachine,
};
use lattice_backend::op::OpView;
use lattice_meta::{SchemaVersion, StoreType, readable_start};

use crate::releases::payload::{decode_payload, encode_payload};
use crate::releases::{Publish, ReleaseCommand, ReleaseRefusal, Withdraw, methods, rows};

/// The name of the store type.
pub const STORE_TYPE: &str = "core:registry";
/// The schema of rows that this version writes.
pub const SCHEMA_VERSION: SchemaVersion = SchemaVersion::new(1);
/// Must change whenever the effect of [`ReleaseMachine::apply`] on an op changes.
const LOGIC_VERSION: &str = "core:registry/1";
/// The most bytes of notes or of a reason in the description of an op.
const MAX_SHOWN: usize = 40;

/// The logic of `core:registry`.
///
/// Each op writes one row in `data`. Keys contain the op's id, so no op can touch a row of another,
/// and the order of arrival cannot matter. Rows are the elements of the state. Which releases are
/// withdrawn or in conflict follows from the rows when they are read.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ReleaseMachine;

static LOGIC: Logic = Logic::constant(STORE_TYPE, LOGIC_VERSION);

impl ReleaseMachine {
    /// Returns the logic, which has no settings.
    pub const fn new() -> Self {
        Self
    }
}

impl Default for ReleaseMachine {
    fn default() -> Self {
        Self::new()
    }
}

/// [`STORE_TYPE`] as a type.
pub const fn store_type() -> StoreType {
    StoreType::constant(STORE_TYPE)
}

impl StateMachine for ReleaseMachine {
    type Command = ReleaseCommand;
    type Refusal = ReleaseRefusal;
    type Payload<'a> = ReleaseCommand;

    fn logic(&self) -> &Logic {
        &LOGIC
    }

    fn decode(&self, payload: &[u8]) -> Result<ReleaseCommand, Invalid> {
        decode_payload(payload)
    }

    fn prepare(
        &self,
        command: &ReleaseCommand,
        _data: &dyn DataRead,
        _history: &dyn History,
    ) -> Result<Vec<u8>, MachineError<ReleaseRefusal>> {
        encode_payload(command).map_err(MachineError::Refused)
    }

    fn apply(
        &self,
        op: &OpView<'_>,
        command: ReleaseCommand,
        data: &mut dyn DataWrite,
        _history: &dyn History,
    ) -> Result<()> {
        let (key, value) = match command {
            ReleaseCommand::Publish(publish) => rows::release(op, &publish),
            ReleaseCommand::Withdraw(withdraw) => rows::withdrawal(op, withdraw),
        };
        data.put(&key, &value)
    }

    fn describe(&self, payload: &[u8]) -> String {
        let (mut text, words) = match decode_payload(payload) {
            Err(_) => return "nothing: an invalid payload".into(),
            Ok(ReleaseCommand::Publish(publish)) => {
                let Publish {
                    store_type,
                    release,
                    notes,
                    ..
                } = publish;
                (format!("publish {store_type} release {release}"), notes)
            }
            Ok(ReleaseCommand::Withdraw(Withdraw { cid, reason })) => {
                (format!("withdraw {cid}"), reason)
            }
        };
        if !words.is_empty() {
            let words = readable_start(words.as_bytes(), MAX_SHOWN);
            text.push_str(&format!(": \"{words}\""));
        }
        text
    }

    fn methods(&self) -> &[MethodEntry<Self>] {
        methods::METHODS
    }
}

impl StoreCode for ReleaseMachine {
    const STORE_TYPE: &'static str = STORE_TYPE;
    const METHODS: &'static [MethodEntry<Self>] = methods::METHODS;
}
