//! What the tests stand on: a host of rows in a map, and encoders of their own, written from the
//! documentation and not from the code.

pub(crate) mod bytes;
pub(crate) mod golden;
pub(crate) mod host;
pub(crate) mod replica;

use lattice_backend::OpRef;
use lattice_meta::{OpId, PubKey};

/// The rows of a store.
pub(crate) type Rows = std::collections::BTreeMap<Vec<u8>, Vec<u8>>;

/// A made-up reference: an author and an id of one repeated byte each.
pub(crate) fn op_ref(author: u8, seq: u64, id: u8) -> OpRef {
    OpRef {
        author: PubKey::from_bytes([author; 32]),
        seq,
        id: OpId::from_bytes([id; 32]),
    }
}
