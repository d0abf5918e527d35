//! The forks of a store.

use std::collections::{BTreeMap, BTreeSet};

use lattice_meta::PubKey;

use crate::backend::{ReadTx, Result};
use crate::engine::read::exchange::View;
use crate::history::{Branch, BranchNo};
use crate::op::{OpHasher, OpRef};

/// A fork: an author made several ops that follow the same op, as after writing to a restored
/// backup. All of them are applied; the signed ops ([`Engine::op`](crate::engine::Engine::op)) are
/// the evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fork {
    /// The author.
    pub author: PubKey,
    /// The sequence number at which the branches diverge.
    pub seq: u64,
    /// The ops that start a branch there, and the ops beside them on the branches that they left;
    /// ascending by id.
    pub ops: Vec<OpRef>,
}

/// All forks: for each sequence number at which a branch starts, the ops that start branches there
/// and the ops beside them on the parent branches.
pub(crate) fn forks(tx: &dyn ReadTx, hasher: &OpHasher) -> Result<Vec<Fork>> {
    let view = View::new(tx, hasher)?;
    let mut forks = BTreeMap::<(PubKey, u64), BTreeSet<OpRef>>::new();
    Branch::each(tx, &mut |author, branch, found| {
        if branch == BranchNo::FIRST {
            return Ok(());
        }
        let seq = found.first_seq;
        let beside = found.parent.unwrap_or(BranchNo::FIRST);
        let ops = forks.entry((author, seq)).or_default();
        ops.insert(view.on_branch(&author, branch, seq)?.0);
        ops.insert(view.on_branch(&author, beside, seq)?.0);
        Ok(())
    })?;
    let fork = |((author, seq), ops): (_, BTreeSet<_>)| Fork {
        author,
        seq,
        ops: ops.into_iter().collect(),
    };
    Ok(forks.into_iter().map(fork).collect())
}

/// The number of forks.
pub(crate) fn count_forks(tx: &dyn ReadTx) -> Result<u64> {
    let mut places = BTreeSet::new();
    Branch::each(tx, &mut |author, branch, found| {
        if branch != BranchNo::FIRST {
            places.insert((author, found.first_seq));
        }
        Ok(())
    })?;
    Ok(u64::try_from(places.len()).expect("what is in memory can be counted"))
}
