//! The state machine: where the parts of the store type come together.

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

use crate::payload::Payload;
use crate::{Command, KvRefusal, apply, elements, methods, prepare};

/// The store type's name.
pub const STORE_TYPE: &str = "core:kvstore";
/// The layout of rows that this version writes.
pub const SCHEMA_VERSION: SchemaVersion = SchemaVersion::new(1);
/// Changes whenever the code that computes state changes: `apply`, `settle`, the payload's rules,
/// the rows.
const LOGIC_VERSION: &str = "core:kvstore/1";

/// The logic of `core:kvstore`: conflict-keeping cells, atomic batches, conditional writes.
///
/// It holds no state of its own and builds without `std`; any host that has the rows of a store
/// and knows its history can run it.
#[derive(Debug, Clone)]
pub struct KvMachine {
    store_type: StoreType,
}

impl KvMachine {
    /// The one version of the logic there is.
    pub fn new() -> Self {
        Self {
            store_type: store_type(),
        }
    }
}

impl Default for KvMachine {
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

impl StateMachine for KvMachine {
    type Command = Command;
    type Refusal = KvRefusal;

    fn store_type(&self) -> &StoreType {
        &self.store_type
    }

    fn schemas(&self) -> RangeInclusive<SchemaVersion> {
        SCHEMA_VERSION..=SCHEMA_VERSION
    }

    fn logic_version(&self) -> LogicVersion {
        LogicVersion::new(LOGIC_VERSION).expect("the text is visible ASCII")
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
        elements::elements(row, history, each)
    }

    fn prepare(
        &self,
        command: &Command,
        data: &dyn DataRead,
        history: &dyn History,
    ) -> Result<core::result::Result<Vec<u8>, KvRefusal>> {
        prepare::prepare(command, data, history)
    }

    fn apply(
        &self,
        op: &OpView<'_>,
        data: &mut dyn DataWrite,
        history: &dyn History,
    ) -> Result<Effect> {
        apply::apply(op, data, history)
    }

    fn describe(&self, payload: &[u8]) -> String {
        Payload::decode(payload).map_or_else(|_| "nothing: an invalid payload".into(), describe)
    }

    fn command(&self, args: Args) -> core::result::Result<Command, CallError> {
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

/// The first few keys of each kind, and how many more there are.
fn describe(payload: Payload<'_>) -> String {
    const SHOWN: usize = 3;
    const SHOWN_BYTES: usize = 40;
    let keys = |puts: bool| {
        let written = payload.writes.iter();
        written.filter(move |write| write.value.is_some() == puts)
    };
    let part = |verb: &str, puts: bool| {
        let count = keys(puts).count();
        let shown = keys(puts).take(SHOWN);
        let shown = shown.map(|write| readable_start(write.key, SHOWN_BYTES));
        let more = match count.saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let shown: Vec<String> = shown.collect();
        (count > 0).then(|| format!("{verb} {}{more}", shown.join(", ")))
    };
    let parts: Vec<String> = [part("put", true), part("delete", false)]
        .into_iter()
        .flatten()
        .collect();
    parts.join("; ")
}
