//! What makes a running store out of a peeked one.

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

/// A store that has been peeked at, and how it is to be opened.
#[derive(Debug, Clone)]
pub struct Peeked {
    /// What its `meta` table says, and the logic that it records.
    pub peek: Peek,
    /// The file and the way to open it, with the id that was peeked as the one expected.
    pub request: OpenRequest,
}

/// A store that is to be computed from its history.
#[derive(Debug)]
pub struct Rebuild<'a> {
    /// What its `meta` table says.
    pub meta: &'a MetaInfo,
    /// The backend that keeps both files.
    pub backend: &'a dyn StateBackend,
    /// The store's file, open for writing, which keeps other writers out.
    pub held: &'a dyn StateDb,
    /// Where that file is.
    pub path: &'a Path,
    /// The file to be made.
    pub target: &'a Path,
    /// Receives progress reports.
    pub progress: &'a ProgressSink,
}

/// Opens stores of one type.
pub trait StoreOpener: Send + Sync {
    /// What the code says of itself. A new store starts with its newest schema and its version.
    fn logic(&self) -> Logic;

    /// The methods that a caller can name, for callers that have no open store.
    fn methods(&self) -> Vec<Method>;

    /// Computes a store from its history, into another file.
    ///
    /// # Errors
    /// See [`rebuild_store`]; [`OpenError::NoRebuild`] if this opener cannot rebuild stores.
    fn rebuild(&self, rebuild: Rebuild<'_>) -> Result<Rebuilt, OpenError>;

    /// Replays a store's history by this code, and changes nothing.
    ///
    /// # Errors
    /// See [`OpenError`].
    fn prove(&self, store: Peeked) -> Result<Proof, OpenError>;

    /// Opens a store.
    ///
    /// # Errors
    /// See [`OpenError`]; the store is then as it was.
    fn open(&self, store: Peeked) -> Result<Arc<dyn StoreHandle>, OpenError>;
}

/// Opens stores as the typed handle `T`, each with logic that a closure makes.
pub struct EngineOpener<T: TypedStore> {
    machine: Box<dyn Fn() -> T::Machine + Send + Sync>,
}

impl<T: TypedStore> EngineOpener<T> {
    /// Calls `machine` once for every store that is opened, made or rebuilt, and for every question
    /// about the type. It may capture configuration.
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
