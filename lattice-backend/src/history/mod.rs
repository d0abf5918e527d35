//! Reading and writing the ops of a store: `ops` in the order of application, `applied` by author,
//! branch and sequence number.
//!
//! `ops` holds each op once, after its branch and its effect hash, in parts that fill pages. The
//! index by author, `applied`, is written in batches. Ops since the last batch form the tail: it is
//! held in memory, and read again from `ops` on open.

mod branches;
pub(crate) mod copied;
pub(crate) mod held;
pub(crate) mod peers;
pub(crate) mod system;
mod view;

pub(crate) use branches::{AuthorState, Branch, BranchNo, Forks};
pub(crate) use view::{Past, Stamps, View};

use std::collections::BTreeMap;
use std::ops::Bound;

use lattice_meta::{Hlc, OpId, PubKey, varint};

use crate::backend::{BackendError, Direction, ReadTx, Result, Span, Table, WriteTx};
use crate::history::system::SystemKey;
use crate::op::{ApplyIndex, MAX_OP_BYTES, Op, OpHasher, OpRef, Stamp};
use crate::state::{EFFECT_BYTES, EffectHash};

/// The longest value of a row in `ops` and of a record in `held`: three fill a page of 4 KiB. Longer
/// records continue in rows whose keys end with the number of the part, from 1.
pub(crate) const PART_BYTES: usize = 1340;
/// The tail is written to the index when it has this many ops or bytes.
const TAIL_OPS: usize = 256;
const TAIL_BYTES: usize = 256 << 10;
/// Every committed tail is shorter than this.
const MAX_TAIL: u64 = 256;

/// The position of an applied op: its apply index and the branch of its author.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) index: ApplyIndex,
    pub(crate) branch: BranchNo,
}

/// Applied ops that are not indexed yet.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    ops: BTreeMap<OpRef, Place>,
    /// The same ops in the order of application, from index `first` on.
    stamps: Vec<Stamp>,
    first: u64,
    bytes: usize,
}

impl Tail {
    /// Rereads the ops from `indexed` to `applied`.
    pub(crate) fn read(
        tx: &dyn ReadTx,
        hasher: &OpHasher,
        indexed: u64,
        applied: u64,
    ) -> Result<Self> {
        let mut tail = Self {
            first: indexed,
            ..Self::default()
        };
        // The writer indexes the tail together with the op that would make it longer.
        let behind = applied.checked_sub(indexed);
        if behind.is_none_or(|behind| behind >= MAX_TAIL) {
            return Err(BackendError::row(
                Table::System,
                "an index that is less than 256 ops behind",
                format!("{indexed} ops of {applied} in the index"),
            ));
        }
        for index in (indexed..applied).map(ApplyIndex::new) {
            let Applied { branch, op, .. } =
                read_applied(tx, hasher, index)?.ok_or_else(|| missing(index))?;
            tail.push(&op, Place { index, branch });
        }
        Ok(tail)
    }

    pub(crate) fn push(&mut self, op: &Op, place: Place) {
        self.ops.insert(op.reference(), place);
        self.stamps.push(op.stamp());
        self.bytes += op.bytes().len();
    }

    /// The op at an apply index, if it is in the tail.
    fn stamp(&self, index: ApplyIndex) -> Option<&Stamp> {
        let place = usize::try_from(index.get().checked_sub(self.first)?).ok()?;
        self.stamps.get(place)
    }

    /// The apply index of the first op in the tail.
    pub(crate) fn first(&self) -> ApplyIndex {
        ApplyIndex::new(self.first)
    }

    /// The ops of the tail with their positions, ascending by reference.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&OpRef, &Place)> {
        self.ops.iter()
    }

    pub(crate) fn is_due(&self) -> bool {
        self.ops.len() >= TAIL_OPS || self.bytes >= TAIL_BYTES
    }

    /// Moves the tail into the index.
    pub(crate) fn index(&mut self, tx: &mut dyn WriteTx) -> Result<()> {
        for (op, place) in std::mem::take(&mut self.ops) {
            let key = applied_key(&op.author, place.branch, op.seq);
            let value = [&place.index.get().to_le_bytes()[..], op.id.as_bytes()].concat();
            tx.put(Table::Applied, &key, &value)?;
            if place.branch != BranchNo::FIRST {
                let key = SystemKey::Fork(op).to_bytes();
                tx.put(Table::System, &key, &place.branch.0.to_le_bytes())?;
            }
            self.first += 1;
        }
        self.stamps.clear();
        self.bytes = 0;
        Ok(())
    }
}

pub(crate) fn missing(index: ApplyIndex) -> BackendError {
    BackendError::row(
        Table::Ops,
        "an op under every index",
        format!("none under {index}"),
    )
}

fn row_key(index: ApplyIndex, part: u32) -> Vec<u8> {
    let mut key = index.get().to_be_bytes().to_vec();
    if part > 0 {
        key.extend_from_slice(&part.to_be_bytes());
    }
    key
}

/// Writes an op at the next apply index.
pub(crate) fn write_op(
    tx: &mut dyn WriteTx,
    place: Place,
    effect: &EffectHash,
    op: &Op,
) -> Result<()> {
    let mut first = Vec::with_capacity(PART_BYTES);
    varint::append(place.branch.0, &mut first);
    first.extend_from_slice(effect);
    let (start, rest) = op
        .bytes()
        .split_at(op.bytes().len().min(PART_BYTES - first.len()));
    first.extend_from_slice(start);
    tx.put(Table::Ops, &row_key(place.index, 0), &first)?;
    for (part, bytes) in (1..).zip(rest.chunks(PART_BYTES)) {
        tx.put(Table::Ops, &row_key(place.index, part), bytes)?;
    }
    Ok(())
}

/// Reads the record at an apply index: branch, effect hash and op bytes.
fn read_record(tx: &dyn ReadTx, index: ApplyIndex) -> Result<Option<Vec<u8>>> {
    let Some(mut record) = tx.get(Table::Ops, &row_key(index, 0))? else {
        return Ok(None);
    };
    if record.len() == PART_BYTES {
        let (first, last) = (row_key(index, 1), row_key(index, u32::MAX));
        let span: Span<'_> = (Bound::Included(&first), Bound::Included(&last));
        let mut parts = tx.range(Table::Ops, span, Direction::Forward)?;
        for nth in 1.. {
            let Some(part) = parts.next()? else {
                break;
            };
            // A damaged table can have any number of rows here.
            if part.key != row_key(index, nth) || record.len() > HEAD_BYTES + MAX_OP_BYTES {
                let found = format!("op {index}: part {nth} and {} bytes", record.len());
                return Err(BackendError::row(Table::Ops, "parts of one op", found));
            }
            record.extend_from_slice(part.value);
        }
    }
    Ok(Some(record))
}

/// The most bytes of a record before its op.
const HEAD_BYTES: usize = varint::MAX_LEN + EFFECT_BYTES;

/// An applied op and its recorded branch and effect hash.
#[derive(Debug, Clone)]
pub(crate) struct Applied {
    pub(crate) branch: BranchNo,
    pub(crate) effect: EffectHash,
    pub(crate) op: Op,
}

/// Splits a record into branch, effect hash and op bytes.
pub(crate) fn split_record(record: &[u8]) -> Option<(BranchNo, EffectHash, &[u8])> {
    let mut rest = record;
    let branch = BranchNo(varint::take(&mut rest)?);
    let (effect, op) = rest.split_first_chunk::<EFFECT_BYTES>()?;
    Some((branch, *effect, op))
}

fn not_a_record(index: ApplyIndex, length: usize) -> BackendError {
    BackendError::row(
        Table::Ops,
        "a branch, an effect and an op",
        format!("op {index}: {length} bytes"),
    )
}

/// Reads the op at an apply index, and what was recorded with it.
pub(crate) fn read_applied(
    tx: &dyn ReadTx,
    hasher: &OpHasher,
    index: ApplyIndex,
) -> Result<Option<Applied>> {
    let Some(mut record) = read_record(tx, index)? else {
        return Ok(None);
    };
    let (branch, effect, op) =
        split_record(&record).ok_or_else(|| not_a_record(index, record.len()))?;
    let head = record.len() - op.len();
    record.drain(..head);
    let op = Op::decode(record, hasher).map_err(|error| {
        BackendError::row(Table::Ops, "a valid op", format!("op {index}: {error}"))
    })?;
    Ok(Some(Applied { branch, effect, op }))
}

/// Reads the op at an apply index.
pub(crate) fn read_op(tx: &dyn ReadTx, hasher: &OpHasher, index: ApplyIndex) -> Result<Option<Op>> {
    Ok(read_applied(tx, hasher, index)?.map(|applied| applied.op))
}

/// Branch, author, sequence number and timestamp of the op at an apply index, from its first part.
pub(crate) fn read_head(
    tx: &dyn ReadTx,
    index: ApplyIndex,
) -> Result<(BranchNo, PubKey, u64, Hlc)> {
    let mut head = None;
    let is_there = tx.show(Table::Ops, &row_key(index, 0), &mut |row| {
        let read = split_record(row).and_then(|(branch, _, op)| {
            let (author, seq, hlc) = Op::peek(op)?;
            Some((branch, author, seq, hlc))
        });
        head = Some(read.ok_or_else(|| not_a_record(index, row.len())));
    })?;
    match head {
        Some(head) if is_there => head,
        _ => Err(missing(index)),
    }
}

/// The key of an op's row in `applied`: author, branch, sequence number (big endian).
pub(crate) fn applied_key(author: &PubKey, branch: BranchNo, seq: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(32 + 9 + 8);
    key.extend_from_slice(author.as_bytes());
    branch.append_to_key(&mut key);
    key.extend_from_slice(&seq.to_be_bytes());
    key
}

/// Reads the key of a row in `applied`.
pub(crate) fn read_applied_key(key: &[u8]) -> Option<(PubKey, BranchNo, u64)> {
    let (author, rest) = key.split_first_chunk::<32>()?;
    let (branch, seq) = BranchNo::split_from_key(rest)?;
    let seq = u64::from_be_bytes(seq.try_into().ok()?);
    Some((PubKey::from_bytes(*author), branch, seq))
}

/// Reads the value of a row in `applied`: apply index and op id.
pub(crate) fn read_applied_value(value: &[u8]) -> Result<(ApplyIndex, OpId)> {
    let read = || {
        let (index, id) = value.split_first_chunk::<8>()?;
        let index = ApplyIndex::new(u64::from_le_bytes(*index));
        Some((index, OpId::from_slice(id)?))
    };
    read().ok_or_else(|| {
        BackendError::row(Table::Applied, "40 bytes", format!("{} bytes", value.len()))
    })
}

/// The indexed op with this author, branch and sequence number: its apply index and id.
pub(crate) fn read_indexed(
    tx: &dyn ReadTx,
    author: &PubKey,
    branch: BranchNo,
    seq: u64,
) -> Result<Option<(ApplyIndex, OpId)>> {
    let mut found = None;
    tx.show(
        Table::Applied,
        &applied_key(author, branch, seq),
        &mut |value| found = Some(read_applied_value(value)),
    )?;
    found.transpose()
}

/// The position of an op, from the index alone. Costs one lookup if the op is on its author's first
/// branch or the store has no forks.
pub(crate) fn read_place(tx: &dyn ReadTx, op: &OpRef, forks: Forks) -> Result<Option<Place>> {
    let first = read_indexed(tx, &op.author, BranchNo::FIRST, op.seq)?;
    if let Some((index, _)) = first.filter(|(_, id)| *id == op.id) {
        let branch = BranchNo::FIRST;
        return Ok(Some(Place { index, branch }));
    }
    if forks == Forks::None {
        return Ok(None);
    }
    let Some(row) = tx.get(Table::System, &SystemKey::Fork(*op).to_bytes())? else {
        return Ok(None);
    };
    let branch = BranchNo(crate::history::system::read_u64(&row)?);
    match read_indexed(tx, &op.author, branch, op.seq)? {
        Some((index, id)) if id == op.id => Ok(Some(Place { index, branch })),
        _ => Err(BackendError::row(
            Table::Applied,
            "a row for each op of a fork",
            format!("none for {op} on branch {}", branch.0),
        )),
    }
}

/// What a transaction knows about the ops applied so far.
pub(crate) struct Index<'a> {
    pub(crate) tx: &'a dyn ReadTx,
    pub(crate) tail: &'a Tail,
    pub(crate) forks: Forks,
}

impl Index<'_> {
    /// The position of an op, if it has been applied.
    pub(crate) fn place_of(&self, op: &OpRef) -> Result<Option<Place>> {
        match self.tail.ops.get(op) {
            Some(place) => Ok(Some(*place)),
            None => read_place(self.tx, op, self.forks),
        }
    }

    /// The timestamp of an applied op.
    pub(crate) fn hlc_of(&self, op: &OpRef) -> Result<Option<Hlc>> {
        let Some(Place { index, .. }) = self.place_of(op)? else {
            return Ok(None);
        };
        if let Some(stamp) = self.tail.stamp(index) {
            return Ok(Some(stamp.hlc));
        }
        read_head(self.tx, index).map(|(.., hlc)| Some(hlc))
    }
}
