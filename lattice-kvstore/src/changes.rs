//! What happens to keys, in the order in which it does here.

use lattice_backend::engine::read::ChangeFeed;
use lattice_backend::op::{Op, OpRef};
use lattice_meta::Hlc;

use crate::KvMachine;
use crate::payload::Payload;

/// What an op did to one key: what its author wrote.
///
/// Where the key has concurrent values, [`get`](crate::KvStore::get) says which one is current, and
/// after a delete one that its author had not seen may be left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Vec<u8>,
    /// The new value; nothing if the key was deleted.
    pub value: Option<Vec<u8>>,
    /// The op, and its author.
    pub op: OpRef,
    /// When the op was made, by its author's hybrid clock.
    pub hlc: Hlc,
}

/// Changes from a cursor on: first those that are there, then those to come. Each is given once, and
/// none is left out, however slow the caller. Iterating waits for as long as it takes; the iterator
/// ends after an error only, that the store was closed included.
pub type Changes = ChangeFeed<KvMachine, Change>;

/// What an op did to keys that start with a prefix, by the places of its writes. A void op and a
/// merge did nothing.
pub(crate) fn changes(op: &Op, prefix: &[u8]) -> Vec<(u32, Change)> {
    let Ok(payload) = Payload::decode(op.payload()) else {
        return Vec::new();
    };
    let written = (0..).zip(&payload.writes);
    written
        .filter(|(_, write)| write.key.starts_with(prefix))
        .map(|(place, write)| {
            let change = Change {
                key: write.key.to_vec(),
                value: write.value.map(|value| value.to_vec()),
                op: op.reference(),
                hlc: op.hlc(),
            };
            (place, change)
        })
        .collect()
}
