#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;

#[cfg(feature = "std")]
mod copy;
#[cfg(feature = "std")]
mod entries;
mod entry;
#[cfg(feature = "std")]
mod follow;
mod guest;
mod machine;
mod methods;
mod payload;
mod position;
#[cfg(feature = "std")]
mod replica;
mod run;
mod select;
#[cfg(feature = "std")]
mod store;

#[cfg(feature = "std")]
pub use copy::{copy_entries, copy_newest};
#[cfg(feature = "std")]
pub use entries::Entries;
pub use entry::Entry;
#[cfg(feature = "std")]
pub use follow::Follow;
#[cfg(feature = "std")]
pub use lattice_backend::engine::read::{Cursor, CursorOp, FeedError};
pub use machine::{
    Append, LogMachine, LogRefusal, MAX_BATCH, SCHEMA_VERSION, STORE_TYPE, store_type,
};
pub use payload::{decode_payload, encode_payload};
pub use position::{Position, PositionError};
pub use select::Selection;
#[cfg(feature = "std")]
pub use store::{LogAppendError, LogOpener, LogSnapshot, LogStore, log_opener};
