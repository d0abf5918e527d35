//! Records: the rows of one transaction, or of several that share a sync.

use crate::backend::Table;
use crate::journal::layout::{ChainValue, Fields, Generation, Keys};

pub(super) const HEAD_BYTES: usize = 64;
/// Records begin at multiples of this.
pub(super) const ALIGN: usize = 16;
/// The most bytes of the rows that one record holds. A larger transaction is written through.
pub(super) const MAX_ROWS_BYTES: usize = 1 << 20;
/// The longest record, with its head and its padding.
pub(super) const MAX_RECORD_BYTES: usize = MAX_ROWS_BYTES + (64 << 10);
/// The bytes of a row beside its key and its value.
pub(super) const ROW_HEAD_BYTES: usize = 9;
/// The number of the first table: a zero begins the padding.
const FIRST_TABLE: usize = 1;
/// Stands for the length of a removed row's value.
const REMOVED: u32 = u32::MAX;

/// The head of a record, whose tag is right.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    /// The record's length with its head and its padding.
    pub(super) len: u32,
    /// How many bytes of the body are rows of `meta`.
    meta: u32,
    pub(super) generation: Generation,
    pub(super) seq: u64,
    /// The chain value before this record.
    pub(super) prev: ChainValue,
    body: [u8; 16],
    /// The chain value after this record.
    pub(super) chain: ChainValue,
}

impl Head {
    /// Reads a head whose tag is right, whatever its fields are.
    pub(super) fn read(bytes: &[u8; HEAD_BYTES], keys: &Keys) -> Option<Self> {
        let (text, tag) = bytes.split_at(56);
        if tag != keys.hash::<8>(&[text]) {
            return None;
        }
        let mut fields = Fields(text);
        Some(Self {
            len: fields.u32()?,
            meta: fields.u32()?,
            generation: Generation(fields.u64()?),
            seq: fields.u64()?,
            prev: ChainValue(fields.array()?),
            body: fields.array()?,
            chain: ChainValue(keys.hash(&[bytes])),
        })
    }

    /// The generation that some bytes would have as a head: a cheap test before
    /// [`read`](Self::read).
    pub(super) fn claimed_generation(bytes: &[u8; HEAD_BYTES]) -> Option<Generation> {
        let mut fields = Fields(&bytes[8..]);
        fields.u64().map(Generation)
    }

    /// The body's length in bytes; `None` if no record has this length.
    pub(super) fn body_bytes(&self) -> Option<usize> {
        let len = usize::try_from(self.len).ok()?;
        let body = len.checked_sub(HEAD_BYTES)?;
        (len <= MAX_RECORD_BYTES && len.is_multiple_of(ALIGN)).then_some(body)
    }

    pub(super) fn is_body(&self, body: &[u8], keys: &Keys) -> bool {
        keys.hash::<16>(&[body]) == self.body
    }

    /// Passes the rows of the body to `each`. A body whose hash is right and that is no list of
    /// rows was written by another program. Returns what is wrong with it.
    pub(super) fn rows(
        &self,
        body: &[u8],
        each: impl FnMut(Table, &[u8], Option<&[u8]>),
    ) -> Result<(), &'static str> {
        match rows(body, each)? == usize::try_from(self.meta).ok() {
            true => Ok(()),
            false => Err("a record miscounts the bytes of its rows of `meta`"),
        }
    }
}

/// A record that is being written.
#[derive(Debug)]
pub(super) struct Encoder(Vec<u8>, usize);

impl Encoder {
    pub(super) fn new(rows_bytes: usize) -> Self {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + rows_bytes + ALIGN);
        bytes.resize(HEAD_BYTES, 0);
        Self(bytes, 0)
    }

    /// Adds a row; `None` removes it. Rows come in the order of their tables and keys.
    pub(super) fn row(&mut self, table: Table, key: &[u8], value: Option<&[u8]>) {
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).expect("a record's rows are short");
        let bytes = &mut self.0;
        bytes.push(u8::try_from(FIRST_TABLE + table.position()).expect("there are few tables"));
        bytes.extend_from_slice(&len(key).to_le_bytes());
        bytes.extend_from_slice(&value.map_or(REMOVED, len).to_le_bytes());
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value.unwrap_or(&[]));
        if table == Table::Meta {
            self.1 = self.0.len() - HEAD_BYTES;
        }
    }

    /// The bytes of the record, and the chain value after it.
    pub(super) fn finish(
        self,
        keys: &Keys,
        generation: Generation,
        seq: u64,
        prev: ChainValue,
    ) -> (Vec<u8>, ChainValue) {
        let Self(mut bytes, meta) = self;
        let len = bytes.len().next_multiple_of(ALIGN);
        bytes.resize(len, 0);
        let field = |len: usize| u32::try_from(len).expect("a record's length is limited");
        let body = keys.hash::<16>(&[&bytes[HEAD_BYTES..]]);
        bytes[..4].copy_from_slice(&field(len).to_le_bytes());
        bytes[4..8].copy_from_slice(&field(meta).to_le_bytes());
        bytes[8..16].copy_from_slice(&generation.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&seq.to_le_bytes());
        bytes[24..40].copy_from_slice(&prev.0);
        bytes[40..56].copy_from_slice(&body);
        let tag = keys.hash::<8>(&[&bytes[..56]]);
        bytes[56..HEAD_BYTES].copy_from_slice(&tag);
        let chain = ChainValue(keys.hash(&[&bytes[..HEAD_BYTES]]));
        (bytes, chain)
    }
}

/// A row at the start of some bytes.
pub(super) struct FirstRow<'a> {
    table: Table,
    pub(super) key: &'a [u8],
    pub(super) value: Option<&'a [u8]>,
    /// What follows it.
    pub(super) rest: &'a [u8],
}

/// The row that some bytes begin with, or why they begin with none. Nothing proves it.
pub(super) fn first_row(bytes: &[u8]) -> Result<FirstRow<'_>, &'static str> {
    let ends = "a row ends after its record";
    let mut rest = Fields(bytes);
    let [table] = rest.array().ok_or(ends)?;
    let table = usize::from(table).checked_sub(FIRST_TABLE);
    let table = table.and_then(|table| Table::ALL.get(table));
    let table = *table.ok_or("a row has an unknown table")?;
    let (key, value) = (rest.u32().ok_or(ends)?, rest.u32().ok_or(ends)?);
    let mut take = |len: u32| {
        let len = usize::try_from(len).ok()?;
        let (taken, left) = rest.0.split_at_checked(len)?;
        rest.0 = left;
        Some(taken)
    };
    let key = take(key).ok_or(ends)?;
    let value = match value {
        REMOVED => None,
        len => Some(take(len).ok_or(ends)?),
    };
    let rest = rest.0;
    Ok(FirstRow {
        table,
        key,
        value,
        rest,
    })
}

/// Passes the rows of a body to `each`. Returns the length of the rows of `meta`.
fn rows(
    body: &[u8],
    mut each: impl FnMut(Table, &[u8], Option<&[u8]>),
) -> Result<Option<usize>, &'static str> {
    let mut rest = body;
    let mut last: Option<(usize, &[u8])> = None;
    let mut meta = 0;
    while rest.first().is_some_and(|table| *table != 0) {
        let row = first_row(rest)?;
        rest = row.rest;
        let place = (row.table.position(), row.key);
        if last.is_some_and(|last| last >= place) {
            return Err("the rows of a record are out of order");
        }
        last = Some(place);
        if row.table == Table::Meta && !row.key.starts_with(b"tip/") {
            return Err("a record has a row of `meta` that is no tip");
        }
        if row.table == Table::Meta {
            meta = body.len() - rest.len();
        }
        each(row.table, row.key, row.value);
    }
    match rest.len() < ALIGN && rest.iter().all(|byte| *byte == 0) {
        true => Ok(Some(meta)),
        false => Err("a record has padding that is too long, or not zero"),
    }
}
