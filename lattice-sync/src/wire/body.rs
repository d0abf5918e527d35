//! The bodies of frames.

use lattice_backend::op::OpRef;
use lattice_meta::codec::bounded_seq;
use lattice_meta::{Cid, GenesisHash, OpId, PubKey, StateHash};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::convert::to_u64;
use crate::wire::{
    MAX_FRAME_OPS, MAX_NEWS_TIPS, MAX_NODE_SHORTS, MAX_NODES, MAX_REFUSED, MAX_WISHES, PROBE_HASHES,
};

/// A random value with which both peers prove that a cursor belongs to their present files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(pub [u8; 16]);

/// The first frame of each side of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The major versions that the sender speaks, best first.
    #[serde(deserialize_with = "bounded_seq::deserialize::<_, _, 8>")]
    pub protocols: Vec<[u8; 8]>,
    /// Bits of minor features, of which both sides use those that both have:
    /// [`FEATURE_FIND`](crate::wire::FEATURE_FIND).
    pub features: u64,
    /// The sender's public key. The stream does not prove it.
    pub peer: PubKey,
    /// A random number of the running process, by which a process recognises itself.
    pub instance: u64,
    /// Increases with each connection that this process makes.
    pub attempt: u64,
}

/// What a replica has, in constant size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Ops, applied and held.
    pub ops: u64,
    /// Those of them that are held.
    pub held: u64,
    /// Branch tips, without those of refused authors.
    pub tips: u32,
    /// The digest of these tips.
    pub digest: [u8; 32],
    /// The hash of the whole state.
    pub state: StateHash,
}

/// What a peer remembers of the order of application of the other: it has all ops before `upto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The number of ops.
    pub upto: u64,
    /// The other's word for it, which the other must still have, too.
    pub token: Token,
}

/// Proposes a session about a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// Names the session on this connection. The side that made the connection uses odd numbers,
    /// the other side even ones.
    pub channel: u32,
    /// The full hash of the store's genesis.
    pub genesis: GenesisHash,
    /// Whether the sender sends ops.
    pub gives: bool,
    /// Whether the sender takes ops.
    pub takes: bool,
    /// What the sender has.
    pub summary: Summary,
    /// The sender's cursor about the receiver's ops.
    pub cursor: Option<Cursor>,
}

/// Accepts a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accept {
    /// The session.
    pub channel: u32,
    /// Whether the sender sends ops.
    pub gives: bool,
    /// Whether the sender takes ops.
    pub takes: bool,
    /// Whether the sender begins with ranges.
    pub ranges: bool,
    /// What the sender has.
    pub summary: Summary,
    /// The sender's cursor about the receiver's ops.
    pub cursor: Option<Cursor>,
}

/// Why a session is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum RefuseReason {
    /// The store is not here, or not for this peer.
    NotHere,
    /// Too much is going on.
    Busy {
        /// When to try again, in milliseconds from now.
        retry_ms: u64,
    },
}

/// Declines a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refuse {
    /// The session.
    pub channel: u32,
    /// Why.
    pub reason: RefuseReason,
}

/// Begins another comparison. Only the side that accepted the session sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// The session.
    pub channel: u32,
    /// Whether the sender begins with ranges.
    pub ranges: bool,
    /// What the sender has.
    pub summary: Summary,
}

/// A branch tip that the receiver may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tip {
    /// The op.
    pub op: OpRef,
    /// After a cursor: the least sequence number of this author among the ops after it, so that the
    /// receiver has all earlier ones. Otherwise 0.
    pub after: u64,
}

/// Branch tips of the sender, ascending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    /// The session.
    pub channel: u32,
    /// The receiver's cursor, if these are the tips of the authors of ops after it.
    pub since: Option<u64>,
    /// The tips, strictly ascending, also over several frames.
    #[serde(deserialize_with = "bounded_seq::deserialize::<_, _, MAX_NEWS_TIPS>")]
    pub tips: Vec<Tip>,
    /// Whether more follow. The receiver answers each frame with [`Want`] first.
    pub more: bool,
}

/// A set of authors by the first bits of their keys, as a node of a tree with sixteen children.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// The number of leading four-bit digits of the keys that are fixed: 1 to 16.
    pub depth: u8,
    /// These digits, then zeroes.
    pub prefix: u64,
    /// What the sender has there.
    pub content: NodeContent,
}

/// What a node of [`Ranges`] says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeContent {
    /// The fingerprints of the sixteen children.
    Kids([u64; 16]),
    /// The short hashes of all authors below the node.
    Items(
        #[serde(deserialize_with = "bounded_seq::deserialize::<_, _, MAX_NODE_SHORTS>")] Vec<u64>,
    ),
    /// Short hashes of the other side that the sender does not have.
    Lacks(
        #[serde(deserialize_with = "bounded_seq::deserialize::<_, _, MAX_NODE_SHORTS>")] Vec<u64>,
    ),
}

/// A part of the comparison of two large sets of branch tips.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranges {
    /// The session.
    pub channel: u32,
    /// The nodes.
    #[serde(deserialize_with = "bounded_seq::deserialize::<_, _, MAX_NODES>")]
    pub nodes: Vec<Node>,
    /// Whether the receiver may answer now.
    pub last: bool,
    /// Whether the sets differ in so many places that both sides send all their tips.
    pub all: bool,
}

/// An op of the author of a wished tip that the receiver of the tip has, with all before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Its sequence number.
    pub seq: u64,
    /// Its id.
    pub id: OpId,
}

/// A tip that the sender lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// The position of the tip in the frame of news.
    pub tip: u16,
    /// Whether the sender has exactly the author's ops before [`Tip::after`].
    pub before_after: bool,
    /// Otherwise: what it has of this author.
    #[serde(
        deserialize_with = "bounded_seq::deserialize::<_, _, { crate::wire::MAX_WANT_KNOWN }>"
    )]
    pub known: Vec<Known>,
}

/// The answer to a frame of news.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Want {
    /// The session.
    pub channel: u32,
    /// What the sender lacks of the tips in the frame, ascending.
    #[serde(deserialize_with = "bounded_seq::deserialize::<_, _, MAX_WISHES>")]
    pub wishes: Vec<Wish>,
}

/// Authors whose ops the sender does not take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The session.
    pub channel: u32,
    /// The authors, strictly ascending.
    #[serde(deserialize_with = "bounded_seq::deserialize::<_, _, MAX_REFUSED>")]
    pub authors: Vec<PubKey>,
}

/// Ops follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// The session.
    pub channel: u32,
    /// How many; for progress only.
    pub ops: u64,
    /// Their bytes; 0 if unknown.
    pub bytes: u64,
}

/// A place in the sender's order of application, with the token that makes it a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The receiver has all ops of the sender before this one, once it has what was sent.
    pub upto: u64,
    /// The token, unless the place is for information only.
    pub token: Option<Token>,
}

/// The bytes of an op. A type of its own, so that they are read as one piece.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OpBytes(#[serde(with = "serde_bytes")] pub Vec<u8>);

/// Ops, each after its parents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ops {
    /// The session.
    pub channel: u32,
    /// The ops.
    #[serde(deserialize_with = "bounded_seq::deserialize::<_, _, MAX_FRAME_OPS>")]
    pub ops: Vec<OpBytes>,
    /// In a live session: the place after these ops, from time to time.
    pub mark: Option<Mark>,
}

impl Ops {
    /// What the frame counts in [`Ack::bytes`]: 32, and for each op its length and 8.
    pub fn credit(&self) -> u64 {
        let lens = self.ops.iter().map(|op| to_u64(op.0.len()));
        lens.fold(32, |sum: u64, len| {
            sum.saturating_add(len).saturating_add(8)
        })
    }
}

/// All that was asked for has been sent; what is new follows as it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The session.
    pub channel: u32,
    /// The sender's place when it compared.
    pub mark: Mark,
}

/// What is durable at the receiver of ops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The session.
    pub channel: u32,
    /// The sum of [`Ops::credit`] of the frames that the receiver has taken in since the session
    /// began.
    pub bytes: u64,
    /// The token that is now in the receiver's file.
    pub token: Option<Token>,
}

/// A sign of life, and what the sender has when it has nothing more to send or to take in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// The session.
    pub channel: u32,
    /// As in [`Ack`]: what the sender had taken in before it made the summary.
    pub bytes: u64,
    /// What the sender has; absent while it is at work.
    pub summary: Option<Summary>,
}

/// Hashes of the effects of a history in its canonical order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The session.
    pub channel: u32,
    /// The first op of the stretch, by its position in the canonical order.
    pub from: u64,
    /// The end of the stretch.
    pub upto: u64,
    /// The running hash at the end of each of up to 64 equal parts of the stretch.
    #[serde(deserialize_with = "bounded_seq::deserialize::<_, _, PROBE_HASHES>")]
    pub hashes: Vec<[u8; 16]>,
}

/// Why a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum EndReason {
    /// The sender wants no more of it.
    Closing,
    /// The receiver has sent more ops than can wait for others.
    Busy,
    /// The receiver has sent bytes that are no op of the store, or an op with a wrong signature.
    BadOp,
    /// The sender's store failed.
    Failed,
}

/// Ends a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// The session.
    pub channel: u32,
    /// Why.
    pub reason: EndReason,
}

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Farewell {
    /// The sender stops.
    Closing,
    /// There is a second connection between the two, which stays.
    Duplicate,
    /// The two sides are one process.
    Oneself,
    /// There is no major version that both speak.
    Version,
    /// The receiver has broken a rule of the protocol.
    Protocol,
    /// The receiver was silent, or too slow.
    Timeout,
}

mod cid {
    use super::*;

    pub(super) fn serialize<S: Serializer>(cid: &Cid, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes = cid.to_bytes();
        let (head, digest) = bytes.split_at(4);
        let head: [u8; 4] = head.try_into().map_err(serde::ser::Error::custom)?;
        let digest: [u8; 32] = digest.try_into().map_err(serde::ser::Error::custom)?;
        (head, digest).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cid, D::Error> {
        let (head, digest) = <([u8; 4], [u8; 32])>::deserialize(deserializer)?;
        Cid::from_bytes(&[&head[..], &digest[..]].concat()).map_err(serde::de::Error::custom)
    }
}

/// Asks for a part of the code of a session's store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobAsk {
    /// The session whose store the code belongs to.
    pub channel: u32,
    /// The content id.
    #[serde(with = "cid")]
    pub cid: Cid,
    /// The first byte that is wanted.
    pub offset: u64,
}

/// A part of a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobAnswer {
    /// The session.
    pub channel: u32,
    /// The content id.
    #[serde(with = "cid")]
    pub cid: Cid,
    /// The length of the whole blob; `None` if the sender does not have it.
    pub length: Option<u64>,
    /// The offset of the part.
    pub offset: u64,
    /// At most 256 KiB, and not empty before the end.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
}

/// Asks for the record of a store that the sender does not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Find {
    /// Names the question: no other open one of the sender has this number.
    pub number: u32,
    /// A store's id, the first digits of one, at least eight, or a name at the receiver. The limit
    /// of the frame is that of the name, [`MAX_FIND_BYTES`](crate::wire::MAX_FIND_BYTES).
    pub name: String,
}

/// The answer to [`Find`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The number of the question.
    pub number: u32,
    /// The genesis record, and the version of the logic that computed the state, in the form of
    /// `docs/sync-protocol.md`; at most [`MAX_FOUND_BYTES`](crate::wire::MAX_FOUND_BYTES). `None` if
    /// no such store is here, or not for this peer.
    #[serde(with = "serde_bytes")]
    pub record: Option<Vec<u8>>,
}
