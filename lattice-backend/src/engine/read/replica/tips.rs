//! The branch tips that a handle keeps, and brings up to date op by op.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use crate::backend::{ReadTx, Result};
use crate::engine::inner::Inner;
use crate::engine::read::exchange::View;
use crate::history::held::{Held, read_held};
use crate::history::system::Ledger;
use crate::history::{missing, read_op};
use crate::machine::StateMachine;
use crate::op::{ApplyIndex, Op, OpHasher, OpRef, OpsEnd, ReplicaView};

/// The number of held op numbers that are read at a time.
const NUMBERS: usize = 1024;
/// So many new ops are always read one by one; of more, four for each tip.
const FEW: u64 = 4096;

/// The tips of all branches at one place. Memory: 72 bytes for each tip and each held op.
#[derive(Debug)]
pub(crate) struct KeptTips {
    pub(super) end: OpsEnd,
    /// Held ops included, ascending.
    pub(super) tips: Arc<[OpRef]>,
    /// All held ops.
    pub(super) held: BTreeSet<OpRef>,
}

/// Passes up-to-date tips and the ledger of the same snapshot to `see`.
pub(super) fn with_tips<M: StateMachine, T>(
    inner: &Inner<M>,
    see: impl FnOnce(&KeptTips, &Ledger) -> T,
) -> Result<T> {
    let mut kept = inner.tips.lock().unwrap_or_else(PoisonError::into_inner);
    // Under the lock, so that no snapshot is older than the tips.
    let tx = inner.db.snapshot()?;
    let ledger = Ledger::read(&*tx)?;
    let end = OpsEnd {
        applied: ledger.applied,
        held: Held::read(&*tx)?.next(),
    };
    let mut current = match kept.take() {
        Some(tips) => tips.follow(&*tx, &inner.hasher, end)?,
        None => None,
    };
    let tips = match current.take() {
        Some(tips) => tips,
        None => KeptTips::read(&*tx, &inner.hasher, end)?,
    };
    Ok(see(kept.insert(tips), &ledger))
}

/// What a replica has; see [`Engine::replica_view`](crate::engine::Engine::replica_view).
pub(super) fn view<M: StateMachine>(inner: &Inner<M>) -> Result<ReplicaView> {
    with_tips(inner, |kept, ledger| ReplicaView {
        end: kept.end,
        held: u64::try_from(kept.held.len()).expect("what is in memory can be counted"),
        tips: Arc::clone(&kept.tips),
        state: ledger.state.state_hash(&inner.genesis_hash),
    })
}

impl KeptTips {
    /// Reads all tips.
    fn read(tx: &dyn ReadTx, hasher: &OpHasher, end: OpsEnd) -> Result<Self> {
        let held = Held::read(tx)?;
        let mut tips = Vec::new();
        for segment in View::new(tx, hasher)?.segments()?.into_values().flatten() {
            // A held op that follows the last applied op is the tip of the branch instead.
            if !held.extends(tx, &segment.end)? {
                tips.push(segment.end);
            }
        }
        let mut held_ops = BTreeSet::new();
        if !held.is_empty() {
            tips.extend(Held::tips(tx)?);
            Held::each(tx, &mut |op, _| {
                held_ops.insert(op);
            })?;
        }
        tips.sort_unstable();
        Ok(Self {
            end,
            tips: tips.into(),
            held: held_ops,
        })
    }

    /// Brings the tips to a later place. `None` if they have to be read: held ops were applied
    /// since, after which their numbers are used again; or there are more new ops than it would
    /// cost to read all tips.
    fn follow(mut self, tx: &dyn ReadTx, hasher: &OpHasher, end: OpsEnd) -> Result<Option<Self>> {
        if end == self.end {
            return Ok(Some(self));
        }
        let most = u64::try_from(self.tips.len()).map_or(u64::MAX, |tips| tips.saturating_mul(4));
        let new = end.applied.checked_sub(self.end.applied);
        if end.held < self.end.held || new.is_none_or(|new| new > most.max(FEW)) {
            return Ok(None);
        }
        let mut changes = Changes::default();
        for index in (self.end.applied..end.applied).map(ApplyIndex::new) {
            let op = read_op(tx, hasher, index)?.ok_or_else(|| missing(index))?;
            if self.held.contains(&op.reference()) {
                return Ok(None);
            }
            changes.push(&self.tips, &op);
        }
        let mut next = self.end.held;
        while next < end.held {
            let numbers = Held::numbers(tx, next, NUMBERS)?;
            let Some(last) = numbers.last().copied() else {
                break;
            };
            for number in numbers {
                if let Some(held) = read_held(tx, hasher, number)? {
                    changes.push(&self.tips, &held.op);
                    self.held.insert(held.op.reference());
                }
            }
            next = last.saturating_add(1);
        }
        changes.apply(&mut self.tips);
        self.end = end;
        Ok(Some(self))
    }
}

/// Tips that have gone, and new ones.
#[derive(Debug, Default)]
struct Changes {
    gone: BTreeSet<OpRef>,
    new: BTreeSet<OpRef>,
}

impl Changes {
    /// Notes an op that was applied or held.
    fn push(&mut self, tips: &[OpRef], op: &Op) {
        if let Some(prev) = op.prev()
            && !self.new.remove(&prev)
            && tips.binary_search(&prev).is_ok()
        {
            self.gone.insert(prev);
        }
        self.new.insert(op.reference());
    }

    fn apply(self, tips: &mut Arc<[OpRef]>) {
        let pairs = || self.gone.iter().zip(&self.new);
        let is_replaced =
            self.gone.len() == self.new.len() && pairs().all(|(old, new)| old.author == new.author);
        if !is_replaced {
            let kept = tips.iter().filter(|tip| !self.gone.contains(tip));
            let mut all: Vec<OpRef> = kept.chain(&self.new).copied().collect();
            all.sort();
            *tips = all.into();
            return;
        }
        // Copies the tips only if a caller still has the old ones.
        let tips = Arc::make_mut(tips);
        let find = |(old, new): (&OpRef, &OpRef)| Some((tips.binary_search(old).ok()?, *new));
        let places: Vec<(usize, OpRef)> = pairs().filter_map(find).collect();
        for (place, new) in &places {
            tips[*place] = *new;
        }
        for (_, new) in places {
            // An author who has forked has other tips, which can be on either side now.
            let start = tips.partition_point(|tip| tip.author < new.author);
            let end = tips.partition_point(|tip| tip.author <= new.author);
            tips[start..end].sort_unstable();
        }
    }
}
