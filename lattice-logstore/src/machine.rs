//! The state machine of logs.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use lattice_backend::backend::{Result, Row};
use lattice_backend::machine::{
    Args, CallError, DataRead, DataWrite, Effect, History, LogicVersion, Method, StateMachine,
    Value,
};
use lattice_backend::op::OpView;
use lattice_meta::readable_start;
use lattice_meta::{SchemaVersion, StoreType};

use crate::methods;
use crate::payload::{decode_payload, encode_payload};
use crate::run::Run;

/// The store type's name.
pub const STORE_TYPE: &str = "core:logstore";
/// The layout of rows that this version writes.
pub const SCHEMA_VERSION: SchemaVersion = SchemaVersion::new(1);
/// To be changed with every change of what [`LogMachine::apply`] makes of an op.
const LOGIC_VERSION: &str = "core:logstore/1";

/// Appends entries, as one op.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// What is appended, in this order. An empty entry is an entry.
    pub entries: Vec<Vec<u8>>,
}

/// Why an append is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogRefusal {
    /// There is nothing to append.
    #[error("there is nothing to append; give at least one entry, which may be empty")]
    Nothing,
    /// More entries than one op may carry.
    #[error("one append takes at most {limit} entries, found {found}; append them in several")]
    TooMany {
        /// The most entries of one append.
        limit: usize,
        /// Entries given; counting may have stopped here.
        found: usize,
    },
}

/// The logic of `core:logstore`.
///
/// A row of `data` is an op that appends; its entries stand in the op. Keys tell ops apart by their ids,
/// so no op can touch a row of another, and the order in which ops arrive cannot matter. An element of the
/// state is an entry: its [`Position`] as a key, its author and content as the value.
///
/// [`Position`]: crate::Position
#[derive(Debug, Clone)]
pub struct LogMachine {
    store_type: StoreType,
}

impl LogMachine {
    /// The logic, which has no settings.
    pub fn new() -> Self {
        Self {
            store_type: store_type(),
        }
    }
}

impl Default for LogMachine {
    fn default() -> Self {
        Self::new()
    }
}

/// [`STORE_TYPE`], parsed.
pub fn store_type() -> StoreType {
    STORE_TYPE
        .parse()
        .expect("the name follows the grammar of store types")
}

impl StateMachine for LogMachine {
    type Command = Append;
    type Refusal = LogRefusal;

    fn store_type(&self) -> &StoreType {
        &self.store_type
    }

    fn schemas(&self) -> RangeInclusive<SchemaVersion> {
        SCHEMA_VERSION..=SCHEMA_VERSION
    }

    fn logic_version(&self) -> LogicVersion {
        LogicVersion::new(LOGIC_VERSION).expect("it is visible ASCII")
    }

    fn methods(&self) -> &'static [Method] {
        methods::METHODS
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

    fn prepare(
        &self,
        command: &Append,
        _data: &dyn DataRead,
        _history: &dyn History,
    ) -> Result<core::result::Result<Vec<u8>, LogRefusal>> {
        Ok(encode_payload(&command.entries))
    }

    fn apply(
        &self,
        op: &OpView<'_>,
        data: &mut dyn DataWrite,
        _history: &dyn History,
    ) -> Result<Effect> {
        let Some(entries) = decode_payload(op.payload) else {
            return Ok(Effect::Void);
        };
        let run = Run {
            hlc: op.hlc,
            op: op.reference.id,
            number: op.number,
            count: u32::try_from(entries.len()).expect("a payload has 65,536 entries at the most"),
        };
        data.put(&run.key(), &run.value())?;
        Ok(Effect::Applied)
    }

    fn describe(&self, payload: &[u8]) -> String {
        let Some(entries) = decode_payload(payload) else {
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

    fn command(&self, args: Args) -> core::result::Result<Append, CallError> {
        methods::command(args)
    }

    fn query(
        &self,
        args: Args,
        data: &dyn DataRead,
        history: &dyn History,
    ) -> Result<core::result::Result<Value, CallError>> {
        methods::query(args, data, history)
    }
}
