//! Shared parts of the tests: a host with rows in a map, and independent encoders, written from the
//! specification and not from the code.

pub(crate) mod bytes;
pub(crate) mod golden;
pub(crate) mod host;
pub(crate) mod replica;
pub(crate) mod rows;

use lattice_backend::op::OpRef;
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

/// A made-up reference whose id encodes the author and the number, for many ops.
pub(crate) fn numbered(author: u8, number: u16) -> OpRef {
    let mut id = [0; 32];
    id[..2].copy_from_slice(&number.to_be_bytes());
    id[31] = author;
    OpRef {
        id: OpId::from_bytes(id),
        ..op_ref(author, number.into(), 0)
    }
}
