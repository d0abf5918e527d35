//! Positions in the local order of application.

use core::fmt;

/// The position of an op in the order in which a replica applied its ops, from 0.
///
/// It identifies the op in a few bytes, where author, sequence number, id and time take eighty.
/// Other replicas apply the same ops in other orders. So an apply index may be stored in rows, but
/// never in an element or a payload. It has no encoding of its own: code that stores one in a row
/// must call [`get`](Self::get).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApplyIndex(u64);

impl ApplyIndex {
    /// The position of the first op.
    pub const FIRST: Self = Self(0);

    /// The index that a row holds.
    pub const fn new(index: u64) -> Self {
        Self(index)
    }

    /// The number, to store in a row of this replica.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ApplyIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
