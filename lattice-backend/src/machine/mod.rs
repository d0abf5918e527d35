//! What a store type is made of.
//!
//! An author of a store type implements [`StateMachine`]: [`logic`](StateMachine::logic) says what
//! the code is, [`decode`](StateMachine::decode) reads a payload, [`prepare`](StateMachine::prepare)
//! makes one of a command, and [`apply`](StateMachine::apply) writes the rows that follow from it.
//! Everything else has a default. The suites of [`conformance`](crate::conformance) test it.

mod args;
mod call;
mod conversion;
mod data;
mod fault;
mod fields;
mod limits;
mod logic;
pub mod manifest;
mod value;
mod value_codec;

pub use args::{Args, Field, Record};
pub use call::{CallError, CommandFn, Method, MethodCall, MethodEntry, MethodKind, Param, QueryFn};
pub use conversion::{Conversion, ConversionError, Query, Step};
pub use data::{DataRead, DataWrite, History};
pub use fault::{Invalid, Limit, LogicFault, MachineError};
pub use fields::Fields;
pub use limits::Limits;
pub use logic::{Logic, LogicError, LogicVersion, MAX_LOGIC_VERSION_BYTES};
pub use value::{Value, ValueType};
pub use value_codec::{MAX_VALUE_BYTES, MAX_VALUE_DEPTH, MAX_VALUES, ValueError};

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use lattice_meta::SchemaVersion;

use crate::backend::{Result, Row, RowCursor};
use crate::op::{OpKind, OpView};

/// The code of a store type.
///
/// One source runs natively and as Wasm, on every replica alike. So `decode`, `apply` and `settle`
/// look at nothing but their arguments: no clock, randomness, environment, floating point or order
/// of a hash map, and no state of their own.
///
/// The rules that keep replicas equal, tested by [`conformance`](crate::conformance):
/// * for every order of ops that respects `prev` and `deps`, the elements of the state are the same;
/// * [`elements`](Self::elements) gives every state one set of elements, and different states
///   different ones; the keys of a state's elements are unique;
/// * rows may hold apply indexes, which are this replica's own; elements and payloads may not;
/// * nothing that others wrote makes `apply` fail: its work is proportional to its payload and to
///   the rows that it reads (see [`Limits`]).
///
/// Whether a payload is valid depends on its bytes alone, since `decode` sees nothing else.
pub trait StateMachine: Send + Sync + 'static {
    /// What a caller asks for; [`prepare`](Self::prepare) makes a payload of it.
    type Command: Send;
    /// Why a command cannot be carried out.
    type Refusal: core::error::Error + Send + Sync + 'static;
    /// What a valid payload says. It may borrow from the payload's bytes.
    type Payload<'a>: Send;

    /// What this code is: store type, layouts, version.
    fn logic(&self) -> &Logic;

    /// Reads a payload. The host calls it before the write transaction, on all cores.
    ///
    /// # Errors
    /// [`Invalid`] for bytes that are not a payload of this type: the op stays in history and
    /// changes nothing.
    fn decode<'a>(&self, payload: &'a [u8]) -> Result<Self::Payload<'a>, Invalid>;

    /// Turns a command into a payload, from what the state is now, or refuses it.
    ///
    /// # Errors
    /// [`MachineError::Refused`], and what the backend reports while it reads.
    fn prepare(
        &self,
        command: &Self::Command,
        data: &dyn DataRead,
        history: &dyn History,
    ) -> Result<Vec<u8>, MachineError<Self::Refusal>>;

    /// Writes what follows from a valid payload. It cannot refuse.
    ///
    /// # Errors
    /// What the backend reports.
    fn apply(
        &self,
        op: &OpView<'_>,
        payload: Self::Payload<'_>,
        data: &mut dyn DataWrite,
        history: &dyn History,
    ) -> Result<()>;

    /// Called last for every op, of every kind, whether its payload is valid or not. A state
    /// machine that keeps rows about ops as such writes them here. The default writes nothing.
    ///
    /// # Errors
    /// What the backend reports.
    fn settle(&self, kind: OpKind, op: &OpView<'_>, data: &mut dyn DataWrite) -> Result<()> {
        let _ = (kind, op, data);
        Ok(())
    }

    /// Maps a row to the elements that it stands for in the state hash: a key and a value each.
    /// The default is the row itself. A later schema may lay its rows out otherwise, if their
    /// elements stay the same. A row that holds apply indexes has elements that name the ops in
    /// full.
    ///
    /// # Errors
    /// What the backend reports; [`BackendError::Row`](crate::backend::BackendError::Row) for a row
    /// that is damaged.
    fn elements(
        &self,
        schema: SchemaVersion,
        row: Row<'_>,
        history: &dyn History,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<()> {
        let _ = (schema, history);
        each(row.key, row.value);
        Ok(())
    }

    /// Changes the rows of schema `from` into those of the next one. What the state means must stay
    /// the same: the host computes the state hash of the new rows, by [`elements`](Self::elements)
    /// of the new schema, and undoes everything unless it is the old one.
    ///
    /// All steps are one transaction, and rows are written to it as they come, so a migration need
    /// not hold them in memory. The default changes nothing.
    ///
    /// # Errors
    /// What the backend reports; the store is then unchanged.
    fn migrate(
        &self,
        from: SchemaVersion,
        data: &mut dyn DataWrite,
        history: &dyn History,
    ) -> Result<()> {
        let _ = (from, data, history);
        Ok(())
    }

    /// What a payload does, in a few words for people: a line without line ends. Any author may
    /// have made the payload, and it may be invalid. The default says how long it is.
    fn describe(&self, payload: &[u8]) -> String {
        format!("{} bytes", payload.len())
    }

    /// The methods that can be called by name, with the functions that carry them out. The default
    /// has none.
    fn methods(&self) -> &[MethodEntry<Self>]
    where
        Self: Sized,
    {
        &[]
    }

    /// Reads a payload that [`prepare`](Self::prepare) of this machine has just made, on the thread that
    /// then [runs](Self::run) the op. The default is [`decode`](Self::decode). Code that is foreign to the
    /// host may put it off to `run`, by which it is entered in any case; a payload that turns out to be
    /// invalid there is a [fault][`BackendError::Fault`].
    ///
    /// # Errors
    /// As for [`decode`](Self::decode).
    ///
    /// [`BackendError::Fault`]: crate::backend::BackendError::Fault
    fn decode_own<'a>(&self, payload: &'a [u8]) -> Result<Self::Payload<'a>, Invalid> {
        self.decode(payload)
    }

    /// All that an op does: applies its payload if it has a valid one, and settles. The host enters
    /// a state machine by this once for each op. Code that is foreign to the host replaces the
    /// default by one call of its own.
    ///
    /// # Errors
    /// What the backend reports; [`BackendError::Fault`] if the code did not end as it should.
    ///
    /// [`BackendError::Fault`]: crate::backend::BackendError::Fault
    fn run(
        &self,
        kind: OpKind,
        op: &OpView<'_>,
        payload: Option<Self::Payload<'_>>,
        data: &mut dyn DataWrite,
        history: &dyn History,
    ) -> Result<()> {
        if let Some(payload) = payload {
            self.apply(op, payload, data, history)?;
        }
        self.settle(kind, op, data)
    }

    /// The elements of many rows, each with the place of its row among those that were taken, from
    /// 0. Code that is foreign to the host replaces the default by one call of its own.
    ///
    /// # Errors
    /// As for [`elements`](Self::elements) and [`run`](Self::run).
    #[allow(clippy::type_complexity)]
    fn elements_of(
        &self,
        schema: SchemaVersion,
        rows: &mut dyn RowCursor,
        history: &dyn History,
        each: &mut dyn FnMut(usize, &[u8], &[u8]),
    ) -> Result<()> {
        let mut place = 0;
        while let Some(row) = rows.next()? {
            let mut each = |key: &[u8], value: &[u8]| each(place, key, value);
            self.elements(schema, row, history, &mut each)?;
            place += 1;
        }
        Ok(())
    }
}
