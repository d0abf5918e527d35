//! Lattice's native log store, `core:logstore`: entries in the order of hybrid time.
//!
//! A log is a store that only grows. Any number of authors append to their replicas of it, and
//! every replica ends with the same entries in the same order: that of the time at which each was
//! appended, ties broken alike everywhere. An entry carries who appended it and when.
//!
//! `LogStore` (feature `std`) is the handle of an open log. Without `std` there is the logic alone:
//! [`LogMachine`], which any host of Lattice's state machines can run.
//!
//! ```
//! use lattice_backend::machine::StateMachine;
//! use lattice_logstore::{LogMachine, decode_payload, encode_payload};
//!
//! assert_eq!(LogMachine::new().store_type().as_str(), "core:logstore");
//! let payload = encode_payload(&["one", "two"])?;
//! assert_eq!(decode_payload(&payload), Some(vec![&b"one"[..], b"two"]));
//! # Ok::<(), lattice_logstore::LogRefusal>(())
//! ```
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

#[cfg(feature = "std")]
mod copy;
#[cfg(feature = "std")]
mod entries;
mod entry;
#[cfg(feature = "std")]
mod follow;
mod machine;
mod methods;
mod payload;
mod position;
mod run;
mod select;
#[cfg(feature = "std")]
mod store;

#[cfg(feature = "std")]
pub use copy::copy_entries;
#[cfg(feature = "std")]
pub use entries::Entries;
pub use entry::Entry;
#[cfg(feature = "std")]
pub use follow::Follow;
#[cfg(feature = "std")]
pub use lattice_backend::engine::read::{Cursor, CursorOp, FeedError};
pub use machine::{Append, LogMachine, LogRefusal, SCHEMA_VERSION, STORE_TYPE, store_type};
pub use payload::{decode_payload, encode_payload};
pub use position::{Position, PositionError};
pub use select::Selection;
#[cfg(feature = "std")]
pub use store::{LogAppendError, LogOpener, LogSnapshot, LogStore, log_opener};

/// The README's example, run as the others are.
#[cfg(all(doctest, feature = "std"))]
#[doc = include_str!("../README.md")]
struct Readme;
