//! Limits and times of a core.

use lattice_meta::PubKey;

/// Limits and times. The defaults are those of the protocol; tests use smaller ones.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The key that this process says it has.
    pub own: PubKey,
    /// The most bytes of ops that are sent and not yet durable at the receiver, per session. One
    /// slice more can be on its way.
    pub window_bytes: u64,
    /// The most bytes of one slice of ops.
    pub slice_bytes: usize,
    /// The most tips in a frame of news.
    pub news_tips: usize,
    /// Sets of more tips than this are compared by ranges, if both are that large.
    pub few_tips: usize,
    /// A node of ranges with at most this many authors lists them.
    pub node_authors: usize,
    /// The most ops of one ingest.
    pub batch_ops: usize,
    /// The most ingests at the same time; one of each store.
    pub ingests: usize,
    /// The most bytes that a connection holds unsent before it reads more ops.
    pub unsent_bytes: usize,
    /// The most slices that a connection reads at a time.
    pub reads: usize,
    /// The most sessions on a connection.
    pub sessions: usize,
    /// The most ops of one session that wait for others.
    pub waiting_ops: u64,
    /// Milliseconds between two beats of an idle session.
    pub beat_ms: u64,
    /// Milliseconds of quiet after which a session says what it has.
    pub settle_ms: u64,
    /// Milliseconds without a byte after which a peer counts as gone.
    pub dead_ms: u64,
    /// Milliseconds within which a peer says who it is.
    pub hello_ms: u64,
    /// Milliseconds within which the next 16 KiB of a frame that has begun must come.
    pub stall_ms: u64,
    /// Milliseconds before two replicas that stay unequal compare again. Doubles up to ten minutes.
    pub again_ms: u64,
    /// Milliseconds without progress after which another peer may send the same ops.
    pub lease_ms: u64,
    /// A fault, for tests of the tests.
    #[cfg(feature = "faults")]
    pub fault: Option<Fault>,
}

impl Config {
    /// The limits of the protocol.
    pub const fn new(own: PubKey) -> Self {
        Self {
            own,
            window_bytes: 8 << 20,
            slice_bytes: 256 << 10,
            news_tips: crate::wire::MAX_NEWS_TIPS,
            few_tips: 1024,
            node_authors: 64,
            batch_ops: 16_384,
            ingests: 2,
            unsent_bytes: 512 << 10,
            reads: 2,
            sessions: 256,
            waiting_ops: 4096,
            beat_ms: 30_000,
            settle_ms: 1000,
            dead_ms: 75_000,
            hello_ms: 10_000,
            stall_ms: 75_000,
            again_ms: 30_000,
            lease_ms: 10_000,
            #[cfg(feature = "faults")]
            fault: None,
        }
    }

    /// Whether a test has put this fault in.
    #[cfg(feature = "faults")]
    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// There are no faults in what ships.
    #[cfg(not(feature = "faults"))]
    #[expect(clippy::unused_self, reason = "the other form uses it")]
    pub(crate) const fn has(&self, _: Fault) -> bool {
        false
    }
}

/// A fault that the simulator must find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    not(feature = "faults"),
    expect(unreachable_pub, reason = "public with the feature")
)]
pub enum Fault {
    /// A cursor is believed without its token.
    CursorWithoutToken,
    /// Ops are sent as soon as readers can see them.
    SendBeforeDurable,
    /// The host is not asked to drop plans.
    PlanKept,
    /// Ops of authors whom the peer refuses are sent.
    RefusalIgnored,
    /// A change that arrives during a read is forgotten.
    DroppedWake,
    /// Two connections to one process stay.
    DuplicateConnection,
    /// Ops that were known give no credit back.
    CreditLeak,
    /// A cursor is written although an op did not arrive.
    NoteWithGap,
    /// Ops count as taken in when they come.
    AckBeforeDurable,
    /// Ops are sent back to where they came from.
    Echo,
    /// Held ops are not handed on.
    HeldKept,
    /// States are not compared.
    StateIgnored,
    /// A part of a comparison by ranges is left out.
    RangeSkipped,
}

impl Fault {
    /// All faults.
    #[cfg(feature = "faults")]
    pub const ALL: &'static [Self] = &[
        Self::CursorWithoutToken,
        Self::SendBeforeDurable,
        Self::PlanKept,
        Self::RefusalIgnored,
        Self::DroppedWake,
        Self::DuplicateConnection,
        Self::CreditLeak,
        Self::NoteWithGap,
        Self::AckBeforeDurable,
        Self::Echo,
        Self::HeldKept,
        Self::StateIgnored,
        Self::RangeSkipped,
    ];
}
