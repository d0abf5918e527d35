//! Everything that happens to a Lattice store's `state.db`.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod backend;
#[cfg(feature = "std")]
pub mod bundle;
#[cfg(feature = "std")]
pub mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "std")]
pub mod engine;
#[cfg(feature = "std")]
mod history;
pub mod machine;
pub mod op;
#[cfg(feature = "std")]
pub mod progress;
#[cfg(feature = "redb")]
pub mod redb;
#[cfg(feature = "std")]
pub mod state;
#[cfg(feature = "std")]
pub mod storage;
