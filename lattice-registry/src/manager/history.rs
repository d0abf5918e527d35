//! Opens stores for reading their history, which needs none of their type's code.

use std::convert::Infallible;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use lattice_backend::backend::{Access, BackendError, Result, Row};
use lattice_backend::engine::Engine;
use lattice_backend::engine::open::{LogicPolicy, OpenError};
use lattice_backend::machine::{
    DataRead, DataWrite, History, Invalid, Logic, LogicVersion, MachineError, StateMachine,
};
use lattice_backend::op::{OpKind, OpView};
use lattice_meta::SchemaVersion;

use super::find::{canonical, state_db};
use super::{ManagerError, StoreManager};
use crate::{Describer, StoreHandle};

/// The cache of a store whose history is read, in bytes.
const CACHE_BYTES: usize = 16 << 20;

impl StoreManager {
    /// Opens any store (a `state.db` or the directory that holds one) for reading its history: ops,
    /// tips, branches, forks, held ops, state hash. None of these depend on the code of the store's
    /// type, so the store is never refused because other code computed its state, its layout is
    /// older or newer, or its type is not known here.
    ///
    /// The handle has no methods, does not verify and does not write. It describes ops with the
    /// code of the type if that is available, else by the length of their payloads. It is not
    /// shared: each call opens the file, unless this manager has the store open already.
    ///
    /// # Errors
    /// See [`ManagerError`].
    pub fn open_history(
        &self,
        path: impl AsRef<Path>,
    ) -> std::result::Result<Arc<dyn StoreHandle>, ManagerError> {
        let file = canonical(&state_db(path.as_ref()));
        if let Some(open) = self.opened(&file, Access::ReadOnly) {
            return Ok(open);
        }
        let peek = self.peek_recorded(&file)?;
        let recorded = peek.logic.as_deref().unwrap_or("");
        let version = LogicVersion::new(recorded).unwrap_or(LogicVersion::constant("unknown"));
        let logic = Logic::new(peek.meta.store_type.as_str(), version.as_str());
        let logic = logic.expect("the type was read, and the version is checked above");
        let machine = NoCode {
            logic: logic.schemas(SchemaVersion::new(0)..=SchemaVersion::new(u64::MAX)),
            describer: self.registry.resolve(&peek).ok().map(|it| it.describer()),
        };
        let request = self.request(&peek.meta, &file, Access::ReadOnly, CACHE_BYTES);
        // A reader with this policy takes every layout and logic unchanged.
        let request = request.logic(LogicPolicy::Trust);
        let engine = Engine::open(request, machine).map_err(|error| match error {
            // Another thread may have opened it exclusively since.
            OpenError::File(error) => ManagerError::Peek(error.into()),
            error => error.into(),
        })?;
        Ok(Arc::new(engine))
    }
}

/// Stands for the code of any type, for readers of history.
struct NoCode {
    logic: Logic,
    describer: Option<Describer>,
}

impl fmt::Debug for NoCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NoCode").finish_non_exhaustive()
    }
}

/// Why the handle does not compute a state.
#[derive(Debug, thiserror::Error)]
#[error("the store is open for reading its history only")]
struct HistoryOnly;

fn history_only() -> BackendError {
    BackendError::storage("running the code of the store type", HistoryOnly)
}

impl StateMachine for NoCode {
    type Command = Infallible;
    type Refusal = Infallible;
    type Payload<'a> = Infallible;

    fn logic(&self) -> &Logic {
        &self.logic
    }

    fn decode(&self, _: &[u8]) -> std::result::Result<Infallible, Invalid> {
        Err(Invalid::new(HistoryOnly.to_string()))
    }

    fn prepare(
        &self,
        command: &Infallible,
        _: &dyn DataRead,
        _: &dyn History,
    ) -> std::result::Result<Vec<u8>, MachineError<Infallible>> {
        match *command {}
    }

    fn apply(
        &self,
        _: &OpView<'_>,
        payload: Infallible,
        _: &mut dyn DataWrite,
        _: &dyn History,
    ) -> Result<()> {
        match payload {}
    }

    fn settle(&self, _: OpKind, _: &OpView<'_>, _: &mut dyn DataWrite) -> Result<()> {
        Err(history_only())
    }

    fn elements(
        &self,
        _: SchemaVersion,
        _: Row<'_>,
        _: &dyn History,
        _: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<()> {
        Err(history_only())
    }

    fn describe(&self, payload: &[u8]) -> String {
        match &self.describer {
            Some(describe) => describe(payload),
            None => format!("{} bytes", payload.len()),
        }
    }
}
