//! What sessions are doing, for people and for metrics.

use lattice_meta::{GenesisHash, PubKey};

use crate::host::{ConnId, SessionId};

/// Counts of a session since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counts {
    /// Ops sent.
    pub ops_sent: u64,
    /// Bytes of frames with ops sent.
    pub bytes_sent: u64,
    /// Ops received.
    pub ops_received: u64,
    /// Bytes of frames with ops received.
    pub bytes_received: u64,
    /// Ops that the present round will send.
    pub to_send: u64,
    /// Ops that the peer has announced for the present round; only its word.
    pub to_receive: u64,
    /// Ops received and applied.
    pub applied: u64,
    /// Ops received and held.
    pub held: u64,
    /// Ops received that were here.
    pub known: u64,
    /// Ops received in the last round that had ops, that wait for others, or waited.
    pub waiting: u64,
    /// Ops received in the last round that had ops, that can be taken later.
    pub later: u64,
    /// Ops received of refused authors.
    pub refused: u64,
    /// Ops received that no replica takes.
    pub invalid: u64,
    /// Comparisons.
    pub rounds: u64,
    /// Ingests.
    pub ingests: u64,
}

/// What one direction of a session does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// The session is not open yet.
    Opening,
    /// This direction is not used.
    Off,
    /// Both sides find out what is lacking.
    Comparing,
    /// It waits for another session about the same store.
    Queued,
    /// Ops that are lacking are sent.
    Bulk,
    /// New ops are sent as they come.
    Live,
}

/// A session as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionStatus {
    /// The session.
    pub session: SessionId,
    /// Its connection.
    pub conn: ConnId,
    /// Its store.
    pub store: GenesisHash,
    /// The peer.
    pub peer: PubKey,
    /// Sending.
    pub push: Phase,
    /// Taking.
    pub pull: Phase,
    /// Whether the peer durably has all ops of this side that it lacked and takes.
    pub is_delivered: bool,
    /// Whether both had the same ops when they last compared.
    pub is_equal: bool,
    /// Whether both had the same ops and other states.
    pub is_diverged: bool,
    /// Counts.
    pub counts: Counts,
    /// Bytes that the session holds.
    pub buffered: u64,
}
