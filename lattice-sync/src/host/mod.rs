//! What a host does for the core: inputs, outputs, and the questions about a store.
//!
//! The core reads no store. It asks ([`Output::Ask`]) and the host answers ([`Input::Answer`]), at
//! any time and in any order, except that ingests of one store are answered in order. A host that
//! answers at once from a test store and a host with a pool of threads run the same core.

mod store;

use lattice_meta::{Cid, GenesisHash, PubKey};

use lattice_backend::op::OpsEnd;

use crate::event::Event;
use crate::wire::Cursor;

pub use store::{Answer, Ingested, Loaded, Request, Standing};

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
        visible: OpsEnd,
        /// Ops that survive a crash. Only these are sent.
        durable: OpsEnd,
    },
    /// An answer.
    Answer {
        /// The question.
        ticket: Ticket,
        /// The answer.
        answer: Answer,
    },
    /// Asks the peer of a connection for the record of a store, of which only a name is known:
    /// its genesis and its logic. Each question leads to one [`Event::Found`].
    Find {
        /// The connection. The question waits for the peer's greeting.
        conn: ConnId,
        /// What a user typed: a store's id, the first digits of one, at least eight, or a name that
        /// the peer has given to it.
        name: String,
    },
    /// Answers an [`Output::Find`].
    Known {
        /// The connection.
        conn: ConnId,
        /// The number of the question.
        number: u32,
        /// The record, at most 3 KiB; `None` if the name means no store here, or several, or one
        /// that this peer may not have. The peer cannot tell these apart.
        record: Option<Vec<u8>>,
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
    /// A peer asks for the record of a store. The host answers with [`Input::Known`], at
    /// any time.
    Find {
        /// The connection.
        conn: ConnId,
        /// Who asks, by its own word or proved by the transport.
        peer: PubKey,
        /// Belongs to the answer.
        number: u32,
        /// What a user of the peer typed, at most 256 bytes of any text: see [`Input::Find`].
        name: String,
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
