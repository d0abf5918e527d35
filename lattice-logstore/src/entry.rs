//! Entries of a log.

use alloc::vec::Vec;

use lattice_meta::{Hlc, OpId, PubKey};

use crate::Position;

/// One entry of a log.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Entry {
    /// When its op was made, by its author's hybrid clock.
    pub hlc: Hlc,
    /// The author who appended it.
    pub author: PubKey,
    /// The op that carries it.
    pub op: OpId,
    /// Its index in the op, from 0.
    pub index: u32,
    /// The appended bytes.
    pub content: Vec<u8>,
}

impl Entry {
    /// Milliseconds since the Unix epoch at which its op was made.
    pub fn time_ms(&self) -> u64 {
        self.hlc.ms()
    }

    /// The entry's position in the log.
    pub fn position(&self) -> Position {
        Position {
            hlc: self.hlc,
            op: self.op,
            index: self.index,
        }
    }
}
