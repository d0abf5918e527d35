//! Positions in the local order of application.

use core::fmt;

/// The position of an op in the order in which a replica applied its ops, from 0.
///
/// It names the op in a few bytes, where author, sequence number, id and time take eighty. Another
/// replica applies the same ops in another order. So an apply index may stand in rows, and never in
/// an element or a payload: it has no encoding of its own, and code that stores one in a row says
/// so with [`get`](Self::get).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApplyIndex(u64);

impl ApplyIndex {
    /// The position of the first op.
    pub const FIRST: Self = Self(0);

    /// The position that a row holds.
    pub const fn new(index: u64) -> Self {
        Self(index)
    }

    /// The number, for a row of this replica.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ApplyIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
