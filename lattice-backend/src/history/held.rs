//! Held ops: ops that the code of the store type could not apply, and their descendants.
//!
//! This replica counts a held op as received: it sends the op to peers, and does not request it
//! again. A held op does not change the state, is not in the frontier, and no op made here names
//! it. Other code can apply it later. The table `held` is empty, and need not exist, while all ops
//! are applied.
//!
//! There are three kinds of rows, distinguished by the first byte of the key:
//! * 0, number (8 bytes, big endian), and for all parts of a record but the first the number of the
//!   part (4 bytes, big endian): the record of an op. Numbers ascend in causal order.
//! * 1, op reference (72 bytes): the op's number and timestamp (8 bytes each, little endian), and
//!   the id of its `prev`.
//! * 2, op reference: empty; for a held op that is the `prev` of no other held op.
//!
//! A record is the length of the logic version (1 byte) and the version, the kind of reason (1
//! byte; 0: it follows a held op, 1: the code failed), the length of the reason (`u16`, little
//! endian) and the reason (the parent's reference, or a message in UTF-8), then the op.

use std::collections::BTreeMap;
use std::ops::Bound;

use lattice_meta::{Hlc, OpId, PubKey};

use crate::backend::{BackendError, Direction, PrefixSpan, ReadTx, Result, Span, Table, WriteTx};
use crate::history::PART_BYTES;
use crate::op::{MAX_OP_BYTES, Op, OpHasher, OpRef};

/// The most bytes of a fault's message that are stored.
const MAX_MESSAGE_BYTES: usize = 1024;
/// The most bytes of a record before its op.
const MAX_HEAD_BYTES: usize = 1 + 255 + 1 + 2 + MAX_MESSAGE_BYTES;

pub(crate) const RECORD: u8 = 0;
/// The least key of a record.
const FIRST_RECORD: [u8; 9] = [RECORD; 9];
const NUMBER: u8 = 1;
const TIP: u8 = 2;

const FOLLOWS: u8 = 0;
const FAILED: u8 = 1;

/// Why an op is held.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeldReason {
    /// The code of the store type failed to apply it.
    #[error("{message}")]
    Fault {
        /// The code's fault.
        message: String,
    },
    /// It follows a held op.
    #[error("it follows op {parent}, which is held")]
    Follows {
        /// The held op.
        parent: OpRef,
    },
}

/// A held op.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldOp {
    /// The op.
    pub op: Op,
    /// The version of the code that did not apply the op.
    pub logic: String,
    /// Why it was not applied.
    pub reason: HeldReason,
}

/// What the store knows about a held op without its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    number: u64,
    hlc: Hlc,
    prev: OpId,
}

impl Entry {
    const LEN: usize = 8 + 8 + 32;

    fn of(number: u64, op: &Op) -> Self {
        Self {
            number,
            hlc: op.hlc(),
            prev: op.prev().map_or(OpId::ZERO, |prev| prev.id),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut row = Vec::with_capacity(Self::LEN);
        row.extend_from_slice(&self.number.to_le_bytes());
        row.extend_from_slice(&self.hlc.to_u64().to_le_bytes());
        row.extend_from_slice(self.prev.as_bytes());
        row
    }

    fn decode(row: &[u8]) -> Result<Self> {
        let read = || {
            let (number, rest) = row.split_first_chunk::<8>()?;
            let (hlc, prev) = rest.split_first_chunk::<8>()?;
            Some(Self {
                number: u64::from_le_bytes(*number),
                hlc: Hlc::from_u64(u64::from_le_bytes(*hlc)),
                prev: OpId::from_slice(prev)?,
            })
        };
        read().ok_or_else(|| {
            let found = format!("{} bytes", row.len());
            BackendError::row(Table::Held, "48 bytes for a held op", found)
        })
    }
}

/// The next free number of a held op. At 0 there are none, and no table is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Held {
    next: u64,
}

impl Held {
    pub(crate) fn read(tx: &dyn ReadTx) -> Result<Self> {
        let span = PrefixSpan::new(&[RECORD]);
        let mut rows = tx.range(Table::Held, span.span(), Direction::Backward)?;
        let next = match rows.next()? {
            None => 0,
            Some(row) => number_of(row.key)?.saturating_add(1),
        };
        Ok(Self { next })
    }

    pub(crate) fn is_empty(self) -> bool {
        self.next == 0
    }

    /// The next free number.
    pub(crate) fn next(self) -> u64 {
        self.next
    }

    /// Whether an op is held.
    pub(crate) fn contains(self, tx: &dyn ReadTx, op: &OpRef) -> Result<bool> {
        Ok(!self.is_empty() && tx.get(Table::Held, &ref_key(NUMBER, op))?.is_some())
    }

    /// The timestamp of a held op; one lookup.
    pub(crate) fn hlc_of(self, tx: &dyn ReadTx, op: &OpRef) -> Result<Option<Hlc>> {
        Ok(self.place_of(tx, op)?.map(|(_, hlc)| hlc))
    }

    /// The number and timestamp of a held op; one lookup.
    pub(crate) fn place_of(self, tx: &dyn ReadTx, op: &OpRef) -> Result<Option<(u64, Hlc)>> {
        if self.is_empty() {
            return Ok(None);
        }
        let row = tx.get(Table::Held, &ref_key(NUMBER, op))?;
        let entry = row.map(|row| Entry::decode(&row)).transpose()?;
        Ok(entry.map(|entry| (entry.number, entry.hlc)))
    }

    /// The `prev` of a held op, if the op is held and has one; one lookup.
    pub(crate) fn prev_of(self, tx: &dyn ReadTx, op: &OpRef) -> Result<Option<OpRef>> {
        if self.is_empty() {
            return Ok(None);
        }
        let row = tx.get(Table::Held, &ref_key(NUMBER, op))?;
        let prev = row.map(|row| Entry::decode(&row)).transpose()?;
        let prev = prev.map(|entry| entry.prev).filter(|id| *id != OpId::ZERO);
        Ok(prev.zip(op.seq.checked_sub(1)).map(|(id, seq)| OpRef {
            author: op.author,
            seq,
            id,
        }))
    }

    /// The last held op of an author.
    pub(crate) fn of_author(self, tx: &dyn ReadTx, author: &PubKey) -> Result<Option<OpRef>> {
        let span = PrefixSpan::new(&of(TIP, author));
        let mut rows = tx.range(Table::Held, span.span(), Direction::Backward)?;
        rows.next()?.map(|row| op_of(row.key)).transpose()
    }

    /// Records an op as held.
    pub(crate) fn push(&mut self, tx: &mut dyn WriteTx, held: &HeldOp) -> Result<()> {
        write_held(tx, self.next, held)?;
        let op = held.op.reference();
        let entry = Entry::of(self.next, &held.op).encode();
        tx.put(Table::Held, &ref_key(NUMBER, &op), &entry)?;
        if let Some(prev) = held.op.prev() {
            tx.remove(Table::Held, &ref_key(TIP, &prev))?;
        }
        tx.put(Table::Held, &ref_key(TIP, &op), &[])?;
        self.next += 1;
        Ok(())
    }

    /// Removes a held op after it has been applied.
    pub(crate) fn remove(tx: &mut dyn WriteTx, number: u64, op: &OpRef) -> Result<()> {
        for part in 0.. {
            if tx.remove(Table::Held, &record_key(number, part))?.is_none() {
                break;
            }
        }
        tx.remove(Table::Held, &ref_key(NUMBER, op))?;
        tx.remove(Table::Held, &ref_key(TIP, op))?;
        Ok(())
    }

    /// The numbers of held ops, ascending from `first`, at most `most`.
    pub(crate) fn numbers(tx: &dyn ReadTx, first: u64, most: usize) -> Result<Vec<u64>> {
        let (start, end) = (record_key(first, 0), [NUMBER]);
        let span: Span<'_> = (Bound::Included(&start), Bound::Excluded(&end));
        let mut rows = tx.range(Table::Held, span, Direction::Forward)?;
        let mut numbers = Vec::new();
        while let Some(row) = rows.next()? {
            let number = number_of(row.key)?;
            if numbers.last() == Some(&number) {
                continue;
            }
            if numbers.len() == most {
                break;
            }
            numbers.push(number);
        }
        Ok(numbers)
    }

    /// The keys of all rows except records.
    pub(crate) fn beside_records() -> [Span<'static>; 2] {
        [
            (Bound::Unbounded, Bound::Excluded(&FIRST_RECORD)),
            (Bound::Included(&[NUMBER]), Bound::Unbounded),
        ]
    }

    /// All held ops with their numbers, in the order of their references.
    pub(crate) fn each(tx: &dyn ReadTx, see: &mut dyn FnMut(OpRef, u64)) -> Result<()> {
        Self::each_under(tx, &[NUMBER], see)
    }

    /// The same for the ops of one author.
    pub(crate) fn each_of(
        tx: &dyn ReadTx,
        author: &PubKey,
        see: &mut dyn FnMut(OpRef, u64),
    ) -> Result<()> {
        Self::each_under(tx, &of(NUMBER, author), see)
    }

    fn each_under(tx: &dyn ReadTx, prefix: &[u8], see: &mut dyn FnMut(OpRef, u64)) -> Result<()> {
        let span = PrefixSpan::new(prefix);
        let mut rows = tx.range(Table::Held, span.span(), Direction::Forward)?;
        while let Some(row) = rows.next()? {
            see(op_of(row.key)?, Entry::decode(row.value)?.number);
        }
        Ok(())
    }

    /// Whether a held op is the next op on the author's chain after this one.
    pub(crate) fn extends(self, tx: &dyn ReadTx, op: &OpRef) -> Result<bool> {
        let (Some(seq), false) = (op.seq.checked_add(1), self.is_empty()) else {
            return Ok(false);
        };
        let first = OpRef {
            author: op.author,
            seq,
            id: OpId::ZERO,
        };
        let key = ref_key(NUMBER, &first);
        let span = PrefixSpan::new(&key[..key.len() - 32]);
        let mut rows = tx.range(Table::Held, span.span(), Direction::Forward)?;
        while let Some(row) = rows.next()? {
            if Entry::decode(row.value)?.prev == op.id {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The last held op of each chain of each author, ascending.
    pub(crate) fn tips(tx: &dyn ReadTx) -> Result<Vec<OpRef>> {
        Self::tips_under(tx, &[TIP])
    }

    /// The same for one author.
    pub(crate) fn tips_of(tx: &dyn ReadTx, author: &PubKey) -> Result<Vec<OpRef>> {
        Self::tips_under(tx, &of(TIP, author))
    }

    fn tips_under(tx: &dyn ReadTx, prefix: &[u8]) -> Result<Vec<OpRef>> {
        let span = PrefixSpan::new(prefix);
        let mut rows = tx.range(Table::Held, span.span(), Direction::Forward)?;
        let mut tips = Vec::new();
        while let Some(row) = rows.next()? {
            tips.push(op_of(row.key)?);
        }
        Ok(tips)
    }
}

/// The rows other than records, as the records determine them.
#[derive(Debug, Default)]
pub(crate) struct HeldIndex(BTreeMap<Vec<u8>, Vec<u8>>);

impl HeldIndex {
    /// Adds the rows of a held op. Call it in the order of the numbers.
    pub(crate) fn push(&mut self, number: u64, op: &Op) {
        let reference = op.reference();
        let key = ref_key(NUMBER, &reference);
        self.0.insert(key, Entry::of(number, op).encode());
        if let Some(prev) = op.prev() {
            self.0.remove(&ref_key(TIP, &prev));
        }
        self.0.insert(ref_key(TIP, &reference), Vec::new());
    }

    /// All these rows by key.
    pub(crate) fn into_rows(self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        self.0
    }
}

/// Writes the record of an op. Replaces the record with the same number.
pub(crate) fn write_held(tx: &mut dyn WriteTx, number: u64, held: &HeldOp) -> Result<()> {
    for part in 0.. {
        if tx.remove(Table::Held, &record_key(number, part))?.is_none() {
            break;
        }
    }
    for (key, bytes) in record_rows(number, held) {
        tx.put(Table::Held, &key, &bytes)?;
    }
    Ok(())
}

/// The version of the code that did not apply the held op with this number; does not read the op.
pub(crate) fn read_held_logic(tx: &dyn ReadTx, number: u64) -> Result<Option<String>> {
    let mut logic = None;
    tx.show(Table::Held, &record_key(number, 0), &mut |part| {
        let text = part
            .split_first()
            .and_then(|(&length, rest)| rest.get(..usize::from(length)))
            .and_then(|logic| String::from_utf8(logic.to_vec()).ok());
        logic = Some(text.ok_or(part.len()));
    })?;
    logic.transpose().map_err(|length| {
        let found = format!("held op {number}: {length} bytes");
        BackendError::row(Table::Held, "a logic version, a reason and an op", found)
    })
}

/// Joins the parts of a record. No part is empty.
fn read_record(tx: &dyn ReadTx, number: u64) -> Result<Option<Vec<u8>>> {
    let Some(mut record) = tx.get(Table::Held, &record_key(number, 0))? else {
        return Ok(None);
    };
    for part in 1.. {
        if record.len() % PART_BYTES != 0 || record.len() > MAX_HEAD_BYTES + MAX_OP_BYTES {
            break;
        }
        match tx.get(Table::Held, &record_key(number, part))? {
            Some(bytes) if !bytes.is_empty() => record.extend_from_slice(&bytes),
            _ => break,
        }
    }
    Ok(Some(record))
}

/// The rows of a record, as they are written.
pub(crate) fn record_rows(number: u64, held: &HeldOp) -> Vec<(Vec<u8>, Vec<u8>)> {
    let record = encode(held);
    (0..)
        .zip(record.chunks(PART_BYTES))
        .map(|(part, bytes)| (record_key(number, part), bytes.to_vec()))
        .collect()
}

/// The first key that a record with this number can have, and the first one after them.
pub(crate) fn record_span(number: u64) -> (Vec<u8>, Vec<u8>) {
    let end = number.checked_add(1);
    let end = end.map_or(vec![NUMBER], |next| record_key(next, 0));
    (record_key(number, 0), end)
}

/// Reads the held op with this number.
pub(crate) fn read_held(tx: &dyn ReadTx, hasher: &OpHasher, number: u64) -> Result<Option<HeldOp>> {
    let Some(record) = read_record(tx, number)? else {
        return Ok(None);
    };
    let length = record.len();
    decode(record, hasher).map(Some).map_err(|found| {
        let found = format!("held op {number}: {length} bytes, {found}");
        BackendError::row(Table::Held, "a logic version, a reason and an op", found)
    })
}

fn encode(held: &HeldOp) -> Vec<u8> {
    let op = held.op.bytes();
    let logic = cut(&held.logic, usize::from(u8::MAX)).as_bytes();
    let key;
    let (kind, reason) = match &held.reason {
        HeldReason::Follows { parent } => {
            key = parent.to_key();
            (FOLLOWS, &key[..])
        }
        HeldReason::Fault { message } => (FAILED, cut(message, MAX_MESSAGE_BYTES).as_bytes()),
    };
    let mut record = Vec::with_capacity(4 + logic.len() + reason.len() + op.len());
    record.push(u8::try_from(logic.len()).expect("it was cut"));
    record.extend_from_slice(logic);
    record.push(kind);
    let length = u16::try_from(reason.len()).expect("it was cut");
    record.extend_from_slice(&length.to_le_bytes());
    record.extend_from_slice(reason);
    record.extend_from_slice(op);
    record
}

/// The start of a text, at most `most` bytes.
fn cut(text: &str, most: usize) -> &str {
    if text.len() <= most {
        return text;
    }
    let end = (0..=most).rfind(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or(0)]
}

fn decode(mut record: Vec<u8>, hasher: &OpHasher) -> Result<HeldOp, String> {
    let head = decode_head(&record).ok_or("which do not decode")?;
    let (logic, reason, length) = head;
    record.drain(..length);
    let op = Op::decode(record, hasher).map_err(|error| error.to_string())?;
    Ok(HeldOp { op, logic, reason })
}

/// Decodes logic version and reason, and returns how many bytes they take.
pub(crate) fn decode_head(record: &[u8]) -> Option<(String, HeldReason, usize)> {
    let (&length, rest) = record.split_first()?;
    let (logic, rest) = rest.split_at_checked(usize::from(length))?;
    let (&kind, rest) = rest.split_first()?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let (reason, op) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    let reason = match kind {
        FOLLOWS => HeldReason::Follows {
            parent: OpRef::from_key(reason)?,
        },
        FAILED => HeldReason::Fault {
            message: String::from_utf8(reason.to_vec()).ok()?,
        },
        _ => return None,
    };
    let logic = String::from_utf8(logic.to_vec()).ok()?;
    Some((logic, reason, record.len() - op.len()))
}

fn record_key(number: u64, part: u32) -> Vec<u8> {
    let mut key = vec![RECORD];
    key.extend_from_slice(&number.to_be_bytes());
    if part > 0 {
        key.extend_from_slice(&part.to_be_bytes());
    }
    key
}

fn ref_key(kind: u8, op: &OpRef) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend_from_slice(&op.to_key());
    key
}

/// The prefix of an author's rows of a kind.
fn of(kind: u8, author: &PubKey) -> Vec<u8> {
    let mut prefix = vec![kind];
    prefix.extend_from_slice(author.as_bytes());
    prefix
}

fn not_a_key(key: &[u8]) -> BackendError {
    let found = format!("a key of {} bytes", key.len());
    BackendError::row(Table::Held, "a number or an op reference", found)
}

fn number_of(key: &[u8]) -> Result<u64> {
    let number = match key {
        [RECORD, rest @ ..] if rest.len() == 8 || rest.len() == 12 => rest.first_chunk::<8>(),
        _ => None,
    };
    number
        .map(|number| u64::from_be_bytes(*number))
        .ok_or_else(|| not_a_key(key))
}

fn op_of(key: &[u8]) -> Result<OpRef> {
    let op = key.split_first().and_then(|(_, op)| OpRef::from_key(op));
    op.ok_or_else(|| not_a_key(key))
}
