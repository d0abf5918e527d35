//! Turns a command into a payload.

use alloc::collections::BinaryHeap;
use alloc::vec;
use alloc::vec::Vec;

use lattice_backend::machine::{DataRead, History, MachineError};
use lattice_backend::op::{MAX_PAYLOAD_BYTES, OpRef};

use crate::command::Write;
use crate::payload::{self, EMPTY_LEN, Payload, SUPERSEDED_LEN, WRITE_LEN, max_key_bytes};
use crate::{Command, Expectation, Found, KvRefusal, MAX_BATCH, MAX_KEY_BYTES, read};

/// The payload that executes a command in this state.
pub(crate) fn prepare(
    command: &Command,
    data: &dyn DataRead,
    history: &dyn History,
) -> Result<Vec<u8>, MachineError<KvRefusal>> {
    let writes = command.writes();
    let room = check_form(&writes, &command.expectations)?;
    for (key, expected) in &command.expectations {
        check_expectation(key, expected, data, history)?;
    }
    let mut superseded = Vec::with_capacity(writes.len());
    for (key, _) in &writes {
        superseded.push(read::head_ops(data, history, key)?);
    }
    fit(&writes, &mut superseded, room)?;
    Ok(encode(&writes, superseded))
}

impl From<KvRefusal> for MachineError<KvRefusal> {
    fn from(refusal: KvRefusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Checks the rules that need no state. Returns the bytes left for superseded siblings.
fn check_form(
    writes: &[Write<'_>],
    expectations: &[(Vec<u8>, Expectation)],
) -> Result<usize, KvRefusal> {
    let found = writes.len();
    if found == 0 {
        return Err(KvRefusal::EmptyBatch);
    }
    if found > MAX_BATCH {
        return Err(KvRefusal::TooManyWrites { found });
    }
    let mut len = EMPTY_LEN;
    for (key, value) in writes {
        check_key(key)?;
        let value_len = value.map_or(0, <[u8]>::len);
        len = len
            .saturating_add(WRITE_LEN + key.len())
            .saturating_add(value_len);
    }
    for (key, _) in expectations {
        check_key(key)?;
    }
    MAX_PAYLOAD_BYTES
        .checked_sub(len)
        .ok_or(KvRefusal::TooLarge { len })
}

fn check_key(key: &[u8]) -> Result<(), KvRefusal> {
    match key.len() {
        0 => Err(KvRefusal::EmptyKey),
        1..=MAX_KEY_BYTES => Ok(()),
        len => Err(KvRefusal::KeyTooLong { len }),
    }
}

fn check_expectation(
    key: &[u8],
    expected: &Expectation,
    data: &dyn DataRead,
    history: &dyn History,
) -> Result<(), MachineError<KvRefusal>> {
    let found = match expected {
        Expectation::Present if read::contains(data, key)? => return Ok(()),
        Expectation::Present => Found::Absent,
        Expectation::Siblings(ops) => {
            let found = read::head_ops(data, history, key)?;
            if same_set(ops, &found) {
                return Ok(());
            }
            Found::Siblings(found)
        }
        Expectation::Absent | Expectation::Value(_) => {
            let found = read::value(data, key)?;
            match (expected, found) {
                (Expectation::Absent, None) => return Ok(()),
                (Expectation::Value(value), Some(found)) if *value == found => return Ok(()),
                (_, found) => found.map_or(Found::Absent, Found::Value),
            }
        }
    };
    Err(KvRefusal::Expectation {
        key: key.to_vec(),
        expected: expected.clone(),
        found,
    }
    .into())
}

fn same_set(a: &[OpRef], b: &[OpRef]) -> bool {
    sorted(a.to_vec()) == sorted(b.to_vec())
}

/// Ops in order, without duplicates. Most are in order already. The others are sorted by a heap:
/// the sorts of slices would add tens of kilobytes to a module.
fn sorted(mut ops: Vec<OpRef>) -> Vec<OpRef> {
    ops.dedup();
    if !ops.is_sorted_by(|a, b| a.cmp(b).is_lt()) {
        ops = BinaryHeap::from(ops).into_sorted_vec();
        ops.dedup();
    }
    ops
}

/// Drops siblings that do not fit into one op. A put replaces the current value and as many others
/// as fit; the rest stays in conflict and shrinks with each further put. A delete removes all
/// values or is refused, since reads would return a value that it left.
fn fit(writes: &[Write<'_>], superseded: &mut [Vec<OpRef>], room: usize) -> Result<(), KvRefusal> {
    let written = superseded
        .iter()
        .filter(|siblings| !siblings.is_empty())
        .count();
    let slots = room / SUPERSEDED_LEN;
    let mut spare = slots
        .checked_sub(written)
        .ok_or_else(|| KvRefusal::TooLarge {
            len: MAX_PAYLOAD_BYTES - room + written * SUPERSEDED_LEN,
        })?;
    if superseded.iter().all(|siblings| siblings.len() <= 1) {
        return Ok(());
    }
    let mut weight = Weight::of(writes, MAX_PAYLOAD_BYTES - room, superseded);
    for ((key, value), siblings) in writes.iter().zip(superseded) {
        let others = siblings.len().saturating_sub(1);
        let most = others.min(spare);
        let fitting = siblings[siblings.len() - others..][..most]
            .iter()
            .take_while(|op| weight.add(key, op))
            .count();
        if fitting < others && value.is_none() {
            return Err(KvRefusal::TooManySiblings {
                key: key.to_vec(),
                siblings: siblings.len(),
            });
        }
        siblings.truncate(1 + fitting);
        spare -= fitting;
    }
    Ok(())
}

/// Bytes of a payload, and of the keys of the values that it supersedes.
struct Weight {
    payload_len: usize,
    keys_len: usize,
    /// All values that could be superseded, and whether the payload has a ref to each.
    refs: Vec<OpRef>,
    has: Vec<bool>,
}

impl Weight {
    /// Counts the current values only, which never exceed the limit: each key is in the payload.
    fn of(writes: &[Write<'_>], len: usize, superseded: &[Vec<OpRef>]) -> Self {
        let refs = sorted(superseded.concat());
        let mut weight = Self {
            payload_len: len,
            keys_len: writes.iter().map(|(key, _)| key.len()).sum(),
            has: vec![false; refs.len()],
            refs,
        };
        for op in superseded.iter().filter_map(|siblings| siblings.first()) {
            let has = weight.has(op);
            weight.payload_len += usize::from(!*has) * OpRef::KEY_LEN;
            *weight.has(op) = true;
        }
        weight
    }

    fn has(&mut self, op: &OpRef) -> &mut bool {
        &mut self.has[place(&self.refs, op)]
    }

    /// Adds a value at a key, if the limit on key bytes allows it.
    fn add(&mut self, key: &[u8], op: &OpRef) -> bool {
        let is_new = !*self.has(op);
        let more = SUPERSEDED_LEN - OpRef::KEY_LEN;
        let payload_len = self.payload_len + more + usize::from(is_new) * OpRef::KEY_LEN;
        let keys_len = self.keys_len + key.len();
        if keys_len > max_key_bytes(payload_len) {
            return false;
        }
        (self.payload_len, self.keys_len) = (payload_len, keys_len);
        *self.has(op) = true;
        true
    }
}

fn place(refs: &[OpRef], op: &OpRef) -> usize {
    refs.binary_search(op)
        .unwrap_or_else(|_| panic!("refs are all superseded ops"))
}

fn encode(writes: &[Write<'_>], superseded: Vec<Vec<OpRef>>) -> Vec<u8> {
    let refs = sorted(superseded.concat());
    let mut all = Vec::with_capacity(writes.len());
    for ((key, value), siblings) in writes.iter().zip(superseded) {
        let mut supersedes = Vec::new();
        // Refs are in order, so the places of ordered ops are in order.
        for op in sorted(siblings) {
            let place = u32::try_from(place(&refs, &op));
            supersedes.push(place.unwrap_or_else(|_| panic!("an op has fewer than 2^32 refs")));
        }
        all.push(payload::Write {
            key,
            supersedes,
            value: *value,
        });
    }
    Payload { writes: all, refs }.encode()
}
