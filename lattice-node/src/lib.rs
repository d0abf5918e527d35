//! A Lattice node: an identity, a data directory, a registry and a manager, put together.
//!
//! ```
//! use lattice_node::{Access, KvStore, Node};
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path();
//! let node = Node::open(dir)?; // makes an identity the first time
//! let id = node.manager().create(&"core:kvstore".parse()?)?;
//! let kv = node.open_as::<KvStore>(id, Access::ReadWrite)?;
//! kv.put("greeting", "hello")?;
//! assert_eq!(kv.get("greeting")?.as_deref(), Some(&b"hello"[..]));
//! println!("{} is now {}", id, node.manager().peek(id)?.tips.len());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod aliases;
mod identity;
mod node;
mod openers;
#[cfg(feature = "program")]
pub mod program;
mod tips;

pub use aliases::{ALIASES_FILE, Alias, AliasError, Aliases, MAX_ALIAS_BYTES};
pub use identity::{IDENTITY_FILE, IdentityError, load_identity, load_or_create_identity};
pub use lattice_backend::engine::ingest::Authors;
pub use lattice_backend::engine::open::LogicPolicy;
pub use lattice_backend::engine::verify::Depth;
pub use lattice_backend::op::SecretKey;
pub use lattice_backend::progress::Watch;
pub use lattice_backend::redb::RedbBackend;
pub use lattice_kvstore::KvStore;
pub use lattice_logstore::LogStore;
pub use lattice_registry::{
    Access, ManagerError, ManagerOptions, Registry, StoreHandle, StoreManager,
};

pub use node::{Node, NodeError, NodeOptions};
pub use openers::core_registry;
pub use tips::{TipsError, TipsFile};

/// The examples of the READMEs, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
#[doc = include_str!("../README.md")]
struct Readmes;
