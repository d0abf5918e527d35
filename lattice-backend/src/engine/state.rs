//! What the single writer of a store holds in memory.

use std::collections::BTreeMap;

use lattice_meta::{Hlc, PubKey};

use super::pending::PendingOps;
use crate::history::{Applied, Stamps, Tail};
use crate::system::{Ledger, read_frontier};
use crate::tx::{ReadTx, Result};
use crate::{OpHasher, OpRef};

/// Authors whose tips are remembered; beyond that they are read again.
const REMEMBERED_TIPS: usize = 1024;

/// Mirrors what is on disk, except for the pending ops, which are only here.
pub(super) struct WriterState {
    pub(super) ledger: Ledger,
    pub(super) frontier: BTreeMap<OpRef, Hlc>,
    pub(super) tail: Tail,
    /// Ops that rows name by their numbers.
    pub(super) stamps: Stamps,
    /// Tips of authors asked for so far.
    tips: BTreeMap<PubKey, Option<OpRef>>,
    pub(super) pending: PendingOps,
}

impl WriterState {
    pub(super) fn load(tx: &dyn ReadTx, hasher: &OpHasher) -> Result<Self> {
        let ledger = Ledger::read(tx)?;
        let tail = Tail::read(tx, hasher, ledger.indexed, ledger.applied)?;
        let frontier = read_frontier(tx)?.into_iter().collect();
        Ok(Self {
            ledger,
            frontier,
            tail,
            stamps: Stamps::default(),
            tips: BTreeMap::new(),
            pending: PendingOps::default(),
        })
    }

    /// Reads everything again except for the pending ops, which are only here.
    pub(super) fn reload(&mut self, tx: &dyn ReadTx, hasher: &OpHasher) -> Result<()> {
        let pending = std::mem::take(&mut self.pending);
        *self = Self {
            pending,
            ..Self::load(tx, hasher)?
        };
        Ok(())
    }

    /// An author's tip.
    pub(super) fn tip(&mut self, tx: &dyn ReadTx, author: &PubKey) -> Result<Option<OpRef>> {
        if let Some(tip) = self.tips.get(author) {
            return Ok(*tip);
        }
        let tip = Applied {
            tx,
            tail: &self.tail,
        }
        .tip_of(author)?;
        if self.tips.len() >= REMEMBERED_TIPS {
            self.tips.clear();
        }
        self.tips.insert(*author, tip);
        Ok(tip)
    }

    pub(super) fn set_tip(&mut self, tip: OpRef) {
        self.tips.insert(tip.author, Some(tip));
    }
}
