//! `core:kvstore`, Lattice's native key-value store: ordered keys, atomic batches, conditional
//! writes, and no concurrent write lost.
//!
//! Any number of authors write to their replicas of a store, and every replica ends with the same
//! state. Where two have given a key values without having seen each other's, the key has both: a
//! read gives the later one, the same everywhere, `KvStore::conflicts` gives all, and
//! whoever has seen them replaces them with the next write. A delete leaves no tombstone behind.
//!
//! `KvStore` (feature `std`) is the handle of an open store. Without `std` there is the logic alone:
//! [`KvMachine`], which any host of Lattice's state machines can run.
//!
//! ```
//! use lattice_backend::machine::StateMachine;
//! use lattice_kvstore::{Command, KvMachine};
//!
//! let machine = KvMachine::new();
//! assert_eq!(machine.store_type().as_str(), "core:kvstore");
//! let mut command = Command::new();
//! command.put("fruit/apple", "red").delete("fruit/plum");
//! assert_eq!(command.len(), 2);
//! ```
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;
#[cfg(all(test, not(feature = "std")))]
extern crate std;

mod apply;
#[cfg(feature = "std")]
mod batch;
#[cfg(feature = "std")]
mod changes;
mod command;
#[cfg(feature = "std")]
mod copy;
mod elements;
#[cfg(test)]
#[path = "../tests/it/support/golden.rs"]
mod golden;
mod machine;
mod methods;
mod payload;
mod prepare;
mod range;
mod read;
mod refusal;
mod rows;
#[cfg(feature = "std")]
mod scan;
#[cfg(feature = "std")]
mod snapshot;
#[cfg(feature = "std")]
mod store;

#[cfg(feature = "std")]
pub use batch::Batch;
#[cfg(feature = "std")]
pub use changes::{Change, Changes};
pub use command::{Command, Expectation};
#[cfg(feature = "std")]
pub use copy::copy_keys;
pub use machine::{KvMachine, SCHEMA_VERSION, STORE_TYPE, store_type};
pub use read::Head;
pub use refusal::{Found, KvRefusal};
#[cfg(feature = "std")]
pub use scan::{ConflictedKeys, Keys, Scan};
#[cfg(feature = "std")]
pub use snapshot::KvSnapshot;
#[cfg(feature = "std")]
pub use store::{KvAppendError, KvOpener, KvStore, kv_opener};

/// The README's example, run as the others are.
#[cfg(all(doctest, feature = "std"))]
#[doc = include_str!("../README.md")]
struct Readme;
