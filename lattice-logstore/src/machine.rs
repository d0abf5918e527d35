//! The state machine of logs.

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

use crate::payload::{decode_payload, encode_payload};
use crate::run::Run;
use crate::{guest, methods};

/// The name of the store type.
pub const STORE_TYPE: &str = "core:logstore";
/// The schema of rows that this version writes.
pub const SCHEMA_VERSION: SchemaVersion = SchemaVersion::new(1);
/// Maximum number of entries in one op.
pub const MAX_BATCH: usize = 65_536;
/// Must change whenever the effect of [`LogMachine::apply`] on an op changes.
const LOGIC_VERSION: &str = "core:logstore/1";

/// Appends entries, as one op.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// The entries, in this order. An empty entry is an entry.
    pub entries: Vec<Vec<u8>>,
}

/// Why an append is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogRefusal {
    /// The append has no entries.
    #[error("there is nothing to append; give at least one entry, which may be empty")]
    Nothing,
    /// The append has more entries than one op may carry.
    #[error("one append takes at most {limit} entries, found {found}; append them in several")]
    TooMany {
        /// Maximum number of entries of one append.
        limit: usize,
        /// Entries found; counting may have stopped here.
        found: usize,
    },
}

/// The logic of `core:logstore`.
///
/// Each op that appends has one row in `data`; the entries stay in the op. Keys contain the op's
/// id, so no op can touch a row of another, and the order of arrival cannot matter. Each entry is
/// an element of the state: its [`Position`] is the key, its author and content are the value.
///
/// [`Position`]: crate::Position
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct LogMachine;

static LOGIC: Logic = Logic::constant_with(STORE_TYPE, LOGIC_VERSION, guest::EQUAL);

impl LogMachine {
    /// Returns the logic, which has no settings.
    pub const fn new() -> Self {
        Self
    }
}

impl Default for LogMachine {
    fn default() -> Self {
        Self::new()
    }
}

/// [`STORE_TYPE`] as a type.
pub const fn store_type() -> StoreType {
    StoreType::constant(STORE_TYPE)
}

impl StateMachine for LogMachine {
    type Command = Append;
    type Refusal = LogRefusal;
    type Payload<'a> = Vec<&'a [u8]>;

    fn logic(&self) -> &Logic {
        &LOGIC
    }

    fn decode<'a>(&self, payload: &'a [u8]) -> Result<Vec<&'a [u8]>, Invalid> {
        decode_payload(payload)
    }

    fn prepare(
        &self,
        command: &Append,
        _data: &dyn DataRead,
        _history: &dyn History,
    ) -> Result<Vec<u8>, MachineError<LogRefusal>> {
        encode_payload(&command.entries).map_err(MachineError::Refused)
    }

    fn apply(
        &self,
        op: &OpView<'_>,
        entries: Vec<&[u8]>,
        data: &mut dyn DataWrite,
        _history: &dyn History,
    ) -> Result<()> {
        let run = Run {
            hlc: op.hlc,
            op: op.reference.id,
            index: op.index,
            count: u32::try_from(entries.len()).expect("a payload has at most 65,536 entries"),
        };
        data.put(&run.key(), &run.value())
    }

    fn elements(
        &self,
        _schema: SchemaVersion,
        row: Row<'_>,
        history: &dyn History,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<()> {
        Run::from_row(row)?.elements(history, each)
    }

    fn describe(&self, payload: &[u8]) -> String {
        let Ok(entries) = decode_payload(payload) else {
            return "nothing: an invalid payload".into();
        };
        let first = entries.first().copied().unwrap_or(&[]);
        let first = readable_start(first, 40);
        let more = match entries.len().saturating_sub(1) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("append \"{first}\"{more}")
    }

    fn methods(&self) -> &[MethodEntry<Self>] {
        methods::METHODS
    }
}

impl StoreCode for LogMachine {
    const STORE_TYPE: &'static str = STORE_TYPE;
    const METHODS: &'static [MethodEntry<Self>] = methods::METHODS;
    const ELEMENTS: Elements = Elements::Code;
}
