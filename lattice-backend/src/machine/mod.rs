//! What a store type is made of.

mod call;
pub(crate) mod data;

pub use call::{Args, CallError, Method, MethodKind, Param, Value, ValueType};
pub use data::{DataRead, DataWrite, History};

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::RangeInclusive;

use lattice_meta::{SchemaVersion, StoreType};

use crate::backend::{Result, Row};
use crate::op::{OpKind, OpView};

/// The longest logic version, in bytes.
pub const MAX_LOGIC_VERSION_BYTES: usize = 64;

/// A fingerprint of the code that computes a store's state. Its maintainer changes it whenever
/// that code changes, so that a store knows which logic its state was computed with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogicVersion(String);

/// A text that is no logic version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogicVersionError {
    /// Not 1 to 64 bytes of visible ASCII.
    #[error(
        "a logic version is 1 to {MAX_LOGIC_VERSION_BYTES} visible ASCII characters, found {found:?}"
    )]
    Form {
        /// What was given.
        found: String,
    },
}

impl LogicVersion {
    /// Takes 1 to 64 visible ASCII characters, e.g. a name and a number or a hash.
    ///
    /// # Errors
    /// [`LogicVersionError::Form`] for anything else.
    pub fn new(text: &str) -> core::result::Result<Self, LogicVersionError> {
        let fits = (1..=MAX_LOGIC_VERSION_BYTES).contains(&text.len());
        if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text.into()))
        } else {
            Err(LogicVersionError::Form {
                found: text.chars().take(80).collect(),
            })
        }
    }

    /// The fingerprint's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LogicVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What a payload turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// The payload is valid: its writes count, even if there are none.
    Applied,
    /// The payload is invalid: the host drops what was written. The op stays in history.
    Void,
}

/// The code of a store type.
///
/// One source is to run natively and as Wasm, on every replica alike. So `apply` and `settle` look
/// at nothing but their arguments: no clock, randomness, environment, floating point or order of
/// a hash map.
///
/// The rules that keep replicas equal, tested by [`conformance`](crate::conformance):
/// * for every order of ops that respects `prev` and `deps`, the elements of the state are the same;
/// * whether a payload is valid depends on its bytes alone, never on state;
/// * [`elements`](Self::elements) gives every state one set of elements, and different states different
///   ones; element keys are unique in a state;
/// * rows may hold the numbers of ops, which are this replica's own; elements and payloads may not.
pub trait StateMachine: Send + Sync + 'static {
    /// What a caller asks for; [`prepare`](Self::prepare) makes a payload of it.
    type Command: Send;
    /// Why a command cannot be carried out.
    type Refusal: core::error::Error + Send + Sync + 'static;

    /// The name under which the logic is registered.
    fn store_type(&self) -> &StoreType;

    /// The layouts that this code can open: the last one is what it writes, older ones are
    /// migrated to it.
    fn schemas(&self) -> RangeInclusive<SchemaVersion>;

    /// The fingerprint of the code that computes state.
    fn logic_version(&self) -> LogicVersion;

    /// The methods that can be called by name.
    fn methods(&self) -> &'static [Method];

    /// Maps a row to the elements that it stands for in the state hash: a key and a value each.
    /// The default is the row itself. A later schema may lay its rows out otherwise, if their
    /// elements stay the same. A row that names ops by their numbers has elements that name them in full.
    ///
    /// # Errors
    /// What the engine reports; [`BackendError::Row`](crate::backend::BackendError::Row) for a row that is damaged.
    fn elements(
        &self,
        schema: SchemaVersion,
        row: Row<'_>,
        history: &dyn History,
        element: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<()> {
        let _ = (schema, history);
        element(row.key, row.value);
        Ok(())
    }

    /// Changes the rows of schema `from` into those of the next one. What the state means must stay
    /// the same: the host computes the state hash of the new rows, by [`elements`](Self::elements) of
    /// the new schema, and drops everything unless it is the old one.
    ///
    /// All steps are one transaction, and rows are written to it as they come, so a migration need
    /// not hold them in memory. The default changes nothing.
    ///
    /// # Errors
    /// What the engine reports; the store is then the old one.
    fn migrate(
        &self,
        from: SchemaVersion,
        data: &mut dyn DataWrite,
        history: &dyn History,
    ) -> Result<()> {
        let _ = (from, data, history);
        Ok(())
    }

    /// Turns a command into a payload, from what the state is now, or refuses it.
    ///
    /// # Errors
    /// What the engine reports while it reads.
    fn prepare(
        &self,
        command: &Self::Command,
        data: &dyn DataRead,
        history: &dyn History,
    ) -> Result<core::result::Result<Vec<u8>, Self::Refusal>>;

    /// Brings the state up to date with an application op.
    ///
    /// # Errors
    /// What the engine reports; it stops the store. Nothing in an op is an error.
    fn apply(
        &self,
        op: &OpView<'_>,
        data: &mut dyn DataWrite,
        history: &dyn History,
    ) -> Result<Effect>;

    /// Called last for every op, of every kind, whether its payload is valid or not. A state
    /// machine that keeps rows about ops as such does so here; what it writes always counts.
    ///
    /// # Errors
    /// What the engine reports; it stops the store.
    fn settle(&self, kind: OpKind, op: &OpView<'_>, data: &mut dyn DataWrite) -> Result<()> {
        let _ = (kind, op, data);
        Ok(())
    }

    /// What a payload does, in a few words for people: a line without line ends. The payload may be
    /// anybody's, and invalid.
    fn describe(&self, payload: &[u8]) -> String {
        alloc::format!("{} bytes", payload.len())
    }

    /// Makes a command of a call by name, for a method of [`MethodKind::Command`].
    ///
    /// # Errors
    /// See [`CallError`].
    ///
    /// [`MethodKind::Command`]: crate::machine::MethodKind::Command
    fn command(&self, args: Args) -> core::result::Result<Self::Command, CallError>;

    /// Answers a call by name, for a method of [`MethodKind::Query`].
    ///
    /// # Errors
    /// What the engine reports while it reads; the inner error is the caller's mistake.
    ///
    /// [`MethodKind::Query`]: crate::machine::MethodKind::Query
    fn query(
        &self,
        args: Args,
        data: &dyn DataRead,
        history: &dyn History,
    ) -> Result<core::result::Result<Value, CallError>>;
}
