//! The branches of an author: one while the author's ops form a chain, more after a fork.
//!
//! A branch is a run of ops, each the `prev` of the next. An op whose `prev` is the end of a branch
//! extends that branch; any other op of an author who has written before begins one. Branches are
//! numbered in the order in which their first ops were applied here, so the numbers are local to
//! this replica. Only branches of authors who have forked have rows: the only branch of any other
//! author begins with sequence number 0 and ends with the author's tip.

use std::ops::Bound;

use lattice_meta::{OpId, PubKey};

use crate::backend::{BackendError, Direction, PrefixSpan, ReadTx, Result, Table, WriteTx};
use crate::history::system::SystemKey;
use crate::history::{Index, applied_key, read_applied_key, read_applied_value};
use crate::op::OpRef;

/// The number of a branch among its author's branches, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BranchNo(pub(crate) u64);

impl BranchNo {
    /// The branch of an author's first op.
    pub(crate) const FIRST: Self = Self(0);

    /// Appends the number to a key so that keys sort like numbers: the count of the bytes that
    /// follow, then the number, big endian without leading zeroes. The first branch takes one byte.
    pub(crate) fn append_to_key(self, key: &mut Vec<u8>) {
        let bytes = self.0.to_be_bytes();
        let zeroes = bytes.iter().take_while(|byte| **byte == 0).count();
        key.push(u8::try_from(bytes.len() - zeroes).expect("a number has at most 8 bytes"));
        key.extend_from_slice(&bytes[zeroes..]);
    }

    /// Splits a number off the start of `rest`, if it has its canonical encoding.
    pub(crate) fn split_from_key(rest: &[u8]) -> Option<(Self, &[u8])> {
        let (&length, rest) = rest.split_first()?;
        let (digits, rest) = rest.split_at_checked(usize::from(length))?;
        if digits.len() > 8 || digits.first() == Some(&0) {
            return None;
        }
        let number = digits
            .iter()
            .fold(0, |number, &digit| number << 8 | u64::from(digit));
        Some((Self(number), rest))
    }
}

/// Whether any author of a store has forked. Without forks, all ops are on first branches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forks {
    None,
    Some,
}

impl Forks {
    pub(crate) fn read(tx: &dyn ReadTx) -> Result<Self> {
        let span = PrefixSpan::new(SystemKey::BRANCH);
        let mut rows = tx.range(Table::System, span.span(), Direction::Forward)?;
        Ok(match rows.next()? {
            None => Self::None,
            Some(_) => Self::Some,
        })
    }
}

/// A branch of an author who has forked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Branch {
    /// The sequence number of its first op.
    pub(crate) first_seq: u64,
    /// Its last op.
    pub(crate) end_seq: u64,
    pub(crate) end: OpId,
    /// The branch of its first op's `prev`, if that op has one.
    pub(crate) parent: Option<BranchNo>,
}

impl Branch {
    pub(crate) fn end_of(&self, author: &PubKey) -> OpRef {
        OpRef {
            author: *author,
            seq: self.end_seq,
            id: self.end,
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut row = Vec::with_capacity(56);
        row.extend_from_slice(&self.first_seq.to_le_bytes());
        row.extend_from_slice(&self.end_seq.to_le_bytes());
        row.extend_from_slice(self.end.as_bytes());
        if let Some(parent) = self.parent {
            row.extend_from_slice(&parent.0.to_le_bytes());
        }
        row
    }

    fn decode(row: &[u8]) -> Result<Self> {
        let read = || {
            let (first_seq, rest) = row.split_first_chunk::<8>()?;
            let (end_seq, rest) = rest.split_first_chunk::<8>()?;
            let (end, parent) = rest.split_first_chunk::<32>()?;
            let parent = match parent {
                [] => None,
                parent => Some(BranchNo(u64::from_le_bytes(parent.try_into().ok()?))),
            };
            Some(Self {
                first_seq: u64::from_le_bytes(*first_seq),
                end_seq: u64::from_le_bytes(*end_seq),
                end: OpId::from_bytes(*end),
                parent,
            })
        };
        read().ok_or_else(|| {
            let found = format!("{} bytes", row.len());
            BackendError::row(Table::System, "a branch of 48 or 56 bytes", found)
        })
    }

    /// Reads a branch of an author who has forked.
    pub(crate) fn read(tx: &dyn ReadTx, author: &PubKey, branch: BranchNo) -> Result<Self> {
        let row = tx.get(
            Table::System,
            &SystemKey::Branch(*author, branch).to_bytes(),
        )?;
        match row {
            Some(row) => Self::decode(&row),
            None => Err(BackendError::row(
                Table::System,
                "a row for each branch of an author who has forked",
                format!("none for branch {} of {author}", branch.0),
            )),
        }
    }

    pub(crate) fn write(
        &self,
        tx: &mut dyn WriteTx,
        author: &PubKey,
        branch: BranchNo,
    ) -> Result<()> {
        let key = SystemKey::Branch(*author, branch).to_bytes();
        tx.put(Table::System, &key, &self.encode())
    }

    /// Passes all branches of all authors who have forked to `see`, ascending by author and number.
    pub(crate) fn each(
        tx: &dyn ReadTx,
        see: &mut dyn FnMut(PubKey, BranchNo, Self) -> Result<()>,
    ) -> Result<()> {
        Self::each_under(tx, SystemKey::BRANCH, see)
    }

    /// The same for the branches of one author.
    pub(crate) fn each_of(
        tx: &dyn ReadTx,
        author: &PubKey,
        see: &mut dyn FnMut(PubKey, BranchNo, Self) -> Result<()>,
    ) -> Result<()> {
        Self::each_under(tx, &[SystemKey::BRANCH, author.as_bytes()].concat(), see)
    }

    fn each_under(
        tx: &dyn ReadTx,
        prefix: &[u8],
        see: &mut dyn FnMut(PubKey, BranchNo, Self) -> Result<()>,
    ) -> Result<()> {
        let span = PrefixSpan::new(prefix);
        let mut rows = tx.range(Table::System, span.span(), Direction::Forward)?;
        while let Some(row) = rows.next()? {
            let (author, branch) = branch_of(row.key)?;
            see(author, branch, Self::decode(row.value)?)?;
        }
        Ok(())
    }
}

fn branch_of(key: &[u8]) -> Result<(PubKey, BranchNo)> {
    match SystemKey::from_bytes(key) {
        Some(SystemKey::Branch(author, branch)) => Ok((author, branch)),
        _ => Err(BackendError::row(
            Table::System,
            "`branch/`, an author and the number of a branch",
            format!("a key of {} bytes", key.len()),
        )),
    }
}

/// What a writer needs to know about an author to apply the author's next op.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct AuthorState {
    /// The applied op with the greatest sequence number, the greatest id among equals; and its
    /// branch.
    pub(crate) tip: Option<(OpRef, BranchNo)>,
    /// How many branches have rows: 0 if the author has not forked.
    pub(crate) branches: u64,
}

impl Default for BranchNo {
    fn default() -> Self {
        Self::FIRST
    }
}

impl Index<'_> {
    /// Reads an author's state in at most three lookups.
    pub(crate) fn author(&self, author: &PubKey) -> Result<AuthorState> {
        let branches = match self.forks {
            Forks::None => 0,
            Forks::Some => self.count_branches(author)?,
        };
        let mut tip = self.last_on_first_branch(author)?;
        if branches > 0 {
            tip = tip.max(self.last_on_other_branches(author)?);
        }
        Ok(AuthorState {
            tip: tip.max(self.last_in_tail(author)),
            branches,
        })
    }

    fn count_branches(&self, author: &PubKey) -> Result<u64> {
        let prefix = [SystemKey::BRANCH, author.as_bytes()].concat();
        let span = PrefixSpan::new(&prefix);
        let mut rows = self
            .tx
            .range(Table::System, span.span(), Direction::Backward)?;
        match rows.next()? {
            Some(row) => Ok(branch_of(row.key)?.1.0 + 1),
            None => Ok(0),
        }
    }

    fn last_on_first_branch(&self, author: &PubKey) -> Result<Option<(OpRef, BranchNo)>> {
        let first = applied_key(author, BranchNo::FIRST, 0);
        let last = applied_key(author, BranchNo::FIRST, u64::MAX);
        let span = (Bound::Included(&first[..]), Bound::Included(&last[..]));
        let mut rows = self.tx.range(Table::Applied, span, Direction::Backward)?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        let (author, branch, seq) = read_applied_key(row.key).ok_or_else(|| {
            let found = format!("{} bytes", row.key.len());
            BackendError::row(Table::Applied, "keys of 41 to 49 bytes", found)
        })?;
        let (_, id) = read_applied_value(row.value)?;
        Ok(Some((OpRef { author, seq, id }, branch)))
    }

    fn last_on_other_branches(&self, author: &PubKey) -> Result<Option<(OpRef, BranchNo)>> {
        let prefix = [SystemKey::FORK, author.as_bytes()].concat();
        let span = PrefixSpan::new(&prefix);
        let mut rows = self
            .tx
            .range(Table::System, span.span(), Direction::Backward)?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        match SystemKey::from_bytes(row.key) {
            Some(SystemKey::Fork(op)) => {
                let branch = BranchNo(crate::history::system::read_u64(row.value)?);
                Ok(Some((op, branch)))
            }
            _ => Err(BackendError::row(
                Table::System,
                "`fork/` and the name of an op",
                format!("a key of {} bytes", row.key.len()),
            )),
        }
    }

    fn last_in_tail(&self, author: &PubKey) -> Option<(OpRef, BranchNo)> {
        let last = OpRef {
            author: *author,
            seq: u64::MAX,
            id: OpId::from_bytes([0xff; 32]),
        };
        let (op, place) = self.tail.ops.range(..=last).next_back()?;
        (op.author == *author).then_some((*op, place.branch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branch_keys_sort_by_branch_number() {
        let numbers = [
            0,
            1,
            2,
            0xff,
            0x100,
            0xffff,
            1 << 32,
            u64::MAX - 1,
            u64::MAX,
        ];
        let keys = numbers.map(|number| {
            let mut key = Vec::new();
            BranchNo(number).append_to_key(&mut key);
            key
        });
        assert!(keys.is_sorted_by(|a, b| a < b));
        for (number, key) in numbers.iter().zip(&keys) {
            let mut longer = key.clone();
            longer.push(7);
            assert_eq!(
                BranchNo::split_from_key(&longer),
                Some((BranchNo(*number), &[7][..]))
            );
            assert_eq!(BranchNo::split_from_key(&key[..key.len() - 1]), None);
        }
        // A number has only one key.
        assert_eq!(BranchNo::split_from_key(&[1, 0]), None);
        assert_eq!(
            BranchNo::split_from_key(&[9, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
            None
        );
    }
}
