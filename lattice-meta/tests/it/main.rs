//! The bytes and grammars of `lattice-meta`.
// The exemption of tests does not reach their helpers.
#![allow(clippy::unwrap_used)]

mod cid;
mod codec;
mod genesis;
mod golden;
mod ids;
mod meta_table;
mod store_type;
