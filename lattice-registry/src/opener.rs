//! Turns a peeked store into an open one.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use lattice_backend::backend::{Peek, StateBackend, StateDb};
use lattice_backend::engine::Engine;
use lattice_backend::engine::open::{OpenError, OpenRequest, Proof, prove_store};
use lattice_backend::engine::verify::{Rebuilt, rebuild_store};
use lattice_backend::machine::{Logic, Method, StateMachine};
use lattice_backend::progress::ProgressSink;
use lattice_meta::MetaInfo;

use crate::handle::{StoreHandle, TypedStore};

/// A store that has been peeked at, and the request to open it.
#[derive(Debug, Clone)]
pub struct Peeked {
    /// Its `meta` table and its recorded logic.
    pub peek: Peek,
    /// The file and how to open it; expects the peeked store id.
    pub request: OpenRequest,
}

/// A request to rebuild a store from its history.
#[derive(Debug)]
pub struct Rebuild<'a> {
    /// The store's `meta` table.
    pub meta: &'a MetaInfo,
    /// The backend of both files.
    pub backend: &'a dyn StateBackend,
    /// The store's file, open for writing to keep other writers out.
    pub held: &'a dyn StateDb,
    /// The path of the store's file.
    pub path: &'a Path,
    /// The path of the new file.
    pub target: &'a Path,
    /// Receives progress reports.
    pub progress: &'a ProgressSink,
}

/// Describes a payload for people: a few words without line breaks.
pub type Describer = Box<dyn Fn(&[u8]) -> String + Send + Sync>;

/// Opens stores of one type.
pub trait StoreOpener: Send + Sync {
    /// The description of the code. A new store starts with its newest schema and its version.
    fn logic(&self) -> Logic;

    /// The methods that can be called by name, for callers without an open store.
    fn methods(&self) -> Vec<Method>;

    /// A function that describes a payload for people, as
    /// [`StateMachine::describe`] does.
    fn describer(&self) -> Describer;

    /// Rebuilds a store from its history in another file.
    ///
    /// # Errors
    /// See [`rebuild_store`]; [`OpenError::NoRebuild`] if this opener cannot rebuild stores.
    fn rebuild(&self, rebuild: Rebuild<'_>) -> Result<Rebuilt, OpenError>;

    /// Replays a store's history with this code. Changes nothing.
    ///
    /// # Errors
    /// See [`OpenError`].
    fn prove(&self, store: Peeked) -> Result<Proof, OpenError>;

    /// Opens a store.
    ///
    /// # Errors
    /// See [`OpenError`]; the store has not changed then.
    fn open(&self, store: Peeked) -> Result<Arc<dyn StoreHandle>, OpenError>;
}

/// Opens stores with the typed handle `T`, each with a state machine that a closure makes.
pub struct EngineOpener<T: TypedStore> {
    machine: Box<dyn Fn() -> T::Machine + Send + Sync>,
}

impl<T: TypedStore> EngineOpener<T> {
    /// The opener calls `machine` once for every store that it opens, creates or rebuilds, and for
    /// every question about the type. The closure may capture configuration.
    pub fn new(machine: impl Fn() -> T::Machine + Send + Sync + 'static) -> Self {
        Self {
            machine: Box::new(machine),
        }
    }
}

impl<T: TypedStore> fmt::Debug for EngineOpener<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineOpener").finish_non_exhaustive()
    }
}

impl<T: TypedStore> StoreOpener for EngineOpener<T> {
    fn logic(&self) -> Logic {
        (self.machine)().logic().clone()
    }

    fn methods(&self) -> Vec<Method> {
        let machine = (self.machine)();
        let methods = machine.methods().iter();
        methods.map(|entry| entry.method.clone()).collect()
    }

    fn describer(&self) -> Describer {
        let machine = (self.machine)();
        Box::new(move |payload| machine.describe(payload))
    }

    fn rebuild(&self, rebuild: Rebuild<'_>) -> Result<Rebuilt, OpenError> {
        let Rebuild {
            backend,
            held,
            path,
            target,
            progress,
            ..
        } = rebuild;
        let machine = (self.machine)();
        rebuild_store(backend, held, path, target, machine, progress)
    }

    fn prove(&self, store: Peeked) -> Result<Proof, OpenError> {
        prove_store(store.request, (self.machine)())
    }

    fn open(&self, store: Peeked) -> Result<Arc<dyn StoreHandle>, OpenError> {
        Ok(Arc::new(T::from_engine(Engine::open(
            store.request,
            (self.machine)(),
        )?)))
    }
}
