//! Reading and writing the ops of a store: `ops` in the order of application, `applied` by author.
//!
//! An op is written to `ops` once, in parts that fill pages, behind the hash of its effect. The
//! index by author, `applied`, is brought up to date in steps: ops since the last step form the
//! tail, which is held in memory and read again from `ops` on open.

mod past;

pub(crate) use past::{Past, Stamps, View};

use std::collections::BTreeMap;
use std::ops::Bound;

use lattice_meta::{Hlc, OpId, PubKey};

use crate::state_hash::{EFFECT_BYTES, EffectHash};
use crate::tx::{Direction, ReadTx, Result, Span, Table, WriteTx};
use crate::{BackendError, MAX_OP_BYTES, Op, OpHasher, OpRef, Stamp};

/// The longest value of a row in `ops`: three fill a page of 4 KiB. Longer records go on in rows
/// whose keys carry the number of the part, from 1.
const PART_BYTES: usize = 1340;
/// What it was at first: two filled a page, and the last part of a record often had one to itself.
const FIRST_PART_BYTES: usize = 2000;
/// The tail is written to the index when it has this many ops or bytes.
const TAIL_OPS: usize = 256;
const TAIL_BYTES: usize = 256 << 10;
/// No tail that was committed is as long as this.
const MAX_TAIL: u64 = 256;

/// Ops that are applied and not yet indexed.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    ops: BTreeMap<OpRef, u64>,
    /// The same in the order of application, from this index on.
    stamps: Vec<Stamp>,
    first: u64,
    bytes: usize,
}

impl Tail {
    /// Reads the ops from `indexed` to `applied` again.
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
        // What would make it longer is written to the index together with the op that does.
        let behind = applied.checked_sub(indexed);
        if behind.is_none_or(|behind| behind >= MAX_TAIL) {
            return Err(BackendError::row(
                Table::System,
                "an index that is less than 256 ops behind",
                format!("{indexed} ops of {applied} in the index"),
            ));
        }
        for index in indexed..applied {
            let op = read_op(tx, hasher, index)?.ok_or_else(|| missing(index))?;
            tail.push(&op, index);
        }
        Ok(tail)
    }

    pub(crate) fn push(&mut self, op: &Op, index: u64) {
        self.ops.insert(op.reference(), index);
        self.stamps.push(op.stamp());
        self.bytes += op.bytes().len();
    }

    /// The op under an index, if it is in the tail.
    fn stamp(&self, index: u64) -> Option<&Stamp> {
        let place = usize::try_from(index.checked_sub(self.first)?).ok()?;
        self.stamps.get(place)
    }

    pub(crate) fn is_due(&self) -> bool {
        self.ops.len() >= TAIL_OPS || self.bytes >= TAIL_BYTES
    }

    /// Moves the tail to the index.
    pub(crate) fn index(&mut self, tx: &mut dyn WriteTx) -> Result<()> {
        for (op, index) in std::mem::take(&mut self.ops) {
            tx.put(Table::Applied, &op.to_key(), &index.to_le_bytes())?;
            self.first += 1;
        }
        self.stamps.clear();
        self.bytes = 0;
        Ok(())
    }
}

pub(crate) fn missing(index: u64) -> BackendError {
    BackendError::row(
        Table::Ops,
        "an op under every index",
        format!("none under {index}"),
    )
}

fn row_key(index: u64, part: u32) -> Vec<u8> {
    let mut key = index.to_be_bytes().to_vec();
    if part > 0 {
        key.extend_from_slice(&part.to_be_bytes());
    }
    key
}

/// Writes an op under the next index.
pub(crate) fn write_op(
    tx: &mut dyn WriteTx,
    index: u64,
    effect: &EffectHash,
    op: &Op,
) -> Result<()> {
    let record = [effect, op.bytes()].concat();
    for (part, bytes) in (0..).zip(record.chunks(PART_BYTES)) {
        tx.put(Table::Ops, &row_key(index, part), bytes)?;
    }
    Ok(())
}

/// The record under an index: effect and op bytes.
fn read_record(tx: &dyn ReadTx, index: u64) -> Result<Option<Vec<u8>>> {
    let Some(mut record) = tx.get(Table::Ops, &row_key(index, 0))? else {
        return Ok(None);
    };
    if matches!(record.len(), PART_BYTES | FIRST_PART_BYTES) {
        let (first, last) = (row_key(index, 1), row_key(index, u32::MAX));
        let span: Span<'_> = (Bound::Included(&first), Bound::Included(&last));
        let mut parts = tx.range(Table::Ops, span, Direction::Forward)?;
        for nth in 1.. {
            let Some(part) = parts.next()? else {
                break;
            };
            // What damage has put there is not read on and on.
            if part.key != row_key(index, nth) || record.len() > EFFECT_BYTES + MAX_OP_BYTES {
                let found = format!("op {index}: part {nth} and {} bytes", record.len());
                return Err(BackendError::row(Table::Ops, "parts of one op", found));
            }
            record.extend_from_slice(part.value);
        }
    }
    Ok(Some(record))
}

/// The op under an index, and what it did.
pub(crate) fn read_applied(
    tx: &dyn ReadTx,
    hasher: &OpHasher,
    index: u64,
) -> Result<Option<(EffectHash, Op)>> {
    let Some(mut record) = read_record(tx, index)? else {
        return Ok(None);
    };
    let effect: EffectHash = *record.first_chunk().ok_or_else(|| {
        BackendError::row(
            Table::Ops,
            "an effect and an op",
            format!("{} bytes", record.len()),
        )
    })?;
    record.drain(..EFFECT_BYTES);
    let op = Op::decode(record, hasher).map_err(|error| {
        BackendError::row(Table::Ops, "a whole op", format!("op {index}: {error}"))
    })?;
    Ok(Some((effect, op)))
}

/// The op under an index.
pub(crate) fn read_op(tx: &dyn ReadTx, hasher: &OpHasher, index: u64) -> Result<Option<Op>> {
    Ok(read_applied(tx, hasher, index)?.map(|(_, op)| op))
}

/// What a transaction knows of the ops applied so far.
pub(crate) struct Applied<'a> {
    pub(crate) tx: &'a dyn ReadTx,
    pub(crate) tail: &'a Tail,
}

impl Applied<'_> {
    /// The index under which an op was applied.
    pub(crate) fn index_of(&self, op: &OpRef) -> Result<Option<u64>> {
        if let Some(&index) = self.tail.ops.get(op) {
            return Ok(Some(index));
        }
        self.tx
            .get(Table::Applied, &op.to_key())?
            .map(|value| read_index(&value))
            .transpose()
    }

    /// The timestamp of an applied op.
    pub(crate) fn hlc_of(&self, op: &OpRef) -> Result<Option<Hlc>> {
        let Some(index) = self.index_of(op)? else {
            return Ok(None);
        };
        if let Some(stamp) = self.tail.stamp(index) {
            return Ok(Some(stamp.hlc));
        }
        read_head(self.tx, index).map(|(_, _, hlc)| Some(hlc))
    }

    /// An author's applied op with the greatest sequence number, and of those the greatest id.
    pub(crate) fn tip_of(&self, author: &PubKey) -> Result<Option<OpRef>> {
        let all = self.of_author(author, 0, u64::MAX, Direction::Backward, 1)?;
        Ok(all.first().map(|(op, _)| *op))
    }

    /// The author's applied ops with this sequence number: more than one if the author forked.
    pub(crate) fn with_seq(&self, author: &PubKey, seq: u64) -> Result<Vec<OpRef>> {
        let all = self.of_author(author, seq, seq, Direction::Forward, usize::MAX)?;
        Ok(all.into_iter().map(|(op, _)| op).collect())
    }

    /// The author's applied ops from one sequence number to another, with their indexes; at most
    /// `limit`, from either end.
    pub(crate) fn of_author(
        &self,
        author: &PubKey,
        from_seq: u64,
        to_seq: u64,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<(OpRef, u64)>> {
        let first = OpRef {
            author: *author,
            seq: from_seq,
            id: OpId::from_bytes([0; 32]),
        };
        let last = OpRef {
            author: *author,
            seq: to_seq,
            id: OpId::from_bytes([0xff; 32]),
        };
        let (start, end) = (first.to_key(), last.to_key());
        let span: Span<'_> = (Bound::Included(&start), Bound::Included(&end));
        let mut rows = self.tx.range(Table::Applied, span, direction)?;
        let mut found = Vec::new();
        while found.len() < limit
            && let Some(row) = rows.next()?
        {
            let op = OpRef::from_key(row.key).ok_or_else(|| {
                let length = format!("{} bytes", row.key.len());
                BackendError::row(Table::Applied, "keys of 72 bytes", length)
            })?;
            found.push((op, read_index(row.value)?));
        }
        found.extend(
            self.tail
                .ops
                .range(first..=last)
                .map(|(op, index)| (*op, *index)),
        );
        found.sort_unstable();
        if direction == Direction::Backward {
            found.reverse();
        }
        found.truncate(limit);
        Ok(found)
    }
}

/// Author, sequence number and timestamp of the op under an index, without reading all of it.
fn read_head(tx: &dyn ReadTx, index: u64) -> Result<(PubKey, u64, Hlc)> {
    let mut head = None;
    let is_there = tx.show(Table::Ops, &row_key(index, 0), &mut |row| {
        let short = || BackendError::row(Table::Ops, "a whole op", format!("{} bytes", row.len()));
        let read = row.get(EFFECT_BYTES..).and_then(Op::peek);
        head = Some(read.ok_or_else(short));
    })?;
    match head {
        Some(head) if is_there => head,
        _ => Err(missing(index)),
    }
}

pub(crate) fn read_index(value: &[u8]) -> Result<u64> {
    let bytes = value.try_into().map_err(|_| {
        BackendError::row(Table::Applied, "8 bytes", format!("{} bytes", value.len()))
    })?;
    Ok(u64::from_le_bytes(bytes))
}
