//! The parts of a store type.
//!
//! An author of a store type implements [`StateMachine`]. [`logic`](StateMachine::logic) describes
//! the code, [`decode`](StateMachine::decode) decodes a payload, [`prepare`](StateMachine::prepare)
//! turns a command into a payload, and [`apply`](StateMachine::apply) writes the rows that follow
//! from it. All other methods have defaults. The suites of [`conformance`](crate::conformance) test
//! an implementation.

mod args;
mod call;
mod conversion;
mod data;
mod fault;
#[cfg(any(feature = "std", not(target_arch = "wasm32")))]
mod limits;
mod logic;
pub mod manifest;
mod method;
mod record;
mod value;
mod value_codec;

pub use args::Args;
pub use call::{CommandFn, MethodCall, MethodEntry, QueryFn};
pub use conversion::{Conversion, ConversionError, Query, Step};
pub use data::{DataRead, DataWrite, History};
pub use fault::{Invalid, Limit, LogicFault, MachineError};
#[cfg(any(feature = "std", not(target_arch = "wasm32")))]
pub use limits::Limits;
pub use logic::{Logic, LogicError, LogicVersion, MAX_LOGIC_VERSION_BYTES};
pub use method::{CallError, Method, MethodKind, Param};
pub use record::{Field, Record};
pub use value::{Fields, Value, ValueType};
pub use value_codec::{MAX_VALUE_BYTES, MAX_VALUE_DEPTH, MAX_VALUES, ValueError};

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use lattice_meta::SchemaVersion;

use crate::backend::{Result, Row, RowCursor};
use crate::op::{OpKind, OpView};

/// The code of a store type.
///
/// One source runs natively and as Wasm, with equal results on every replica. So `decode`, `apply`
/// and `settle` use only their arguments: no clock, randomness, environment, floating point, order
/// of a hash map, or state of their own.
///
/// The rules that keep replicas equal, tested by [`conformance`](crate::conformance):
/// * for all orders of ops that respect `prev` and `deps`, the elements of the state are the same;
/// * [`elements`](Self::elements) maps each state to one set of elements, and different states to
///   different sets; the keys of a state's elements are unique;
/// * rows may hold apply indexes, which are local to a replica; elements and payloads may not;
/// * no data of other authors makes `apply` fail: its work is proportional to its payload and to
///   the rows that it reads (see [`Limits`]).
///
/// The bytes of a payload alone determine whether it is valid, since `decode` sees nothing else.
pub trait StateMachine: Send + Sync + 'static {
    /// What a caller asks for; [`prepare`](Self::prepare) turns it into a payload.
    type Command: Send;
    /// Why a command is refused.
    type Refusal: core::error::Error + Send + Sync + 'static;
    /// The decoded form of a valid payload. It may borrow from the payload's bytes.
    type Payload<'a>: Send;

    /// Describes this code: store type, layouts, version.
    fn logic(&self) -> &Logic;

    /// Decodes a payload. The host calls it before the write transaction, on all cores.
    ///
    /// # Errors
    /// [`Invalid`] if the bytes are not a payload of this type; the op stays in history and changes
    /// nothing.
    fn decode<'a>(&self, payload: &'a [u8]) -> Result<Self::Payload<'a>, Invalid>;

    /// Turns a command into a payload, given the current state, or refuses it.
    ///
    /// # Errors
    /// [`MachineError::Refused`], and what the backend reports while it reads.
    fn prepare(
        &self,
        command: &Self::Command,
        data: &dyn DataRead,
        history: &dyn History,
    ) -> Result<Vec<u8>, MachineError<Self::Refusal>>;

    /// Writes the rows that follow from a valid payload. It cannot refuse.
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

    /// The host calls it last for every op, of every kind, valid or not. A state machine that keeps
    /// rows about ops as such writes them here. The default writes nothing.
    ///
    /// # Errors
    /// What the backend reports.
    fn settle(&self, kind: OpKind, op: &OpView<'_>, data: &mut dyn DataWrite) -> Result<()> {
        let _ = (kind, op, data);
        Ok(())
    }

    /// Maps a row to its elements in the state hash, a key and a value each. The default is the row
    /// itself. A later schema may change the layout of rows if their elements stay the same. The
    /// elements of a row with apply indexes must name the ops in full.
    ///
    /// # Errors
    /// What the backend reports; [`BackendError::Row`](crate::backend::BackendError::Row) if the
    /// row is damaged.
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

    /// Converts the rows of schema `from` to the next schema. The meaning of the state must not
    /// change: the host computes the state hash of the new rows, with [`elements`](Self::elements)
    /// of the new schema, and rolls back everything if it differs from the old hash.
    ///
    /// All steps run in one transaction, and rows are written to it immediately, so a migration
    /// need not hold them in memory. The default changes nothing.
    ///
    /// # Errors
    /// What the backend reports; the store is unchanged then.
    fn migrate(
        &self,
        from: SchemaVersion,
        data: &mut dyn DataWrite,
        history: &dyn History,
    ) -> Result<()> {
        let _ = (from, data, history);
        Ok(())
    }

    /// Describes a payload for people: a few words without line breaks. Any author may have made
    /// the payload, and it may be invalid. The default returns its length.
    fn describe(&self, payload: &[u8]) -> String {
        format!("{} bytes", payload.len())
    }

    /// The methods that can be called by name, and the functions that implement them. The default
    /// has no methods.
    fn methods(&self) -> &[MethodEntry<Self>]
    where
        Self: Sized,
    {
        &[]
    }

    /// Decodes a payload that [`prepare`](Self::prepare) of this machine has just returned, on the
    /// thread that then [runs](Self::run) the op. The default is [`decode`](Self::decode). A host
    /// of foreign code may defer the decoding to `run`, which calls the code anyway; if the payload
    /// turns out to be invalid there, that is a [fault][`BackendError::Fault`].
    ///
    /// # Errors
    /// As for [`decode`](Self::decode).
    ///
    /// [`BackendError::Fault`]: crate::backend::BackendError::Fault
    fn decode_own<'a>(&self, payload: &'a [u8]) -> Result<Self::Payload<'a>, Invalid> {
        self.decode(payload)
    }

    /// Runs one op: applies its payload if it is valid, and settles. The host calls this once per
    /// op. For foreign code, the host replaces the default by a single call into the code.
    ///
    /// # Errors
    /// What the backend reports; [`BackendError::Fault`] if the code failed.
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

    /// The elements of many rows. Each comes with the position of its row in `rows`, from 0. For
    /// foreign code, the host replaces the default by a single call into the code.
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
