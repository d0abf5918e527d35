//! Turns a command into a payload.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use lattice_backend::machine::{DataRead, History, MachineError};
use lattice_backend::op::{MAX_PAYLOAD_BYTES, OpRef};

use crate::command::Write;
use crate::order::order;
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
    let (mut ops, mut spans) = (Vec::new(), Vec::new());
    for (key, _) in &writes {
        let first = ops.len();
        read::head_ops(data, history, key, &mut ops)?;
        spans.push(first..ops.len());
    }
    let refs = sorted(&ops);
    let mut places = Vec::with_capacity(ops.len());
    for op in &ops {
        match refs.binary_search(op) {
            Ok(place) => places.push(place),
            Err(_) => unreachable!("refs are all superseded ops"),
        }
    }
    let mut superseded = Superseded {
        places,
        writes: spans,
    };
    fit(&writes, refs.len(), &mut superseded, room)?;
    Ok(encode(&writes, &refs, &superseded))
}

/// The values that writes supersede.
struct Superseded {
    /// Where the op of each is in the refs.
    places: Vec<usize>,
    /// For each write, those that it supersedes: the current one first.
    writes: Vec<Range<usize>>,
}

impl Superseded {
    fn of(&self, write: usize) -> &[usize] {
        &self.places[self.writes[write].clone()]
    }
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
            let mut found = Vec::new();
            read::head_ops(data, history, key, &mut found)?;
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
    sorted(a) == sorted(b)
}

/// Ops in order, without duplicates. Most are in order already.
fn sorted(ops: &[OpRef]) -> Vec<OpRef> {
    if ops.is_sorted_by(|a, b| a < b) {
        return ops.to_vec();
    }
    let mut all = Vec::with_capacity(ops.len());
    for place in order(ops.len(), &|a, b| ops[a] < ops[b]) {
        if all.last() != Some(&ops[place]) {
            all.push(ops[place]);
        }
    }
    all
}

/// Drops siblings that do not fit into one op. A put replaces the current value and as many others
/// as fit; the rest stays in conflict and shrinks with each further put. A delete removes all
/// values or is refused, since reads would return a value that it left.
fn fit(
    writes: &[Write<'_>],
    refs: usize,
    superseded: &mut Superseded,
    room: usize,
) -> Result<(), KvRefusal> {
    let (mut written, mut has_siblings) = (0, false);
    for siblings in &superseded.writes {
        written += usize::from(!siblings.is_empty());
        has_siblings |= siblings.len() > 1;
    }
    let slots = room / SUPERSEDED_LEN;
    let mut spare = slots
        .checked_sub(written)
        .ok_or_else(|| KvRefusal::TooLarge {
            len: MAX_PAYLOAD_BYTES - room + written * SUPERSEDED_LEN,
        })?;
    if !has_siblings {
        return Ok(());
    }
    let mut weight = Weight::of(writes, MAX_PAYLOAD_BYTES - room, refs, superseded);
    for (number, (key, value)) in writes.iter().enumerate() {
        let Some((_, others)) = superseded.of(number).split_first() else {
            continue;
        };
        let fitting = others
            .iter()
            .take(spare)
            .take_while(|op| weight.add(key, **op))
            .count();
        if fitting < others.len() && value.is_none() {
            return Err(KvRefusal::TooManySiblings {
                key: key.to_vec(),
                siblings: 1 + others.len(),
            });
        }
        let siblings = &mut superseded.writes[number];
        siblings.end = siblings.start + 1 + fitting;
        spare -= fitting;
    }
    Ok(())
}

/// Bytes of a payload, and of the keys of the values that it supersedes.
struct Weight {
    payload_len: usize,
    keys_len: usize,
    /// Whether the payload has each ref.
    has: Vec<bool>,
}

impl Weight {
    /// Counts the current values only, which never exceed the limit: each key is in the payload.
    fn of(writes: &[Write<'_>], len: usize, refs: usize, superseded: &Superseded) -> Self {
        let mut weight = Self {
            payload_len: len,
            keys_len: writes.iter().map(|(key, _)| key.len()).sum(),
            has: vec![false; refs],
        };
        for number in 0..writes.len() {
            if let Some(&op) = superseded.of(number).first() {
                weight.payload_len += usize::from(!weight.has[op]) * OpRef::KEY_LEN;
                weight.has[op] = true;
            }
        }
        weight
    }

    /// Adds a value at a key, if the limit on key bytes allows it.
    fn add(&mut self, key: &[u8], op: usize) -> bool {
        let is_new = !self.has[op];
        let more = SUPERSEDED_LEN - OpRef::KEY_LEN;
        let payload_len = self.payload_len + more + usize::from(is_new) * OpRef::KEY_LEN;
        let keys_len = self.keys_len + key.len();
        if keys_len > max_key_bytes(payload_len) {
            return false;
        }
        (self.payload_len, self.keys_len) = (payload_len, keys_len);
        self.has[op] = true;
        true
    }
}

/// Encodes writes and the refs to the values that they supersede.
fn encode(writes: &[Write<'_>], refs: &[OpRef], superseded: &Superseded) -> Vec<u8> {
    const UNUSED: u32 = u32::MAX;
    // The place of each ref among those that are still used.
    let mut places = vec![UNUSED; refs.len()];
    for number in 0..writes.len() {
        for &op in superseded.of(number) {
            places[op] = 0;
        }
    }
    let mut used = Vec::with_capacity(refs.len());
    for (place, op) in places.iter_mut().zip(refs) {
        if *place != UNUSED {
            *place = match u32::try_from(used.len()) {
                Ok(next) => next,
                Err(_) => unreachable!("an op has fewer than 2^32 refs"),
            };
            used.push(*op);
        }
    }
    let mut all = Vec::with_capacity(writes.len());
    for (number, (key, value)) in writes.iter().enumerate() {
        let (siblings, mut supersedes) = (superseded.of(number), Vec::new());
        // Refs are in order, so the places of ordered ops are in order.
        for by in order(siblings.len(), &|a, b| siblings[a] < siblings[b]) {
            supersedes.push(places[siblings[by]]);
        }
        all.push(payload::Write {
            key,
            supersedes,
            value: *value,
        });
    }
    Payload {
        writes: all,
        refs: used,
    }
    .encode()
}
