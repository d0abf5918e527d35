//! Entries and the rows they stand in.

use alloc::format;
use alloc::vec::Vec;

use lattice_backend::{BackendError, Row, Table};
use lattice_meta::{Hlc, OpId, PubKey};

use crate::Position;

const AUTHOR_LEN: usize = 32;

/// One entry of a log.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Entry {
    /// When its op was made, by its author's hybrid clock.
    pub hlc: Hlc,
    /// Who appended it.
    pub author: PubKey,
    /// The op that carries it.
    pub op: OpId,
    /// Its index in the op, from 0.
    pub index: u32,
    /// What was appended.
    pub content: Vec<u8>,
}

impl Entry {
    /// Milliseconds since the Unix epoch at which its op was made.
    pub fn time_ms(&self) -> u64 {
        self.hlc.ms()
    }

    /// Where it stands in the log.
    pub fn position(&self) -> Position {
        Position {
            hlc: self.hlc,
            op: self.op,
            index: self.index,
        }
    }

    /// Reads a row of `data`.
    pub(crate) fn from_row(row: Row<'_>) -> Result<Self, BackendError> {
        let position = Position::from_key(row.key).ok_or_else(|| {
            let found = format!("{} bytes", row.key.len());
            BackendError::row(Table::Data, "a key of a log has 44 bytes", found)
        })?;
        let (author, content) = row.value.split_first_chunk::<AUTHOR_LEN>().ok_or_else(|| {
            let found = format!("{} bytes at {position}", row.value.len());
            BackendError::row(
                Table::Data,
                "a value of a log begins with 32 bytes of author",
                found,
            )
        })?;
        Ok(Self {
            hlc: position.hlc,
            author: PubKey::from_bytes(*author),
            op: position.op,
            index: position.index,
            content: content.to_vec(),
        })
    }
}

/// The value of an entry's row: author, content.
pub(crate) fn row_value(author: &PubKey, content: &[u8]) -> Vec<u8> {
    [author.as_ref(), content].concat()
}
