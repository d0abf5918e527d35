//! The ops that are found in a file that cannot be opened.
//!
//! An op proves itself: its id is a hash under the genesis, its signature is over the id, and the
//! genesis is certified by the store's id. So rows that nothing else proves can be searched for
//! ops, and nothing comes out that no author of the store has signed. The file can have ops that
//! were signed in a transaction that did not commit.

use std::collections::{BTreeMap, BTreeSet};

use lattice_meta::{Genesis, OpId, StoreId};

use crate::backend::{FileError, RawPlace, RawRow, RawRows};
use crate::history::held;
use crate::history::system::GENESIS;
use crate::history::{PART_BYTES, split_record};
use crate::op::{MAX_OP_BYTES, Op, OpHasher, Verifier};

/// The most versions of one op that are tried. Rows of ops do not change, so more than one exist
/// only where a transaction did not commit.
const MAX_VERSIONS: usize = 8;

/// Where a store keeps an op.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kept {
    /// By its apply index.
    Applied(u64),
    /// By its number among the held ops.
    Held(u64),
}

/// A row that can be a part of an op. Rows sort by op, then by part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Part {
    kept: Kept,
    number: u32,
    place: RawPlace,
}

/// The ops of a file in the order in which they were applied, and then those that were held: a
/// causal order. Each is there once. Memory grows with their number, not with their bytes.
pub struct CarvedOps {
    rows: Box<dyn RawRows>,
    genesis: Genesis,
    hasher: OpHasher,
    verifier: Verifier,
    /// Descending: the next is at the end.
    parts: Vec<Part>,
    /// Versions of the op that was read last.
    ready: Vec<Op>,
    seen: BTreeSet<OpId>,
    /// Those of them that all ancestors were found of.
    whole: BTreeSet<OpId>,
}

impl std::fmt::Debug for CarvedOps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CarvedOps")
            .field("store_id", &self.genesis.store_id())
            .finish_non_exhaustive()
    }
}

impl CarvedOps {
    /// Searches a file for a store: the one that is named, or the first that is found. Returns
    /// `None` if the file has no genesis of it.
    ///
    /// # Errors
    /// See [`FileError`].
    pub fn find(
        rows: Box<dyn RawRows>,
        store_id: Option<StoreId>,
    ) -> Result<Option<Self>, FileError> {
        let mut genesis = None;
        let mut parts = Vec::new();
        rows.each(&mut |RawRow { place, key, value }| {
            if key == GENESIS {
                let found = Genesis::decode(value).ok();
                let found = found.filter(|found| store_id.is_none_or(|id| id == found.store_id()));
                genesis = genesis.take().or(found);
            } else if let Some((kept, number)) = part_of(key)
                && (1..=PART_BYTES).contains(&value.len())
            {
                let part = Part {
                    kept,
                    number,
                    place,
                };
                parts.push(part);
            }
        })?;
        parts.sort_unstable_by(|one, other| other.cmp(one));
        Ok(genesis.map(|genesis| Self {
            rows,
            hasher: OpHasher::new(&genesis.hash()),
            genesis,
            verifier: Verifier::default(),
            parts,
            ready: Vec::new(),
            seen: BTreeSet::new(),
            whole: BTreeSet::new(),
        }))
    }

    /// The genesis record of the store.
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// How many of the ops that were returned follow an op that was not found.
    pub fn lacking(&self) -> usize {
        self.seen.len() - self.whole.len()
    }

    /// Reads the rows of the next op; false at the end.
    fn read_next(&mut self) -> bool {
        let Some(kept) = self.parts.last().map(|part| part.kept) else {
            return false;
        };
        let mut values: BTreeMap<u32, Vec<Vec<u8>>> = BTreeMap::new();
        let mut bytes = 0;
        while let Some(part) = self.parts.pop_if(|part| part.kept == kept) {
            let versions = values.entry(part.number).or_default();
            // What was read before can have become unreadable.
            let Ok(value) = self.rows.value(part.place) else {
                continue;
            };
            if versions.len() < MAX_VERSIONS
                && bytes <= MAX_OP_BYTES * 2
                && !versions.contains(&value)
            {
                bytes += value.len();
                versions.push(value);
            }
        }
        let Some(firsts) = values.remove(&0) else {
            return true;
        };
        for first in firsts {
            // A record whose first part is full can end there.
            let others = values.values().map(Vec::len).max().unwrap_or(0);
            for nth in 0..others.max(1) {
                let record = assemble(&first, &values, nth);
                if let Some(op) = self.check(kept, &record) {
                    self.ready.push(op);
                }
            }
        }
        true
    }

    /// The op of a record, if it is one of this store and was not found before.
    fn check(&mut self, kept: Kept, record: &[u8]) -> Option<Op> {
        let op = match kept {
            Kept::Applied(_) => split_record(record)?.2,
            Kept::Held(_) => {
                let (_, _, length) = held::decode_head(record)?;
                &record[length..]
            }
        };
        let op = Op::decode(op.to_vec(), &self.hasher).ok()?;
        op.verify_by(&mut self.verifier).ok()?;
        let id = op.reference().id;
        if !self.seen.insert(id) {
            return None;
        }
        if op.parents().all(|parent| self.whole.contains(&parent.id)) {
            self.whole.insert(id);
        }
        Some(op)
    }
}

impl Iterator for CarvedOps {
    type Item = Op;

    fn next(&mut self) -> Option<Op> {
        while self.ready.is_empty() {
            if !self.read_next() {
                return None;
            }
        }
        Some(self.ready.remove(0))
    }
}

/// Where the op is kept of which a key names a part, and the number of the part.
fn part_of(key: &[u8]) -> Option<(Kept, u32)> {
    let (kept, key): (fn(u64) -> Kept, _) = match key {
        // It is one byte longer.
        [held::RECORD, key @ ..] if key.len() % 4 == 0 => (Kept::Held, key),
        key => (Kept::Applied, key),
    };
    let (index, rest) = key.split_first_chunk()?;
    let number = match rest {
        [] => 0,
        rest => u32::from_be_bytes(rest.try_into().ok().filter(|number| *number != [0; 4])?),
    };
    Some((kept(u64::from_be_bytes(*index)), number))
}

/// A record of the nth version of each part, or of the last, if a part has fewer.
fn assemble(first: &[u8], parts: &BTreeMap<u32, Vec<Vec<u8>>>, nth: usize) -> Vec<u8> {
    let mut record = first.to_vec();
    if first.len() < PART_BYTES {
        return record;
    }
    for (number, (found, versions)) in (1..).zip(parts) {
        let version = versions.get(nth).or(versions.last());
        let Some(part) = version.filter(|_| *found == number) else {
            break;
        };
        record.extend_from_slice(part);
    }
    record
}
