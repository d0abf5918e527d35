#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]
#![cfg_attr(docsrs, feature(doc_cfg))]

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
mod guest;
mod machine;
mod methods;
#[cfg(feature = "std")]
mod newest;
mod order;
mod payload;
mod prepare;
mod range;
mod read;
mod refusal;
#[cfg(feature = "std")]
mod replica;
#[cfg(not(target_arch = "wasm32"))]
mod row_key;
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
pub use machine::{KvMachine, MAX_BATCH, MAX_KEY_BYTES, SCHEMA_VERSION, STORE_TYPE, store_type};
#[cfg(feature = "std")]
pub use newest::copy_newest;
pub use payload::Payload;
pub use read::Sibling;
pub use refusal::{Found, KvRefusal};
#[cfg(not(target_arch = "wasm32"))]
pub use row_key::key_of_row;
#[cfg(feature = "std")]
pub use scan::{ConflictedKeys, Keys, Scan};
#[cfg(feature = "std")]
pub use snapshot::KvSnapshot;
#[cfg(feature = "std")]
pub use store::{KvAppendError, KvOpener, KvStore, kv_opener};
