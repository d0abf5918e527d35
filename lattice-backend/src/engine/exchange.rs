//! What one replica tells and sends another.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::vec;

use lattice_meta::{MetaKey, PubKey};

use super::Fork;
use crate::history::{Applied, Tail, missing, read_op};
use crate::system::{Ledger, Mark};
use crate::tx::{Direction, PrefixSpan, ReadTx, Result, Table};
use crate::{BackendError, Leaves, Op, OpHasher, OpRef};

/// Everything applied in one view, with the ops that are not indexed yet.
struct View<'a> {
    tx: &'a dyn ReadTx,
    hasher: &'a OpHasher,
    tail: Tail,
}

impl<'a> View<'a> {
    fn new(tx: &'a dyn ReadTx, hasher: &'a OpHasher) -> Result<Self> {
        let ledger = Ledger::read(tx)?;
        let tail = Tail::read(tx, hasher, ledger.indexed, ledger.applied)?;
        Ok(Self { tx, hasher, tail })
    }

    fn applied(&self) -> Applied<'_> {
        Applied {
            tx: self.tx,
            tail: &self.tail,
        }
    }

    /// The authors of whom ops are applied.
    fn authors(&self) -> Result<Vec<PubKey>> {
        let span = PrefixSpan::new(b"tip/");
        let mut rows = self
            .tx
            .range(Table::Meta, span.span(), Direction::Forward)?;
        let mut authors = Vec::new();
        while let Some(row) = rows.next()? {
            match MetaKey::from_bytes(row.key) {
                Ok(Some(MetaKey::Tip(author))) => authors.push(author),
                _ => {
                    let found = format!("a key of {} bytes", row.key.len());
                    return Err(BackendError::row(
                        Table::Meta,
                        "`tip/` and a public key",
                        found,
                    ));
                }
            }
        }
        Ok(authors)
    }

    fn op(&self, reference: &OpRef) -> Result<Op> {
        let index = self.applied().index_of(reference)?;
        let op = match index {
            Some(index) => read_op(self.tx, self.hasher, index)?,
            None => None,
        };
        op.ok_or_else(|| {
            BackendError::row(
                Table::Ops,
                "every op that is named",
                format!("no {reference}"),
            )
        })
    }
}

/// The ends of all authors' branches, ascending.
pub(super) fn leaves(tx: &dyn ReadTx, hasher: &OpHasher) -> Result<Leaves> {
    let view = View::new(tx, hasher)?;
    let branches = Mark::Branch.read_all(tx)?;
    let mut leaves: Vec<_> = branches.into_iter().map(|(op, _)| op).collect();
    for author in view.authors()? {
        leaves.extend(view.applied().tip_of(&author)?);
    }
    leaves.sort_unstable();
    Ok(Leaves(leaves))
}

/// All forks with their evidence.
pub(super) fn forks(tx: &dyn ReadTx, hasher: &OpHasher) -> Result<Vec<Fork>> {
    let view = View::new(tx, hasher)?;
    let mut forks = Vec::<Fork>::new();
    for (op, _) in Mark::Fork.read_all(tx)? {
        let evidence = view.op(&op)?;
        match forks.last_mut() {
            Some(fork) if (fork.author, fork.seq) == (op.author, op.seq) => fork.ops.push(evidence),
            _ => forks.push(Fork {
                author: op.author,
                seq: op.seq,
                ops: vec![evidence],
            }),
        }
    }
    Ok(forks)
}

/// The ops that another replica lacks, in causal order, from one consistent view. Memory: eight
/// bytes an op to be sent.
pub struct OpsAfter {
    snapshot: Arc<dyn ReadTx + Send + Sync>,
    hasher: OpHasher,
    indexes: vec::IntoIter<u64>,
}

impl std::fmt::Debug for OpsAfter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpsAfter")
            .field("left", &self.indexes.len())
            .finish_non_exhaustive()
    }
}

impl OpsAfter {
    pub(super) fn new(
        snapshot: Arc<dyn ReadTx + Send + Sync>,
        hasher: OpHasher,
        known: &Leaves,
    ) -> Result<Self> {
        let mut indexes = unknown(&View::new(&*snapshot, &hasher)?, known)?;
        // The order of application is causal.
        indexes.sort_unstable();
        Ok(Self {
            snapshot,
            hasher,
            indexes: indexes.into_iter(),
        })
    }
}

impl Iterator for OpsAfter {
    type Item = Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        let index = self.indexes.next()?;
        let op = read_op(&*self.snapshot, &self.hasher, index);
        Some(op.and_then(|op| op.map(Op::into_bytes).ok_or_else(|| missing(index))))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.indexes.size_hint()
    }
}

impl ExactSizeIterator for OpsAfter {}

/// The indexes of all ops that are not on the `prev` chain of a leaf that is known here.
fn unknown(view: &View<'_>, known: &Leaves) -> Result<Vec<u64>> {
    let mut leaves = BTreeMap::<PubKey, Vec<OpRef>>::new();
    for leaf in &known.0 {
        if view.applied().index_of(leaf)?.is_some() {
            leaves.entry(leaf.author).or_default().push(*leaf);
        }
    }
    let mut first_forks = BTreeMap::<PubKey, u64>::new();
    for (op, _) in Mark::Fork.read_all(view.tx)? {
        first_forks.entry(op.author).or_insert(op.seq);
    }
    let mut indexes = Vec::new();
    for author in view.authors()? {
        let leaves = leaves.get(&author).map_or(&[][..], Vec::as_slice);
        let chain = Chain::below(view, leaves, first_forks.get(&author).copied())?;
        let from = chain.whole_below;
        let ops =
            view.applied()
                .of_author(&author, from, u64::MAX, Direction::Forward, usize::MAX)?;
        indexes.extend(
            ops.into_iter()
                .filter(|(op, _)| !chain.above.contains(op))
                .map(|(_, index)| index),
        );
    }
    Ok(indexes)
}

/// What another replica has of one author's ops: all with a sequence number below one, which is
/// where the author first forked, and these above.
struct Chain {
    whole_below: u64,
    above: BTreeSet<OpRef>,
}

impl Chain {
    fn below(view: &View<'_>, leaves: &[OpRef], first_fork: Option<u64>) -> Result<Self> {
        let Some(greatest) = leaves.iter().map(|leaf| leaf.seq).max() else {
            return Ok(Self {
                whole_below: 0,
                above: BTreeSet::new(),
            });
        };
        let straight = greatest.saturating_add(1);
        let whole_below = first_fork.map_or(straight, |fork| fork.min(straight));
        let mut above = BTreeSet::new();
        for leaf in leaves {
            let mut next = Some(*leaf);
            while let Some(op) = next.filter(|op| op.seq >= whole_below) {
                // A branch that was walked down already goes on as it did then.
                next = if above.insert(op) {
                    view.op(&op)?.prev()
                } else {
                    None
                };
            }
        }
        Ok(Self { whole_below, above })
    }
}
