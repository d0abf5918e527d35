//! A node: an identity and the stores of a data directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lattice_backend::backend::{Sharing, StateBackend};
use lattice_backend::engine::open::{IfCopied, LogicPolicy};
use lattice_backend::progress::ProgressSink;
use lattice_meta::{StoreId, StoreType, StoreTypeError};
use lattice_registry::files::{FilesError, make_dirs};
use lattice_registry::{
    Access, Found, IdentityError, IfUnverified, ManagerError, ManagerOptions, NamedType,
    RegisterError, Registry, StoreHandle, StoreManager, TypedStore,
};

use crate::aliases::{Alias, AliasError, Aliases};
use crate::identity::{load_identity, load_or_create_identity};
use crate::openers::core_registry;

/// An identity, a data directory, a registry and a manager.
#[derive(Debug)]
pub struct Node {
    manager: StoreManager,
}

/// The options of a node.
#[derive(Debug)]
pub struct NodeBuilder {
    dir: PathBuf,
    registry: Option<Registry>,
    options: ManagerOptions,
}

impl NodeBuilder {
    /// The store types that the node knows. Default: [`core_registry`].
    #[must_use]
    pub fn registry(mut self, registry: Registry) -> Self {
        self.registry = Some(registry);
        self
    }

    /// What to do with stores whose state was computed by another logic version.
    #[must_use]
    pub fn logic(mut self, logic: LogicPolicy) -> Self {
        self.options = self.options.logic(logic);
        self
    }

    /// What to do about stores that the data directory does not vouch for.
    #[must_use]
    pub fn unverified(mut self, unverified: IfUnverified) -> Self {
        self.options = self.options.unverified(unverified);
        self
    }

    /// What to do about unconfirmed copies.
    #[must_use]
    pub fn continue_copy(mut self, copied: IfCopied) -> Self {
        self.options = self.options.continue_copy(copied);
        self
    }

    /// How to share stores with other processes.
    #[must_use]
    pub fn sharing(mut self, sharing: Sharing) -> Self {
        self.options = self.options.sharing(sharing);
        self
    }

    /// How long a write waits for its turn while other processes write the store. Default: 10
    /// seconds.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.options = self.options.wait(wait);
        self
    }

    /// The cache budget in bytes, shared by all open stores.
    #[must_use]
    pub fn cache_budget_bytes(mut self, cache_budget_bytes: usize) -> Self {
        self.options = self.options.cache_budget_bytes(cache_budget_bytes);
        self
    }

    /// Reports the progress of replays, migrations and verifications to this sink.
    #[must_use]
    pub fn progress(mut self, watch: ProgressSink) -> Self {
        self.options = self.options.progress(watch);
        self
    }

    /// Opens the node for reading and writing. Creates the data directory and the identity if they
    /// are missing.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub fn open(self) -> Result<Node, NodeError> {
        let mut node = self.open_reader()?;
        node.become_writer()?;
        Ok(node)
    }

    /// Opens the node for reading. Needs no identity, and creates neither one nor a directory.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub fn open_reader(self) -> Result<Node, NodeError> {
        self.reading_from(lattice_backend::file_backend())
    }

    /// The same for stores that are damaged: of a journal that is damaged or not there, all is read
    /// that comes before the damage ([`lattice_backend::salvaging_backend`]).
    ///
    /// # Errors
    /// See [`NodeError`].
    pub fn open_salvager(self) -> Result<Node, NodeError> {
        self.reading_from(lattice_backend::salvaging_backend())
    }

    fn reading_from(self, backend: Arc<dyn StateBackend>) -> Result<Node, NodeError> {
        let registry = self.registry.map_or_else(core_registry, Ok)?;
        let manager = StoreManager::new(self.dir, backend, registry, self.options);
        Ok(Node { manager })
    }
}

/// Why a node cannot be opened, or a store cannot be opened as the requested type.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The data directory cannot be created.
    #[error("cannot create the data directory {}", path.display())]
    Dir {
        /// The directory.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: FilesError,
    },
    /// The identity cannot be read or created.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The alias is invalid, or cannot be read, set or found.
    #[error(transparent)]
    Alias(#[from] AliasError),
    /// The handle's store type does not follow the grammar of store types.
    #[error(transparent)]
    StoreType(StoreTypeError),
    /// Two built-in types have the same name.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// The manager failed.
    #[error(transparent)]
    Manager(#[from] ManagerError),
    /// The store opens, but with a different type.
    #[error("store {store_id} is of type {found}, which is not the requested type")]
    OtherType {
        /// The store.
        store_id: StoreId,
        /// Its type.
        found: StoreType,
    },
}

impl Node {
    /// Opens the node of a data directory, with the built-in store types. Creates the directory and
    /// the identity if they are missing.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, NodeError> {
        Self::builder(dir).open()
    }

    /// Starts building the node of a data directory.
    pub fn builder(dir: impl AsRef<Path>) -> NodeBuilder {
        NodeBuilder {
            dir: dir.as_ref().to_path_buf(),
            registry: None,
            options: ManagerOptions::reader(),
        }
    }

    /// Opens the store of an alias for writing, as a typed handle. If no store has the alias,
    /// creates an empty store of the handle's type and gives it the alias. Threads that call this
    /// concurrently all get the same store.
    ///
    /// ```
    /// use lattice_node::{KvStore, Node};
    /// # let dir = tempfile::tempdir()?;
    /// # let dir = dir.path();
    ///
    /// let node = Node::open(dir)?;
    /// let settings = node.open_or_create::<KvStore>("settings")?;
    /// settings.put("colour", "green")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// An invalid [`Alias`], a store of another type ([`NodeError::OtherType`]), and errors of the
    /// manager.
    pub fn open_or_create<T: NamedType>(&self, name: &str) -> Result<T, NodeError> {
        let alias: Alias = name.parse()?;
        let dir = self.manager.dir();
        if let Some(store_id) = Aliases::load(dir)?.store(alias.as_str()) {
            return self.open_as(store_id, Access::ReadWrite);
        }
        let store_type = T::STORE_TYPE.parse().map_err(NodeError::StoreType)?;
        let made = self.manager.create(&store_type)?;
        match Aliases::set(dir, &alias, made) {
            Ok(()) => self.open_as(made, Access::ReadWrite),
            Err(error) => {
                // The new store has no alias and no handle: remove it.
                self.manager.destroy(made)?;
                match error {
                    AliasError::Taken { store_id, .. } => self.open_as(store_id, Access::ReadWrite),
                    error => Err(error.into()),
                }
            }
        }
    }

    /// Opens the store of an alias as a typed handle.
    ///
    /// # Errors
    /// [`NodeError::Alias`] if no store has the alias, [`NodeError::OtherType`], and errors of the
    /// manager.
    pub fn open_alias<T: TypedStore>(&self, name: &str, access: Access) -> Result<T, NodeError> {
        let alias: Alias = name.parse()?;
        let store_id = Aliases::load(self.manager.dir())?.store(alias.as_str());
        let store_id = store_id.ok_or(AliasError::NotFound { alias })?;
        self.open_as(store_id, access)
    }

    /// Turns a reading node into a writing one. Creates the data directory and the identity if they
    /// are missing. Stores that are already open keep the author that they were opened with.
    ///
    /// # Errors
    /// [`NodeError::Dir`] and [`NodeError::Identity`].
    pub fn become_writer(&mut self) -> Result<(), NodeError> {
        let dir = self.manager.dir();
        make_dirs(dir).map_err(|source| NodeError::Dir {
            path: dir.to_path_buf(),
            source,
        })?;
        self.manager.clear_interrupted();
        let identity = load_or_create_identity(dir)?;
        self.manager.set_identity(identity);
        Ok(())
    }

    /// Uses the identity of the data directory, if there is one. Creates nothing.
    ///
    /// # Errors
    /// [`NodeError::Identity`].
    pub fn use_identity(&mut self) -> Result<(), NodeError> {
        match load_identity(self.manager.dir()) {
            Ok(identity) => self.manager.set_identity(identity),
            Err(IdentityError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Sets what to do from now on about stores that the data directory does not vouch for.
    pub fn set_unverified(&mut self, unverified: IfUnverified) {
        self.manager.set_unverified(unverified);
    }

    /// Sets how many bytes the caches of all stores may take that are opened from now on.
    pub fn set_cache_budget_bytes(&mut self, cache_budget_bytes: usize) {
        self.manager.set_cache_budget_bytes(cache_budget_bytes);
    }

    /// Sets what to do from now on about unconfirmed copies.
    pub fn set_continue_copy(&mut self, copied: IfCopied) {
        self.manager.set_continue_copy(copied);
    }

    /// The manager of the node's stores.
    pub fn manager(&self) -> &StoreManager {
        &self.manager
    }

    /// Opens a store as a typed handle.
    ///
    /// # Errors
    /// Errors of the manager, and [`NodeError::OtherType`].
    pub fn open_as<T: TypedStore>(
        &self,
        store_id: StoreId,
        access: Access,
    ) -> Result<T, NodeError> {
        typed(&*self.manager.open(store_id, access)?)
    }

    /// Opens the store at a path as a typed handle.
    ///
    /// # Errors
    /// Errors of the manager, and [`NodeError::OtherType`].
    pub fn open_path_as<T: TypedStore>(
        &self,
        path: impl AsRef<Path>,
        access: Access,
    ) -> Result<T, NodeError> {
        typed(&*self.manager.open_path(path, access)?)
    }

    /// Opens a store that the caller has already found, as a typed handle.
    ///
    /// # Errors
    /// Errors of the manager, and [`NodeError::OtherType`].
    pub fn open_found_as<T: TypedStore>(
        &self,
        found: Found,
        access: Access,
    ) -> Result<T, NodeError> {
        typed(&*self.manager.open_found(found, access)?)
    }
}

fn typed<T: TypedStore>(handle: &dyn StoreHandle) -> Result<T, NodeError> {
    handle
        .downcast_ref::<T>()
        .cloned()
        .ok_or_else(|| NodeError::OtherType {
            store_id: handle.store_id(),
            found: handle.store_type().clone(),
        })
}
