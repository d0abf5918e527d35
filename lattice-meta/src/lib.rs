//! The vocabulary of Lattice and its bytes.
//!
//! A Lattice store describes itself: a small `meta` table says which store a file is, which
//! logic interprets it, which layout its data has and how far each author's history has been
//! applied. This crate holds the types of that table, the genesis record that a store's id
//! certifies, and the strict codec that every stored or signed record goes through.
//!
//! It does no I/O and knows no storage engine, no clock and no randomness; it builds without
//! `std`.
//!
//! ```
//! use lattice_meta::{Genesis, Hlc, MetaInfo, Nonce, PubKey, SchemaVersion, StoreType};
//!
//! let genesis = Genesis::new(
//!     "org.example.chat".parse::<StoreType>()?,
//!     PubKey::from_bytes([7; 32]),
//!     Nonce::from_bytes([1; 16]),
//!     Hlc::from_parts(1_700_000_000_000, 0)?,
//!     None,
//! );
//! let birth = MetaInfo::new(&genesis, SchemaVersion::new(1));
//! let read = MetaInfo::from_rows(birth.rows())?;
//! assert_eq!(read, birth);
//! assert_eq!(read.store_id, genesis.store_id());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod codec;
mod genesis;
mod hex;
mod hlc;
mod ids;
mod meta_table;
mod store_type;
mod text;
pub mod varint;

pub use genesis::{GENESIS_FORMAT, Genesis, GenesisError, MAX_GENESIS_BYTES};
pub use hex::ParseHexError;
pub use hlc::{Hlc, HlcError};
pub use ids::{GenesisHash, Nonce, OpId, PubKey, SchemaVersion, StateHash, StoreId};
pub use meta_table::{MetaError, MetaInfo, MetaKey, MetaKeyError};
pub use store_type::{MAX_STORE_TYPE_BYTES, MIN_STORE_TYPE_BYTES, StoreType, StoreTypeError};
pub use text::{readable, readable_start};

/// The README's example, run as the others are.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
