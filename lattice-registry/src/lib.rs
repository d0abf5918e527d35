//! Which logic opens which store, and who has it open.
//!
//! A [`Registry`] maps store types to openers; a [`StoreManager`] owns the stores of a data
//! directory: it peeks at a store to learn its type, resolves the type in the registry, and opens
//! the store with the right logic. Neither knows any store type or storage engine.
//!
//! ```no_run
//! use lattice_registry::{Access, ManagerOptions, Registry, StoreManager};
//! # fn backend() -> std::sync::Arc<dyn lattice_backend::backend::StateBackend> { unreachable!() }
//! # fn identity() -> lattice_backend::op::SecretKey { unreachable!() }
//! let registry = Registry::new(); // register openers here
//! let manager = StoreManager::new("data", backend(), registry, ManagerOptions::new(identity()));
//! for listed in manager.list()? {
//!     println!("{}: {:?}", listed.path.display(), listed.meta.map(|meta| meta.store_type));
//! }
//! let store = manager.open_path("data/stores/some-store", Access::ReadOnly)?;
//! println!("{}", store.state_hash()?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod handle;
mod manager;
mod migration;
mod opener;
mod registry;

pub use handle::{StoreHandle, TypedStore};
pub use lattice_backend::backend::Access;
pub use manager::{
    Compacted, IfThere, Listed, ManagerError, ManagerOptions, Migrated, RebuiltStore,
    RestoredStore, StoreManager,
};
pub use migration::{Calls, Migration};
pub use opener::{Birth, EngineOpener, Peeked, Rebuild, StoreOpener, with_birth};
pub use registry::{RegisterError, Registry, ResolveError, Resolver};
