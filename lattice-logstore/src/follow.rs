//! Entries in the order in which they arrive.

use lattice_backend::engine::read::ChangeFeed;
use lattice_backend::op::Op;

use crate::payload::decode_payload;
use crate::{Entry, LogMachine};

/// Entries from a cursor on, in the order in which this replica applied them: first the existing
/// ones, then new ones. Iterating blocks until the next entry. The iterator ends only after an
/// error, which includes that the log was closed.
pub type Follow = ChangeFeed<LogMachine, Entry>;

/// The entries of an op, with their indexes. An invalid payload and a merge have none.
pub(crate) fn entries(op: &Op) -> Vec<(u32, Entry)> {
    let entry = |(index, content): (u32, &[u8])| Entry {
        hlc: op.hlc(),
        author: op.reference().author,
        op: op.reference().id,
        index,
        content: content.to_vec(),
    };
    let contents = decode_payload(op.payload()).into_iter().flatten();
    (0..)
        .zip(contents)
        .map(|numbered| (numbered.0, entry(numbered)))
        .collect()
}
