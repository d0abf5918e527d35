//! A node.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lattice_backend::engine::open::LogicPolicy;
use lattice_backend::progress::Watch;
use lattice_backend::redb::RedbBackend;
use lattice_meta::StoreId;
use lattice_registry::{
    Access, ManagerError, ManagerOptions, RegisterError, Registry, StoreHandle, StoreManager,
    TypedStore,
};

use crate::identity::{IdentityError, load_or_create_identity};
use crate::openers::core_registry;

/// An identity, a data directory, a registry and a manager.
#[derive(Debug)]
pub struct Node {
    manager: StoreManager,
}

/// How a node treats its stores.
#[derive(Debug, Clone, Default)]
pub struct NodeOptions {
    /// What is done about stores whose state other logic has computed.
    pub logic: LogicPolicy,
    /// Who is told how far replays, migrations and verifications are.
    pub watch: Watch,
}

/// Why a node cannot be opened, or a store cannot be opened as what was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The data directory cannot be made.
    #[error("cannot make the data directory {}", path.display())]
    Dir {
        /// The directory.
        path: PathBuf,
        /// What was reported.
        #[source]
        source: io::Error,
    },
    /// The identity cannot be had.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Two built-in types have one name.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// The manager cannot do it.
    #[error(transparent)]
    Manager(#[from] ManagerError),
    /// The store opens, as something else.
    #[error("store {store_id} is of type {found}, which is not what was asked for")]
    OtherType {
        /// The store.
        store_id: StoreId,
        /// Its type.
        found: lattice_meta::StoreType,
    },
}

impl Node {
    /// Opens the node of a data directory, with the built-in store types. The directory and the
    /// identity are made if they are missing.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, NodeError> {
        Self::with_registry(dir, core_registry()?)
    }

    /// The same with another registry, e.g. [`core_registry`] and types of your own.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub fn with_registry(dir: impl AsRef<Path>, registry: Registry) -> Result<Self, NodeError> {
        Self::with_options(dir, registry, NodeOptions::default())
    }

    /// The same with options.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub fn with_options(
        dir: impl AsRef<Path>,
        registry: Registry,
        options: NodeOptions,
    ) -> Result<Self, NodeError> {
        let dir = dir.as_ref();
        fs::create_dir_all(dir).map_err(|source| NodeError::Dir {
            path: dir.to_path_buf(),
            source,
        })?;
        let identity = load_or_create_identity(dir)?;
        Ok(Self::assemble(
            dir,
            registry,
            ManagerOptions::new(identity),
            options,
        ))
    }

    /// A node that reads: it needs no identity, and makes neither one nor a directory.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub fn reader(dir: impl AsRef<Path>) -> Result<Self, NodeError> {
        let options = NodeOptions::default();
        Ok(Self::reader_with_options(dir, core_registry()?, options))
    }

    /// The same with another registry and options.
    pub fn reader_with_options(
        dir: impl AsRef<Path>,
        registry: Registry,
        options: NodeOptions,
    ) -> Self {
        Self::assemble(dir.as_ref(), registry, ManagerOptions::reader(), options)
    }

    fn assemble(
        dir: &Path,
        registry: Registry,
        manager: ManagerOptions,
        options: NodeOptions,
    ) -> Self {
        let backend = Arc::new(RedbBackend::on_files());
        let manager = ManagerOptions {
            logic: options.logic,
            watch: options.watch,
            ..manager
        };
        Self {
            manager: StoreManager::new(dir, backend, registry, manager),
        }
    }

    /// The stores.
    pub fn manager(&self) -> &StoreManager {
        &self.manager
    }

    /// Opens a store as a typed handle.
    ///
    /// # Errors
    /// What the manager reports, and [`NodeError::OtherType`].
    pub fn open_as<T: TypedStore>(
        &self,
        store_id: StoreId,
        access: Access,
    ) -> Result<T, NodeError> {
        typed(&*self.manager.open(store_id, access)?)
    }

    /// Opens a store, found by path, as a typed handle.
    ///
    /// # Errors
    /// What the manager reports, and [`NodeError::OtherType`].
    pub fn open_path_as<T: TypedStore>(
        &self,
        path: impl AsRef<Path>,
        access: Access,
    ) -> Result<T, NodeError> {
        typed(&*self.manager.open_path(path, access)?)
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
