//! The state machine, which combines the parts of the store type.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use lattice_backend::backend::{Result, Row};
use lattice_backend::machine::manifest::{Elements, StoreCode};
use lattice_backend::machine::{
    DataRead, DataWrite, History, Invalid, Logic, MachineError, MethodEntry, StateMachine,
};
use lattice_backend::op::OpView;
use lattice_meta::{SchemaVersion, StoreType, readable_start};

use crate::payload::Payload;
use crate::{Command, KvRefusal, apply, elements, guest, methods, prepare};

/// The name of the store type.
pub const STORE_TYPE: &str = "core:kvstore";
/// The schema of rows that this version writes.
pub const SCHEMA_VERSION: SchemaVersion = SchemaVersion::new(1);
/// Maximum length of a key, in bytes.
pub const MAX_KEY_BYTES: usize = 4096;
/// Maximum number of writes in one op.
pub const MAX_BATCH: usize = 65_536;
/// Changes whenever the code that computes state changes: `apply`, the payload's rules, the rows.
const LOGIC_VERSION: &str = "core:kvstore/1";

/// The logic of `core:kvstore`: conflict-keeping cells, atomic batches, conditional writes.
///
/// It holds no state of its own and builds without `std`. Any host that has the rows of a store and
/// knows its history can run it.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct KvMachine;

static LOGIC: Logic = Logic::constant_with(STORE_TYPE, LOGIC_VERSION, guest::EQUAL);

impl KvMachine {
    /// The only version of the logic.
    pub const fn new() -> Self {
        Self
    }
}

impl Default for KvMachine {
    fn default() -> Self {
        Self::new()
    }
}

/// [`STORE_TYPE`] as a type.
pub const fn store_type() -> StoreType {
    StoreType::constant(STORE_TYPE)
}

impl StateMachine for KvMachine {
    type Command = Command;
    type Refusal = KvRefusal;
    type Payload<'a> = Payload<'a>;

    fn logic(&self) -> &Logic {
        &LOGIC
    }

    fn decode<'a>(&self, payload: &'a [u8]) -> Result<Payload<'a>, Invalid> {
        Payload::decode(payload).map_err(|error| Invalid::new(format!("{error}")))
    }

    fn prepare(
        &self,
        command: &Command,
        data: &dyn DataRead,
        history: &dyn History,
    ) -> Result<Vec<u8>, MachineError<KvRefusal>> {
        prepare::prepare(command, data, history)
    }

    fn apply(
        &self,
        op: &OpView<'_>,
        payload: Payload<'_>,
        data: &mut dyn DataWrite,
        history: &dyn History,
    ) -> Result<()> {
        apply::apply(op, &payload, data, history)
    }

    fn elements(
        &self,
        _schema: SchemaVersion,
        row: Row<'_>,
        history: &dyn History,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<()> {
        elements::elements(row, history, each)
    }

    fn describe(&self, payload: &[u8]) -> String {
        Payload::decode(payload).map_or_else(|_| "nothing: an invalid payload".into(), describe)
    }

    fn methods(&self) -> &[MethodEntry<Self>] {
        methods::METHODS
    }
}

impl StoreCode for KvMachine {
    const STORE_TYPE: &'static str = STORE_TYPE;
    const METHODS: &'static [MethodEntry<Self>] = methods::METHODS;
    const ELEMENTS: Elements = Elements::Code;
}

/// The first few keys of each kind, and how many more there are.
fn describe(payload: Payload<'_>) -> String {
    const SHOWN: usize = 3;
    const SHOWN_BYTES: usize = 40;
    let mut text = String::new();
    for (verb, puts) in [("put ", true), ("delete ", false)] {
        let mut count: usize = 0;
        for write in &payload.writes {
            if write.value.is_some() != puts {
                continue;
            }
            count += 1;
            text.push_str(match count {
                1 if text.is_empty() => "",
                1 => "; ",
                2..=SHOWN => ", ",
                _ => continue,
            });
            if count == 1 {
                text.push_str(verb);
            }
            text.push_str(&readable_start(write.key, SHOWN_BYTES));
        }
        if count > SHOWN {
            text.push_str(&format!(" and {} more", count - SHOWN));
        }
    }
    text
}
