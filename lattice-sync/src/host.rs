//! What a host does for the core: inputs, outputs, and the questions about a store.
//!
//! The core reads no store. It asks ([`Output::Ask`]) and the host answers ([`Input::Answer`]), at
//! any time and in any order, except that ingests of one store are answered in order. A host that
//! answers at once from a test store and a host with a pool of threads run the same core.

use std::sync::Arc;

use lattice_backend::op::OpRef;
use lattice_meta::{Cid, GenesisHash, PubKey, StateHash};

use crate::event::Event;
use crate::wire::{Cursor, RefuseReason, Tip};

/// A moment of the host's clock, in milliseconds from an arbitrary start. It never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// A moment.
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds from the start.
    pub const fn ms(self) -> u64 {
        self.0
    }

    /// The moment so many milliseconds later.
    #[must_use]
    pub const fn after(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// The milliseconds since an earlier moment.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A connection, named by the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// A session about one store on one connection, named by the core. Names are not used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub(crate) u64);

impl SessionId {
    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Names a question. An answer with the ticket of a session that is over is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    pub(crate) session: SessionId,
    pub(crate) number: u64,
}

impl Ticket {
    /// The session that asks.
    pub const fn session(self) -> SessionId {
        self.session
    }
}

/// Which side of a connection or a session this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// It made the connection, or proposed the session.
    Dialled,
    /// It accepted the connection, or the session.
    Accepted,
}

/// The directions of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mode {
    /// Ops are sent to the peer.
    pub gives: bool,
    /// Ops of the peer are taken.
    pub takes: bool,
}

impl Mode {
    /// Both directions.
    pub const BOTH: Self = Self {
        gives: true,
        takes: true,
    };
}

/// How far the two orders of a store reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Place {
    /// The number of applied ops: the next apply index.
    pub applied: u64,
    /// The next number of a held op.
    pub held: u64,
}

impl Place {
    /// The greater of both numbers.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            applied: self.applied.max(other.applied),
            held: self.held.max(other.held),
        }
    }
}

/// One of the two orders of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// Applied ops by apply index.
    Applied,
    /// Held ops by their numbers, which have gaps.
    Held,
}

/// What a store has, as of one snapshot of durable data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// How far its orders reach.
    pub place: Place,
    /// The number of held ops.
    pub held: u64,
    /// The tips of all branches of all authors, held ops included, ascending.
    pub tips: Arc<[OpRef]>,
    /// The hash of the whole state.
    pub state: StateHash,
}

/// A store, its view, and the two rows about a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// What the store has.
    pub view: View,
    /// The row that [`Request::Ingest`] wrote last: what this store has of the peer's ops.
    pub mine: Option<Cursor>,
    /// The row that [`Output::Note`] wrote last: what the peer has of this store's ops.
    pub served: Option<Cursor>,
    /// The directions that are allowed.
    pub mode: Mode,
}

/// What the other side has of an author of a wished tip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Has {
    /// These ops, and all before them on their branches. Ops that are unknown here say nothing.
    Ops(Vec<OpRef>),
    /// All ops before this apply index.
    Before(u64),
}

/// The ops of one author that the other side lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// The author.
    pub author: PubKey,
    /// What the other side has.
    pub has: Has,
}

/// What a plan sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lacking {
    /// Everything.
    All,
    /// The ops of these authors, ascending.
    Of(Vec<Lack>),
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
        until: Place,
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
        order: Order,
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
    View(View),
    /// Tips, and the place of the snapshot that they come from.
    Tips {
        /// The tips, ascending.
        tips: Vec<Tip>,
        /// The place.
        place: Place,
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
    pub place: Place,
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

/// What happens to a core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// There is a stream to a peer.
    Connected {
        /// Its name.
        conn: ConnId,
        /// Who made it.
        side: Side,
        /// The peer's key, if the transport proves it or the host expects it.
        peer: Option<PubKey>,
    },
    /// Bytes came.
    Received {
        /// From where.
        conn: ConnId,
        /// In pieces of any length.
        bytes: Vec<u8>,
    },
    /// Bytes of [`Output::Send`] have left the host's buffers.
    Sent {
        /// The connection.
        conn: ConnId,
        /// How many.
        bytes: usize,
    },
    /// The stream has ended.
    Closed {
        /// The connection.
        conn: ConnId,
    },
    /// Ends a connection.
    Close {
        /// The connection.
        conn: ConnId,
    },
    /// Proposes a session.
    Sync {
        /// The connection.
        conn: ConnId,
        /// The store.
        store: GenesisHash,
        /// The directions.
        mode: Mode,
    },
    /// Ends a session.
    End {
        /// The session.
        session: SessionId,
    },
    /// A store has durable ops up to here. Every commit of any writer leads to this input, sooner
    /// or later; several can lead to one.
    Changed {
        /// The store.
        store: GenesisHash,
        /// Ops that readers can see.
        visible: Place,
        /// Ops that survive a crash. Only these are sent.
        durable: Place,
    },
    /// An answer.
    Answer {
        /// The question.
        ticket: Ticket,
        /// The answer.
        answer: Answer,
    },
    /// Asks the peer of a session for the code of its store.
    Fetch {
        /// The session.
        session: SessionId,
        /// The content id.
        cid: Cid,
        /// The longest blob that is taken.
        max_bytes: u64,
    },
    /// Looks for the first op whose effect differs, after [`Event::Diverged`].
    Probe {
        /// The session.
        session: SessionId,
    },
    /// Time has passed; see [`Core::next_wake`](crate::Core::next_wake).
    Tick,
}

/// What a core wants done, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Bytes for a peer.
    Send {
        /// The connection.
        conn: ConnId,
        /// Whole frames.
        bytes: Vec<u8>,
    },
    /// Ends the stream, after what was sent.
    Close {
        /// The connection.
        conn: ConnId,
    },
    /// A question.
    Ask {
        /// Belongs to the answer.
        ticket: Ticket,
        /// The store.
        store: GenesisHash,
        /// The question.
        request: Request,
    },
    /// Writes the row `served`, by itself or with the next transaction; it may be lost.
    Note {
        /// The store.
        store: GenesisHash,
        /// The peer.
        peer: PubKey,
        /// The row.
        served: Cursor,
    },
    /// The session is over, or its plan is: the host drops the plan, also one that it is still
    /// making.
    DropPlan {
        /// The session.
        session: SessionId,
    },
    /// Something that a user may want to know.
    Event(Event),
}
