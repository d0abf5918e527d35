#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod files;
mod handle;
mod identity;
mod manager;
mod migration;
mod opener;
mod registry;
pub mod standalone;

pub use handle::{NamedType, StoreHandle, TypedStore};
pub use identity::{
    IdentityError, NewIdentity, load_identity, load_or_create_identity, new_identity,
};
pub use lattice_backend::backend::Access;
pub use manager::{
    Compacted, Destroyed, Found, IfThere, IfUnverified, Leftover, LeftoverKind, Listed,
    ManagerError, ManagerOptions, Migrated, RebuiltStore, RestoredStore, Restoring, StoreManager,
    UpgradedStore, Vouched,
};
pub use migration::{Calls, Converting, Keep, Migration, NamedCall};
pub use opener::{Describer, EngineOpener, Peeked, Rebuild, StoreOpener};
pub use registry::{Recorded, RegisterError, Registry, ResolveError, Resolver};
pub use standalone::StandaloneError;
