#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod aliases;
mod identity;
mod node;
mod openers;
#[cfg(feature = "program")]
pub mod program;
#[cfg(all(feature = "program", feature = "wasm"))]
mod releases;
#[cfg(feature = "sync")]
pub mod sync;
mod tips;

pub use aliases::{ALIASES_FILE, Alias, AliasError, Aliases, MAX_ALIAS_BYTES};
pub use identity::{IDENTITY_FILE, load_identity, load_or_create_identity, new_identity};
pub use lattice_backend::engine::ingest::Authors;
pub use lattice_backend::engine::open::{IfCopied, LogicPolicy};
pub use lattice_backend::engine::verify::Depth;
pub use lattice_backend::op::SecretKey;
pub use lattice_backend::progress::ProgressSink;
pub use lattice_kvstore::KvStore;
pub use lattice_logstore::LogStore;
pub use lattice_registry::{
    Access, IdentityError, IfThere, IfUnverified, ManagerError, ManagerOptions, NewIdentity,
    Registry, StoreHandle, StoreManager,
};

pub use node::{Node, NodeBuilder, NodeError};
pub use openers::core_registry;
pub use tips::{TipsError, TipsFile};

/// The items that an application needs: `use lattice_node::prelude::*;`.
pub mod prelude {
    pub use crate::{Access, Authors, KvStore, LogStore, Node, NodeError};
    pub use lattice_backend::engine::read::Cursor;
    pub use lattice_backend::engine::write::{AppendError, Receipt};
    pub use lattice_kvstore::{Batch, Change, KvRefusal, KvSnapshot, Sibling};
    pub use lattice_logstore::{Entry, LogRefusal, Position, Selection};
    pub use lattice_meta::{PubKey, StateHash, StoreId, StoreType};
}

/// The items that an author of a store type needs: `use lattice_node::store_type::*;`. The type's
/// tests also need `lattice-backend` with its feature `conformance`.
pub mod store_type {
    pub use lattice_backend::backend::{
        BackendError, Cause, Direction, EVERYTHING, PrefixSpan, Result, Row, Span,
    };
    pub use lattice_backend::engine::Engine;
    pub use lattice_backend::engine::write::{AppendError, Receipt};
    pub use lattice_backend::machine::manifest::{Elements, StoreCode};
    pub use lattice_backend::machine::{
        Args, CallError, Conversion, DataRead, DataWrite, Fields, History, Invalid, Logic,
        LogicError, MachineError, Method, MethodEntry, Param, Query, StateMachine, Step, Value,
        ValueType,
    };
    pub use lattice_backend::op::{ApplyIndex, MAX_OP_BYTES, OpKind, OpRef, OpView, Stamp};
    pub use lattice_backend::params;
    pub use lattice_meta::{
        Hlc, OpId, PubKey, SchemaVersion, StoreType, codec, readable, readable_start,
    };
    pub use lattice_registry::{
        Calls, Converting, EngineOpener, Migration, NamedType, RegisterError, Registry,
        StoreHandle, TypedStore, standalone,
    };
}

/// Compiles and runs the example of the workspace's README, which packages do not contain.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct WorkspaceReadme;
