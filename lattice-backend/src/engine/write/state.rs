//! What the single writer of a store keeps in memory.

use std::collections::BTreeMap;

use lattice_meta::{Hlc, PubKey};

use crate::backend::{ReadTx, Result};
use crate::engine::ingest::pending::PendingOps;
use crate::history::copied::Copied;
use crate::history::held::Held;
use crate::history::system::{Ledger, read_frontier};
use crate::history::{AuthorState, Forks, Index, Stamps, Tail};
use crate::op::{OpHasher, OpRef};

/// The most authors that are cached; a further one empties the cache.
const REMEMBERED_AUTHORS: usize = 1024;

/// Mirrors the disk, except for the pending ops, which exist only here.
pub(crate) struct WriterState {
    pub(crate) ledger: Ledger,
    pub(crate) frontier: BTreeMap<OpRef, Hlc>,
    pub(crate) tail: Tail,
    pub(crate) forks: Forks,
    /// Ops that rows name by apply index.
    pub(crate) stamps: Stamps,
    /// Authors read so far.
    authors: BTreeMap<PubKey, AuthorState>,
    pub(crate) pending: PendingOps,
    pub(crate) held: Held,
    /// Set while the store is an unconfirmed copy.
    pub(crate) copied: Option<Copied>,
}

impl WriterState {
    pub(crate) fn load(tx: &dyn ReadTx, hasher: &OpHasher) -> Result<Self> {
        let ledger = Ledger::read(tx)?;
        let tail = Tail::read(tx, hasher, ledger.indexed, ledger.applied)?;
        let frontier = read_frontier(tx)?.into_iter().collect();
        Ok(Self {
            ledger,
            frontier,
            tail,
            forks: Forks::read(tx)?,
            stamps: Stamps::default(),
            authors: BTreeMap::new(),
            pending: PendingOps::default(),
            held: Held::read(tx)?,
            copied: Copied::read(tx)?,
        })
    }

    /// Reads everything again except the pending ops, which exist only here.
    pub(crate) fn reload(&mut self, tx: &dyn ReadTx, hasher: &OpHasher) -> Result<()> {
        let pending = std::mem::take(&mut self.pending);
        *self = Self {
            pending,
            ..Self::load(tx, hasher)?
        };
        Ok(())
    }

    /// An author's tip and branches.
    pub(crate) fn author(&mut self, tx: &dyn ReadTx, author: &PubKey) -> Result<AuthorState> {
        if let Some(known) = self.authors.get(author) {
            return Ok(*known);
        }
        let (tail, forks) = (&self.tail, self.forks);
        let state = Index { tx, tail, forks }.author(author)?;
        self.set_author(*author, state);
        Ok(state)
    }

    pub(crate) fn set_author(&mut self, author: PubKey, state: AuthorState) {
        if self.authors.len() >= REMEMBERED_AUTHORS && !self.authors.contains_key(&author) {
            self.authors.clear();
        }
        self.authors.insert(author, state);
    }
}
