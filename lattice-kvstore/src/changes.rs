//! Changes of keys, in the order in which this replica applies them.

use lattice_backend::engine::read::ChangeFeed;
use lattice_backend::op::{Op, OpRef};
use lattice_meta::Hlc;

use crate::KvMachine;
use crate::payload::Payload;

/// The change that an op made to one key, as its author wrote it.
///
/// Where the key has concurrent values, [`get`](crate::KvStore::get) returns the current one. After
/// a delete, a value that its author had not seen may remain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Vec<u8>,
    /// The new value, or `None` if the key was deleted.
    pub value: Option<Vec<u8>>,
    /// The op, including its author.
    pub op: OpRef,
    /// When the op was made, by its author's hybrid clock.
    pub hlc: Hlc,
}

/// Changes from a cursor on: first the existing ones, then new ones. Each change is returned once
/// and none is skipped, however slow the caller. Iterating blocks until the next change. The
/// iterator ends only after an error, which includes that the store was closed.
pub type Changes = ChangeFeed<KvMachine, Change>;

/// The changes of an op to keys with this prefix, each with the place of its write. A void op and a
/// merge have no changes.
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
