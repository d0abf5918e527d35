//! Questions about a store, and their answers.

use lattice_backend::op::{Lacking, OpOrder, OpRef, OpsEnd, ReplicaView};
use lattice_meta::{Cid, PubKey};

use crate::host::Mode;
use crate::wire::{Cursor, RefuseReason, Tip};

/// A store, its view, and the two rows about a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// What the store has.
    pub view: ReplicaView,
    /// The row that [`Request::Ingest`] wrote last: what this store has of the peer's ops.
    pub mine: Option<Cursor>,
    /// The row that [`Output::Note`](crate::host::Output::Note) wrote last: what the peer has of this store's ops.
    pub served: Option<Cursor>,
    /// The directions that are allowed.
    pub mode: Mode,
}

/// Whether a tip of a peer is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// The op is applied or held.
    Here,
    /// It is not, and the author's ops are taken.
    Lacking,
    /// It is not, and the author's ops are refused.
    Refused,
}

/// A question about a store. Answers come from durable data only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Opens the store for a session. Answer: [`Answer::Loaded`] or [`Answer::Declined`].
    Load {
        /// The peer.
        peer: PubKey,
        /// Whether the peer proposed the session, with these directions of its own. Then the host
        /// decides whether this peer may have one.
        asked: Option<Mode>,
    },
    /// Answer: [`Answer::View`].
    View,
    /// The tips of the branches of all authors of ops from this apply index on, and the tips of
    /// held ops, ascending; with the least sequence number among the author's ops from there on.
    /// Answer: [`Answer::Tips`].
    TipsSince {
        /// The first apply index.
        from: u64,
    },
    /// Which of the peer's tips are here. Answer: [`Answer::Weighed`]. The tips show the host what
    /// the peer has of the store's own author, which can confirm a copy.
    Weigh {
        /// The tips, ascending.
        tips: Vec<OpRef>,
    },
    /// Prepares to send what the peer lacks, of the ops before a place. The host keeps no snapshot
    /// for it. Answer: [`Answer::Planned`].
    Plan {
        /// What the peer lacks.
        lacking: Lacking,
        /// Ops from here on are not part of it.
        until: OpsEnd,
    },
    /// The next ops of the plan, each after its parents, read from a snapshot that lives only for
    /// this request. Answer: [`Answer::Slice`].
    ReadPlan {
        /// The most bytes; a longer op comes by itself.
        max_bytes: usize,
    },
    /// Ops by their position. Answer: [`Answer::Slice`].
    Read {
        /// The order.
        order: OpOrder,
        /// The first position.
        from: u64,
        /// The end.
        until: u64,
        /// The most bytes; a longer op comes by itself.
        max_bytes: usize,
    },
    /// Ingests ops and, in the transaction of the last of them, writes the row `mine` if all of
    /// them are then applied or held. Without ops, applies deferred ops that are due. Answer:
    /// [`Answer::Ingested`].
    Ingest {
        /// The ops.
        ops: Vec<Vec<u8>>,
        /// The row.
        note: Option<Cursor>,
    },
    /// A part of the code of the store. The host checks that it is the code of this store, and
    /// that this peer may have it. Answer: [`Answer::Blob`].
    Blob {
        /// The content id.
        cid: Cid,
        /// The first byte.
        offset: u64,
        /// The most bytes.
        max_bytes: usize,
    },
    /// Replays the history in canonical order and hashes the effects. Answer: [`Answer::Traced`].
    Trace {
        /// The positions, ascending, at which the running hash is wanted. Empty: only the length.
        at: Vec<u64>,
    },
}

/// The answer to a [`Request`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The store is open for the session.
    Loaded(Box<Loaded>),
    /// The peer gets no session.
    Declined(RefuseReason),
    /// What the store has.
    View(ReplicaView),
    /// Tips, and the place of the snapshot that they come from.
    Tips {
        /// The tips, ascending.
        tips: Vec<Tip>,
        /// The place.
        place: OpsEnd,
    },
    /// The standing of each tip, and what is here of the authors of lacking tips.
    Weighed {
        /// In the order of the request.
        standing: Vec<Standing>,
        /// Tips and older ops of the branches of these authors, ascending.
        known: Vec<OpRef>,
    },
    /// What a plan will send.
    Planned {
        /// The number of ops.
        ops: u64,
        /// Their bytes; 0 if unknown.
        bytes: u64,
    },
    /// Ops.
    Slice {
        /// The ops.
        ops: Vec<(OpRef, Vec<u8>)>,
        /// The first position that was not read: after `from`, at most `until`. Not used for plans.
        next: u64,
        /// Whether a plan is at its end.
        last: bool,
    },
    /// What became of ops.
    Ingested(Box<Ingested>),
    /// A part of a blob.
    Blob {
        /// The length of the whole blob; `None` if it is not here, or not for this peer.
        length: Option<u64>,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Running hashes.
    Traced {
        /// The number of ops.
        ops: u64,
        /// The hash before each position that was asked for; past the end, the hash at the end.
        hashes: Vec<[u8; 16]>,
    },
    /// The store failed. The session ends.
    Failed,
}

/// What became of the ops of an ingest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ingested {
    /// The place after the ingest.
    pub place: OpsEnd,
    /// The apply indexes of those of the given ops that were applied.
    pub applied: Vec<u64>,
    /// The numbers of those that are held.
    pub held: Vec<u64>,
    /// Given ops that were here before.
    pub known: u64,
    /// Given ops that wait for others.
    pub waiting: u64,
    /// Given ops that can be taken later: they are dated ahead, or there was no room for them.
    pub later: u64,
    /// Given ops of refused authors.
    pub refused: u64,
    /// These authors.
    pub refused_authors: Vec<PubKey>,
    /// Given ops that no replica takes: bytes that are no op of the store, wrong signatures, times
    /// that are not after those of their parents.
    pub invalid: u64,
    /// Ops of this session that had waited and are applied or held now.
    pub released: u64,
    /// Whether the row was written.
    pub noted: bool,
    /// When the next deferred op of the store can be applied, in milliseconds from now.
    pub due_ms: Option<u64>,
}
