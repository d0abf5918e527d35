#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod cid;
pub mod codec;
mod genesis;
mod hex;
mod hlc;
mod ids;
mod meta_table;
mod store_type;
mod text;
pub mod varint;

pub use cid::{Cid, CidError, CidHash};
pub use genesis::{GENESIS_FORMAT, Genesis, GenesisError, MAX_GENESIS_BYTES};
pub use hex::ParseHexError;
pub use hlc::{Hlc, HlcError};
pub use ids::{GenesisHash, Nonce, OpId, PubKey, SchemaVersion, StateHash, StoreId};
pub use meta_table::{MetaError, MetaInfo, MetaKey, MetaKeyError};
pub use store_type::{MAX_STORE_TYPE_BYTES, MIN_STORE_TYPE_BYTES, StoreType, StoreTypeError};
pub use text::{readable, readable_start, shell_word};
