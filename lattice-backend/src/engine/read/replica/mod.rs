//! What a replication reads of a store, and what it keeps there.
//!
//! All reads are from snapshots, which show only durable data, and no snapshot lives longer than a
//! call: a snapshot that is kept while a peer is slow makes the file grow.

mod since;
mod slice;
mod tips;
mod trace;

pub(crate) use tips::KeptTips;

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use lattice_meta::PubKey;

use crate::backend::{ReadTx, Result, StateBackend};
use crate::engine::Engine;
use crate::engine::ingest::{Authors, IngestError, IngestReport, ingest};
use crate::engine::inner::Undo;
use crate::engine::read::exchange::{self, View};
use crate::engine::read::{OpsAfter, wait};
use crate::history::held::Held;
use crate::history::peers::{
    PeerRow, check_peer_row, read_peer_row, read_peer_rows, write_peer_row,
};
use crate::history::system::Ledger;
use crate::machine::StateMachine;
use crate::op::{BranchTips, Lacking, OpOrder, OpRef, OpsEnd, ReplicaView};
use crate::progress::ProgressSink;

/// The most ops of a slice.
pub(crate) const MAX_SLICE_OPS: usize = 1024;

impl OpsEnd {
    pub(crate) fn read(tx: &dyn ReadTx) -> Result<Self> {
        Ok(Self {
            applied: Ledger::read(tx)?.applied,
            held: Held::read(tx)?.next(),
        })
    }
}

/// Ops of one of the orders of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpSlice {
    /// The ops, by position.
    pub ops: Vec<(OpRef, Vec<u8>)>,
    /// The first position that was not read.
    pub next: u64,
}

/// A branch tip of an author with ops from an apply index on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SinceTip {
    /// The tip.
    pub op: OpRef,
    /// The least sequence number of the author's ops from there on, held ops included.
    pub after: u64,
}

impl<M: StateMachine> Engine<M> {
    /// How far the two orders of the store reach. Costs two look-ups.
    ///
    /// # Errors
    /// What the backend reports; this holds for all methods about replication.
    pub fn ops_end(&self) -> Result<OpsEnd> {
        OpsEnd::read(&*self.inner.db.snapshot()?)
    }

    /// Waits until the orders reach elsewhere than `seen`, but at most for `timeout`. Returns how
    /// far they reach. A commit of this process ends the wait at once; one of another process
    /// within 5 ms if there was one just before, and within 50 ms after a while without.
    ///
    /// # Errors
    /// As for [`wait_for_ops`](Self::wait_for_ops).
    pub fn wait_for_change(&self, seen: OpsEnd, timeout: Duration) -> Result<OpsEnd> {
        wait::wait_for_change(self, seen, timeout)
    }

    /// What this replica has. The handle keeps the tips, and reads only the ops that were applied
    /// or held since the last call, whichever process wrote them; the first call costs a few
    /// look-ups for each branch.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn replica_view(&self) -> Result<ReplicaView> {
        tips::view(&self.inner)
    }

    /// Ops by their positions, from a snapshot that lives only during this call: at most 1,024, and
    /// at most this many bytes; a longer op comes by itself. Reads at least one op of a range that
    /// has one, and does not read beyond the end of the order.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn op_slice(&self, order: OpOrder, range: Range<u64>, max_bytes: usize) -> Result<OpSlice> {
        let tx = self.inner.db.snapshot()?;
        slice::read(&*tx, &self.inner.hasher, order, range, max_bytes)
    }

    /// The tips of all branches of the authors of ops from an apply index on, and of the authors of
    /// held ops, ascending; and the place up to which they say what is here. Reads the heads of
    /// these ops.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn tips_since(&self, from: u64) -> Result<(Vec<SinceTip>, OpsEnd)> {
        since::tips_since(&self.inner, from)
    }

    /// For each of these ops, whether it is applied or held, as of one snapshot.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn has_ops(&self, ops: &[OpRef]) -> Result<Vec<bool>> {
        let tx = self.inner.db.snapshot()?;
        let view = View::new(&*tx, &self.inner.hasher)?;
        let held = Held::read(&*tx)?;
        let is_here = |op| Ok(view.index().place_of(op)?.is_some() || held.contains(&*tx, op)?);
        ops.iter().map(is_here).collect()
    }

    /// The tips of the branches of these authors, held ops included, and older ops of each branch:
    /// 1, 2, 4, ... positions before the end.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn tips_of(&self, authors: &BTreeSet<PubKey>) -> Result<BranchTips> {
        exchange::tips_of(&*self.inner.db.snapshot()?, &self.inner.hasher, authors)
    }

    /// The ops that another replica lacks, of those before a place: applied ops by apply index,
    /// then held ops by number. Costs a few look-ups for each branch of the authors.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn ops_lacking(&self, lacking: &Lacking, until: OpsEnd) -> Result<OpsAfter> {
        let tx = self.inner.db.snapshot()?;
        OpsAfter::lacking(&self.inner.db, &*tx, &self.inner.hasher, lacking, until)
    }

    /// Ingests ops as [`ingest`](Self::ingest) does. If all of them are then applied or held,
    /// writes the row [`PeerRow::Mine`] about a peer in the transaction of the last of them, so
    /// that readers see it together with the ops, and a crash loses both or none. Returns whether
    /// the row was written.
    ///
    /// # Errors
    /// As for [`ingest`](Self::ingest); [`BackendError::Row`](crate::backend::BackendError::Row)
    /// for a row of more than [`MAX_PEER_ROW_BYTES`](super::MAX_PEER_ROW_BYTES), before anything is
    /// ingested.
    pub fn ingest_noted<E>(
        &self,
        ops: impl IntoIterator<Item = Result<Vec<u8>, E>>,
        whose: &Authors,
        row: Option<(&PubKey, &[u8])>,
    ) -> Result<(IngestReport, bool), IngestError<E>> {
        if let Some((_, value)) = row {
            check_peer_row(value)?;
        }
        ingest(&self.inner, ops, whose, row)
    }

    /// Reads a row about a peer.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn peer_row(&self, peer: &PubKey, row: PeerRow) -> Result<Option<Vec<u8>>> {
        read_peer_row(&*self.inner.db.snapshot()?, peer, row)
    }

    /// The rows about all peers, in the order of their public keys.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn peer_rows(&self) -> Result<Vec<(PubKey, PeerRow, Vec<u8>)>> {
        read_peer_rows(&*self.inner.db.snapshot()?)
    }

    /// Writes a row about a peer, of at most
    /// [`MAX_PEER_ROW_BYTES`](super::MAX_PEER_ROW_BYTES). It is durable when this returns.
    ///
    /// # Errors
    /// [`BackendError::Row`](crate::backend::BackendError::Row) for a longer one; and what the
    /// backend reports.
    pub fn set_peer_row(&self, peer: &PubKey, row: PeerRow, value: &[u8]) -> Result<()> {
        check_peer_row(value)?;
        self.inner.transact(|recorder| {
            write_peer_row(recorder.tx, peer, row, value)?;
            recorder.note_change();
            Ok::<_, Undo<_>>(())
        })
    }

    /// Replays the history in canonical order (parents first, then by time and id) and hashes the
    /// effects. Replicas with the same ops and the same code get the same hashes. Returns the
    /// number of ops, and for each position the hash of the effects before it, or of all effects
    /// for a position after the end. Without positions nothing is replayed.
    ///
    /// `backend` creates the scratch store of the replay.
    ///
    /// # Errors
    /// [`BackendError::Fault`](crate::backend::BackendError::Fault) if the code cannot apply an op
    /// in this order; and what the backend reports.
    pub fn trace(
        &self,
        at: &[u64],
        backend: &dyn StateBackend,
        progress: &ProgressSink,
    ) -> Result<(u64, Vec<[u8; 16]>)> {
        trace::trace(&self.inner, at, backend, progress)
    }
}
