//! The handle of an open registry.

use std::ops::ControlFlow;

use lattice_backend::backend::BackendError;
use lattice_backend::engine::Engine;
use lattice_backend::engine::write::{AppendError, Receipt};
use lattice_meta::{Cid, StoreType};
use lattice_registry::{EngineOpener, NamedType, StandaloneError, TypedStore, standalone};

use crate::releases::read;
use crate::releases::{
    Filter, Publish, Release, ReleaseCommand, ReleaseMachine, ReleaseRefusal, Withdraw,
};

/// Why nothing was published or withdrawn.
pub type ReleaseAppendError = AppendError<ReleaseRefusal>;

/// Opener of registries: `registry.register(store_type(), release_opener())`.
pub type ReleaseOpener = EngineOpener<ReleaseStore>;

/// Returns an opener of registries.
pub fn release_opener() -> ReleaseOpener {
    EngineOpener::new(ReleaseMachine::new)
}

/// An open registry. Clones are cheap and share it; any thread may use any of them.
///
/// ```
/// use lattice_code::releases::{Filter, Publish, ReleaseStore, Withdraw};
/// use lattice_meta::Cid;
///
/// let registry = ReleaseStore::in_memory()?;
/// let cid = Cid::of(b"a module");
/// registry.publish(&Publish {
///     store_type: "org.example.chat".parse()?,
///     release: 1,
///     cid,
///     length: 8,
///     abi: 1,
///     schemas: (1, 1),
///     replaces: None,
///     notes: "the first".into(),
/// })?;
/// registry.withdraw(&Withdraw { cid, reason: "loses messages".into() })?;
///
/// let releases = registry.releases(&Filter::default())?;
/// assert_eq!(releases[0].withdrawn.as_deref(), Some("loses messages"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ReleaseStore {
    engine: Engine<ReleaseMachine>,
}

impl TypedStore for ReleaseStore {
    type Machine = ReleaseMachine;

    fn from_engine(engine: Engine<ReleaseMachine>) -> Self {
        Self { engine }
    }

    fn engine(&self) -> &Engine<ReleaseMachine> {
        &self.engine
    }
}

impl NamedType for ReleaseStore {
    const STORE_TYPE: &'static str = crate::releases::STORE_TYPE;
}

impl ReleaseStore {
    /// Creates an empty registry in memory, for tests and trials. It lives as long as its handles.
    ///
    /// # Errors
    /// [`StandaloneError`] if the system has no random bytes, or its clock is far off.
    pub fn in_memory() -> Result<Self, StandaloneError> {
        standalone::in_memory(ReleaseMachine::new())
    }

    /// Publishes a module as a release. The author of the op, which is this node, is the publisher.
    /// The release is durable when this returns. Nothing checks that the module exists.
    ///
    /// # Errors
    /// [`ReleaseRefusal`]; see [`AppendError`].
    pub fn publish(&self, publish: &Publish) -> Result<Receipt, ReleaseAppendError> {
        self.engine.append(ReleaseCommand::Publish(publish.clone()))
    }

    /// Withdraws a module. It counts for all releases of the module by the same publisher, and for
    /// no other publisher's. A module can be withdrawn before it is published.
    ///
    /// # Errors
    /// As for [`publish`](Self::publish).
    pub fn withdraw(&self, withdraw: &Withdraw) -> Result<Receipt, ReleaseAppendError> {
        self.engine
            .append(ReleaseCommand::Withdraw(withdraw.clone()))
    }

    /// The selected releases, in the order of (type, publisher, number, op id).
    ///
    /// # Errors
    /// Errors of the backend; the same holds for all methods below.
    pub fn releases(&self, filter: &Filter) -> Result<Vec<Release>, BackendError> {
        let snapshot = self.engine.snapshot()?;
        collect(|each| read::releases(&snapshot, filter, each))
    }

    /// All releases that name a module, in the same order. Reads the rows of all releases.
    pub fn releases_of(&self, cid: &Cid) -> Result<Vec<Release>, BackendError> {
        let snapshot = self.engine.snapshot()?;
        collect(|each| read::naming(&snapshot, cid, each))
    }

    /// The store types that have releases, ascending.
    pub fn types(&self) -> Result<Vec<StoreType>, BackendError> {
        let snapshot = self.engine.snapshot()?;
        let mut types = Vec::new();
        while let Some(next) = read::next_type(&snapshot, types.last())? {
            types.push(next);
        }
        Ok(types)
    }
}

fn collect(
    read: impl FnOnce(read::Each<'_>) -> Result<(), BackendError>,
) -> Result<Vec<Release>, BackendError> {
    let mut releases = Vec::new();
    read(&mut |release| {
        releases.push(release);
        ControlFlow::Continue(())
    })?;
    Ok(releases)
}
