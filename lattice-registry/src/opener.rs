//! What makes a running store out of a peeked one.

use std::fmt;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;

use lattice_backend::backend::{StateBackend, StateDb};
use lattice_backend::engine::Engine;
use lattice_backend::engine::open::{OpenError, OpenRequest};
use lattice_backend::engine::verify::{Rebuilt, rebuild_store};
use lattice_backend::machine::{LogicVersion, Method, StateMachine};
use lattice_backend::progress::Watch;
use lattice_meta::{MetaInfo, SchemaVersion};

use crate::handle::{StoreHandle, TypedStore};

/// A store that has been peeked at, and how it is to be opened.
#[derive(Debug, Clone)]
pub struct Peeked {
    /// What its `meta` table says.
    pub meta: MetaInfo,
    /// The file and the way to open it, with the id that was peeked as the one expected.
    pub request: OpenRequest,
}

/// What a new store of a type starts with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Birth {
    /// The layout of its data.
    pub schema: SchemaVersion,
    /// The fingerprint of its logic.
    pub logic: LogicVersion,
}

/// A store that is to be computed anew from its history.
#[derive(Debug)]
pub struct Rebuild<'a> {
    /// What its `meta` table says.
    pub meta: &'a MetaInfo,
    /// The engine underneath.
    pub backend: &'a dyn StateBackend,
    /// The store's file, open for writing, so that nobody else writes to it.
    pub held: &'a dyn StateDb,
    /// Where that file is.
    pub path: &'a Path,
    /// The file to be made.
    pub target: &'a Path,
    /// Who is told how far it is.
    pub watch: &'a Watch,
}

/// Opens stores of one type. A plain closure is one, too; since it tells nothing of new stores, it
/// opens existing ones only ([`with_birth`] adds the rest).
pub trait StoreOpener: Send + Sync {
    /// What a new store starts with; nothing if this opener cannot make any.
    fn birth(&self) -> Option<Birth> {
        None
    }

    /// The methods that its stores can be called by, for who has no store at hand; nothing if this
    /// opener cannot tell before it has opened one.
    fn methods(&self) -> Option<&'static [Method]> {
        None
    }

    /// Computes a store anew from its history, into another file.
    ///
    /// # Errors
    /// See [`rebuild_store`]; [`OpenError::Unsupported`] if this opener has no way to.
    fn rebuild(&self, rebuild: Rebuild<'_>) -> Result<Rebuilt, OpenError> {
        Err(OpenError::Unsupported {
            store_type: rebuild.meta.store_type.clone(),
            what: "rebuilt",
        })
    }

    /// Opens a store.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing of the store may have been changed.
    fn open(&self, store: Peeked) -> Result<Arc<dyn StoreHandle>, OpenError>;
}

impl<F> StoreOpener for F
where
    F: Fn(Peeked) -> Result<Arc<dyn StoreHandle>, OpenError> + Send + Sync,
{
    fn open(&self, store: Peeked) -> Result<Arc<dyn StoreHandle>, OpenError> {
        self(store)
    }
}

struct WithBirth<O> {
    birth: Birth,
    opener: O,
}

/// An opener, or a closure, that can make new stores too.
pub fn with_birth(birth: Birth, opener: impl StoreOpener + 'static) -> impl StoreOpener {
    WithBirth { birth, opener }
}

impl<O: StoreOpener> StoreOpener for WithBirth<O> {
    fn birth(&self) -> Option<Birth> {
        Some(self.birth.clone())
    }

    fn methods(&self) -> Option<&'static [Method]> {
        self.opener.methods()
    }

    fn rebuild(&self, rebuild: Rebuild<'_>) -> Result<Rebuilt, OpenError> {
        self.opener.rebuild(rebuild)
    }

    fn open(&self, store: Peeked) -> Result<Arc<dyn StoreHandle>, OpenError> {
        self.opener.open(store)
    }
}

/// Opens stores whose logic is made by a function, as the typed handle `T`.
pub struct EngineOpener<T: TypedStore> {
    machine: fn() -> T::Machine,
    handle: PhantomData<fn() -> T>,
}

impl<T: TypedStore> EngineOpener<T> {
    /// With logic that `machine` makes, anew for every store.
    pub const fn new(machine: fn() -> T::Machine) -> Self {
        Self {
            machine,
            handle: PhantomData,
        }
    }
}

impl<T: TypedStore> fmt::Debug for EngineOpener<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineOpener").finish_non_exhaustive()
    }
}

impl<T: TypedStore> StoreOpener for EngineOpener<T> {
    fn birth(&self) -> Option<Birth> {
        let machine = (self.machine)();
        Some(Birth {
            schema: *machine.schemas().end(),
            logic: machine.logic_version(),
        })
    }

    fn methods(&self) -> Option<&'static [Method]> {
        Some((self.machine)().methods())
    }

    fn rebuild(&self, rebuild: Rebuild<'_>) -> Result<Rebuilt, OpenError> {
        let Rebuild {
            backend,
            held,
            path,
            target,
            watch,
            ..
        } = rebuild;
        let machine = (self.machine)();
        rebuild_store(backend, held, path, target, machine, watch)
    }

    fn open(&self, store: Peeked) -> Result<Arc<dyn StoreHandle>, OpenError> {
        Ok(Arc::new(T::from_engine(Engine::open(
            store.request,
            (self.machine)(),
        )?)))
    }
}
