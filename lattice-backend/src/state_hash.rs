//! The state hash: what a set of leaves sums up to, and the effect of one op on it.

use alloc::vec::Vec;
use core::ops::Range;

use lattice_meta::{GenesisHash, SchemaVersion, StateHash};

use crate::lthash::{LTHASH_BYTES, LtHash};
use crate::tx::{History, Result, Row};
use crate::xof::{Batch, CHUNK_LEN, Change, ShortXof};
use crate::{BackendError, StateMachine};

const LEAF_CONTEXT: &str = "lattice 2026 state leaf v1";
const HASH_CONTEXT: &str = "lattice 2026 state hash v1";
/// About what a leaf says in place of the number of an op.
const NAMED_LEN: usize = 88;
const EFFECT_CONTEXT: &str = "lattice 2026 effect v1";

/// Bytes of an [`EffectHash`].
pub const EFFECT_BYTES: usize = 16;

/// The first 16 bytes of a BLAKE3 over an op's net leaf changes: a replay in the order of
/// application gives it again.
pub type EffectHash = [u8; EFFECT_BYTES];

/// A row before and after an op.
#[derive(Debug, Clone)]
pub(crate) struct RowChange {
    pub(crate) key: Vec<u8>,
    pub(crate) before: Option<Vec<u8>>,
    pub(crate) after: Option<Vec<u8>>,
}

/// The net changes of leaves that an op makes, in ascending order of leaf keys.
#[derive(Debug, Default)]
pub(crate) struct LeafChanges {
    /// Keys and values, one behind another: a leaf takes no memory of its own.
    bytes: Vec<u8>,
    changes: Vec<Places>,
}

/// Where the parts of a change stand.
#[derive(Debug, Clone)]
struct Places {
    key: Range<usize>,
    before: Option<Range<usize>>,
    after: Option<Range<usize>>,
}

/// What one op did to one leaf.
pub(crate) struct LeafChange<'a> {
    /// The leaf's key.
    pub(crate) key: &'a [u8],
    /// Its value before, if it was there.
    pub(crate) before: Option<&'a [u8]>,
    /// Its value after, if it is there.
    pub(crate) after: Option<&'a [u8]>,
}

impl LeafChanges {
    /// What changes of rows amount to.
    pub(crate) fn of<M: StateMachine>(
        machine: &M,
        schema: SchemaVersion,
        rows: &[RowChange],
        history: &dyn History,
    ) -> Result<Self> {
        let row_bytes = |row: &RowChange| row.key.len() + row.after.as_ref().map_or(0, Vec::len);
        let mut all = Self {
            bytes: Vec::with_capacity(rows.iter().map(|row| row_bytes(row) + NAMED_LEN).sum()),
            changes: Vec::with_capacity(rows.len()),
        };
        for RowChange { key, before, after } in rows {
            if let Some(value) = before {
                machine.leaves(schema, Row { key, value }, history, &mut |key, value| {
                    let (key, before) = (all.keep(key), Some(all.keep(value)));
                    let after = None;
                    all.changes.push(Places { key, before, after });
                })?;
            }
            if let Some(value) = after {
                machine.leaves(schema, Row { key, value }, history, &mut |key, value| {
                    let (key, after) = (all.keep(key), Some(all.keep(value)));
                    let before = None;
                    all.changes.push(Places { key, before, after });
                })?;
            }
        }
        all.sum_up();
        Ok(all)
    }

    fn keep(&mut self, part: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(part);
        start..self.bytes.len()
    }

    /// Makes one change of all that concern one leaf, and none of those that change nothing.
    fn sum_up(&mut self) {
        let Self { bytes, changes } = self;
        let key = |change: &Places| &bytes[change.key.clone()];
        // Where rows are leaves as they are, they are in order already.
        changes.sort_by(|a, b| key(a).cmp(key(b)));
        changes.dedup_by(|same, kept| {
            let is_same = key(same) == key(kept);
            if is_same {
                kept.before = kept.before.take().or(same.before.take());
                kept.after = kept.after.take().or(same.after.take());
            }
            is_same
        });
        let value = |place: &Option<Range<usize>>| place.clone().map(|place| &bytes[place]);
        changes.retain(|change| value(&change.before) != value(&change.after));
    }

    /// The changes, one after another.
    pub(crate) fn iter(&self) -> impl Iterator<Item = LeafChange<'_>> {
        let part = |place: &Range<usize>| &self.bytes[place.clone()];
        self.changes.iter().map(move |change| LeafChange {
            key: part(&change.key),
            before: change.before.as_ref().map(part),
            after: change.after.as_ref().map(part),
        })
    }

    /// Hashes them: for each its key, then what was and what is there, a byte string as its length (`u32`,
    /// little endian) and its bytes, an optional one behind a byte 0 or 1.
    pub(crate) fn effect(&self) -> EffectHash {
        // In one piece, which is hashed many blocks at a time.
        let mut content = Vec::with_capacity(self.bytes.len() + 14 * self.changes.len());
        for change in self.iter() {
            push_bytes(&mut content, change.key);
            for value in [change.before, change.after] {
                content.push(u8::from(value.is_some()));
                if let Some(value) = value {
                    push_bytes(&mut content, value);
                }
            }
        }
        let mut hasher = blake3::Hasher::new_derive_key(EFFECT_CONTEXT);
        hasher.update(&content);
        let mut effect = [0; EFFECT_BYTES];
        effect.copy_from_slice(&hasher.finalize().as_bytes()[..EFFECT_BYTES]);
        effect
    }
}

fn push_bytes(content: &mut Vec<u8>, bytes: &[u8]) {
    content.extend_from_slice(&len_u32(bytes).to_le_bytes());
    content.extend_from_slice(bytes);
}

/// Lengths of rows fit: an op, and so everything it writes, is far shorter than 4 GiB.
fn len_u32(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("a key or value of the state is shorter than 4 GiB")
}

/// The sum and the number of a state's leaves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Accumulator {
    pub(crate) leaves: u64,
    pub(crate) sum: LtHash,
}

impl Accumulator {
    /// Leaves in the state.
    pub fn leaf_count(&self) -> u64 {
        self.leaves
    }

    /// Takes one leaf in.
    pub fn insert(&mut self, hasher: &LeafHasher, key: &[u8], value: &[u8]) {
        self.gather(hasher).insert(key, value);
    }

    /// Takes one leaf out.
    ///
    /// # Errors
    /// [`BackendError::Damaged`] if no leaf is left to take out.
    pub fn remove(&mut self, hasher: &LeafHasher, key: &[u8], value: &[u8]) -> Result<()> {
        self.gather(hasher).remove(key, value)
    }

    /// Carries out one op's changes.
    pub(crate) fn change(&mut self, hasher: &LeafHasher, changes: &LeafChanges) -> Result<()> {
        let mut leaves = self.gather(hasher);
        for change in changes.iter() {
            if let Some(before) = change.before {
                leaves.remove(change.key, before)?;
            }
            if let Some(after) = change.after {
                leaves.insert(change.key, after);
            }
        }
        Ok(())
    }

    /// Takes in and out many leaves, which is less work together.
    pub(crate) fn gather<'a>(&'a mut self, hasher: &'a LeafHasher) -> Gathering<'a> {
        Gathering {
            accumulator: self,
            short: hasher.short.batch(),
            long: &hasher.long,
        }
    }

    /// The hash of the whole state of the store with this genesis.
    pub fn state_hash(&self, genesis: &GenesisHash) -> StateHash {
        let mut hasher = blake3::Hasher::new_derive_key(HASH_CONTEXT);
        hasher.update(genesis.as_bytes());
        hasher.update(&self.leaves.to_le_bytes());
        hasher.update(&self.sum.to_bytes());
        StateHash::from_bytes(*hasher.finalize().as_bytes())
    }
}

/// Expands leaves; holds the derivation context hashed once.
#[derive(Clone, Debug)]
pub struct LeafHasher {
    short: ShortXof,
    long: blake3::Hasher,
}

impl Default for LeafHasher {
    fn default() -> Self {
        Self {
            short: ShortXof::new(LEAF_CONTEXT),
            long: blake3::Hasher::new_derive_key(LEAF_CONTEXT),
        }
    }
}

impl LeafHasher {
    /// The extendable output of BLAKE3 over the key's length (`u32`, little endian), the key and
    /// the value.
    pub fn expand(&self, key: &[u8], value: &[u8]) -> [u8; LTHASH_BYTES] {
        let mut alone = Accumulator::default();
        alone.insert(self, key, value);
        alone.sum.to_bytes()
    }
}

/// Changes of an accumulator, which is up to date when this is dropped.
pub(crate) struct Gathering<'a> {
    accumulator: &'a mut Accumulator,
    short: Batch<'a>,
    long: &'a blake3::Hasher,
}

impl Gathering<'_> {
    pub(crate) fn insert(&mut self, key: &[u8], value: &[u8]) {
        self.accumulator.leaves += 1;
        self.change(key, value, Change::Add);
    }

    fn remove(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let left = self.accumulator.leaves.checked_sub(1);
        self.accumulator.leaves = left.ok_or_else(|| BackendError::Damaged {
            detail: "the state has more leaves than were counted".into(),
        })?;
        self.change(key, value, Change::Remove);
        Ok(())
    }

    fn change(&mut self, key: &[u8], value: &[u8], change: Change) {
        let sum = &mut self.accumulator.sum;
        let (behind_len, len) = (4 + key.len(), 4 + key.len() + value.len());
        if len <= CHUNK_LEN && !cfg!(debug_assertions) {
            let mut input = [0; CHUNK_LEN];
            input[..4].copy_from_slice(&len_u32(key).to_le_bytes());
            input[4..behind_len].copy_from_slice(key);
            input[behind_len..len].copy_from_slice(value);
            return self.short.change(&input[..len], sum.words_mut(), change);
        }
        let mut hasher = self.long.clone();
        hasher.update(&len_u32(key).to_le_bytes());
        hasher.update(key);
        hasher.update(value);
        let mut expanded = [0; LTHASH_BYTES];
        hasher.finalize_xof().fill(&mut expanded);
        match change {
            Change::Add => sum.add(&expanded),
            Change::Remove => sum.remove(&expanded),
        }
    }
}

impl Drop for Gathering<'_> {
    fn drop(&mut self) {
        self.short.finish(self.accumulator.sum.words_mut());
    }
}
