//! What a core reports.

use lattice_meta::{Cid, GenesisHash, PubKey, StateHash};

use crate::host::{ConnId, SessionId};
use crate::wire::{EndReason, Farewell, RefuseReason};

/// Why a session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Over {
    /// The host ended it, or a failure of the host's store did.
    Here(EndReason),
    /// The peer ended it.
    There(EndReason),
    /// The peer did not accept it.
    Refused(RefuseReason),
    /// The host did not accept it.
    Declined(RefuseReason),
    /// There is a newer session about the same store on the connection.
    Again,
    /// The connection ended.
    Disconnected,
}

/// Why a connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lost {
    /// The core ended it.
    Here(Farewell),
    /// The peer ended it.
    There(Farewell),
    /// The stream ended.
    Cut,
    /// The host expected another peer.
    OtherPeer,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A peer has said who it is.
    Met {
        /// The connection.
        conn: ConnId,
        /// What it says; only the transport can prove it.
        peer: PubKey,
        /// Whether it says that it has the key of this process: it is a copy.
        is_same_key: bool,
    },
    /// A connection is over.
    Lost {
        /// The connection.
        conn: ConnId,
        /// Why.
        why: Lost,
        /// For [`Farewell::Protocol`]: the rule that the peer broke.
        rule: Option<&'static str>,
    },
    /// The answer to an [`Input::Find`](crate::host::Input::Find).
    Found {
        /// The connection.
        conn: ConnId,
        /// What was asked for.
        name: String,
        /// The record, as the peer sent it: the host decodes it, and compares its id with the name
        /// if that is one.
        record: Result<Vec<u8>, FindFault>,
    },
    /// A session has begun.
    Opened {
        /// The session.
        session: SessionId,
        /// The connection.
        conn: ConnId,
        /// The store.
        store: GenesisHash,
        /// The peer.
        peer: PubKey,
    },
    /// A session is over.
    Over {
        /// The session.
        session: SessionId,
        /// The store.
        store: GenesisHash,
        /// Why.
        why: Over,
    },
    /// What the peer lacks is found by its cursor.
    CursorUsed {
        /// The session.
        session: SessionId,
        /// The cursor's number.
        upto: u64,
    },
    /// All that the peer had when it compared is here, except for what `is_complete` excludes.
    Caught {
        /// The session.
        session: SessionId,
        /// Whether no op was refused, is waiting or was put off.
        is_complete: bool,
    },
    /// A round is over for both sides: a session that is not to be live can end here. It comes once
    /// for each round, at the latest a few seconds after all that was sent is taken in.
    Settled {
        /// The session.
        session: SessionId,
        /// Whether the peer has confirmed that it has all ops that were here when both compared,
        /// durably. Otherwise it refuses authors, or ops wait or were put off there. `None` if this
        /// side gives nothing, or the peer takes nothing.
        gave: Option<bool>,
        /// Whether all ops that the peer had are here, durably. Otherwise authors are refused, or
        /// ops wait or were put off here. `None` if this side takes nothing, or the peer gives
        /// nothing.
        took: Option<bool>,
    },
    /// Both have the same ops, durably.
    Equal {
        /// The session.
        session: SessionId,
        /// The number of ops.
        ops: u64,
    },
    /// Both have sent what they have, and their ops differ: authors are refused, ops wait, or the
    /// peer does not tell the truth.
    Unequal {
        /// The session.
        session: SessionId,
        /// Ops here.
        ours: u64,
        /// Ops there.
        theirs: u64,
    },
    /// Both have applied the same ops, and their states differ.
    Diverged {
        /// The session.
        session: SessionId,
        /// The state here.
        ours: StateHash,
        /// The state there.
        theirs: StateHash,
    },
    /// Ops of these authors are refused here.
    AuthorsRefused {
        /// The session.
        session: SessionId,
        /// The authors.
        authors: Vec<PubKey>,
    },
    /// The peer refuses ops of these authors: they are not sent to it.
    AuthorsRefusedThere {
        /// The session.
        session: SessionId,
        /// The authors that it has not named before.
        authors: Vec<PubKey>,
    },
    /// The effects differ first at this position of the canonical order.
    FirstDifference {
        /// The session.
        session: SessionId,
        /// The position.
        position: u64,
    },
    /// The replays of both sides agree: one of the two stores is not what its history says.
    ReplaysAgree {
        /// The session.
        session: SessionId,
    },
    /// A part of a blob, in order. It is not verified before [`Event::BlobWhole`].
    BlobPart {
        /// The session.
        session: SessionId,
        /// The content id.
        cid: Cid,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// The parts are the blob: its hash is the content id. Whether it is trusted is for the host
    /// to decide.
    BlobWhole {
        /// The session.
        session: SessionId,
        /// The content id.
        cid: Cid,
    },
    /// The peer does not have the blob, or sent something else. The parts are to be dropped.
    BlobFailed {
        /// The session.
        session: SessionId,
        /// The content id.
        cid: Cid,
        /// Why.
        why: BlobFault,
    },
}

/// Why a store was not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FindFault {
    /// The peer has no store of that name, or several, or does not give it.
    NotThere,
    /// The peer's program is too old to be asked.
    Unsupported,
    /// The connection ended first, or does not exist.
    Cut,
}

/// Why a blob did not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlobFault {
    /// The peer does not have it, or does not give it.
    NotThere,
    /// It is longer than the host takes.
    TooLong {
        /// The length that the peer said.
        length: u64,
    },
    /// The parts are longer or shorter than the peer said, or the peer said two lengths.
    Length,
    /// The bytes have another hash.
    Hash,
    /// The session ended first.
    Cut,
}
