//! The rows of a log's `data`, schema 1: one for each op that appends.
//!
//! | row | key | value |
//! | --- | --- | --- |
//! | run | hlc (u64 BE), op id | apply index of the op (varint), number of entries (varint) |
//!
//! A varint is the shortest unsigned LEB128. The entries are stored once, in the op, which the
//! apply index locates. The element of an entry has its [`Position`] as key, and its author and
//! content as value.

use alloc::format;
use alloc::vec::Vec;
use core::ops::Range;

use lattice_backend::backend::{BackendError, Row, Table};
use lattice_backend::machine::History;
use lattice_backend::op::{ApplyIndex, OpView};
use lattice_meta::{Hlc, OpId, PubKey, varint};

use crate::payload::decode_payload;
use crate::{Entry, Position};

/// The entries of one op.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) hlc: Hlc,
    pub(crate) op: OpId,
    pub(crate) index: ApplyIndex,
    pub(crate) count: u32,
}

impl Run {
    /// Length of a row's key, in bytes.
    pub(crate) const KEY_LEN: usize = 8 + 32;

    /// The row's key.
    pub(crate) fn key(&self) -> [u8; Self::KEY_LEN] {
        self.position(0).run_key()
    }

    /// The row's value.
    pub(crate) fn value(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(2 * varint::MAX_LEN);
        varint::append(self.index.get(), &mut value);
        varint::append(self.count.into(), &mut value);
        value
    }

    /// Decodes a row.
    pub(crate) fn from_row(row: Row<'_>) -> Result<Self, BackendError> {
        let read = || {
            let (hlc, op) = row.key.split_first_chunk::<8>()?;
            let op = OpId::from_bytes(op.try_into().ok()?);
            let mut rest = row.value;
            let index = ApplyIndex::new(varint::take(&mut rest)?);
            let count = u32::try_from(varint::take(&mut rest)?).ok()?;
            let hlc = Hlc::from_u64(u64::from_be_bytes(*hlc));
            rest.is_empty().then_some(Self {
                hlc,
                op,
                index,
                count,
            })
        };
        read().ok_or_else(|| {
            let (key, value) = (row.key.len(), row.value.len());
            let found = format!("{key} bytes and a value of {value}");
            damaged("a row of a log: a key of 40 bytes, two varints", found)
        })
    }

    /// The position of one of its entries.
    pub(crate) fn position(&self, index: u32) -> Position {
        Position {
            hlc: self.hlc,
            op: self.op,
            index,
        }
    }

    /// Passes its author and its entries, in order, to `see`.
    pub(crate) fn show<T>(
        &self,
        history: &dyn History,
        see: impl FnOnce(PubKey, Vec<&[u8]>) -> T,
    ) -> Result<T, BackendError> {
        let mut see = Some(see);
        let mut seen = None;
        history.show(self.index, &mut |op| {
            if let (Some(entries), Some(see)) = (self.entries_of(op), see.take()) {
                seen = Some(see(op.reference.author, entries));
            }
        })?;
        seen.ok_or_else(|| {
            let found = format!("another under apply index {}", self.index);
            damaged("a row of a log: the op that it names", found)
        })
    }

    fn entries_of<'a>(&self, op: &OpView<'a>) -> Option<Vec<&'a [u8]>> {
        let entries = decode_payload(op.payload).ok()?;
        let count = u32::try_from(entries.len()).ok()?;
        let found = (op.hlc, op.reference.id, count);
        (found == (self.hlc, self.op, self.count)).then_some(entries)
    }

    /// Copies of the entries with these indexes.
    pub(crate) fn entries(
        &self,
        history: &dyn History,
        places: Range<u32>,
    ) -> Result<Vec<Entry>, BackendError> {
        self.show(history, |author, contents| {
            let numbered = (0..).zip(contents);
            let selected = numbered.filter(|(index, _)| places.contains(index));
            let entry = |(index, content): (u32, &[u8])| Entry {
                hlc: self.hlc,
                author,
                op: self.op,
                index,
                content: content.to_vec(),
            };
            selected.map(entry).collect()
        })
    }

    /// Passes the elements of its entries to `each`.
    pub(crate) fn elements(
        &self,
        history: &dyn History,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), BackendError> {
        self.show(history, |author, contents| {
            let mut value = Vec::new();
            for (index, content) in (0..).zip(contents) {
                value.clear();
                value.extend_from_slice(author.as_bytes());
                value.extend_from_slice(content);
                each(&self.position(index).to_key(), &value);
            }
        })
    }
}

fn damaged(expected: &'static str, found: alloc::string::String) -> BackendError {
    BackendError::row(Table::Data, expected, found)
}
