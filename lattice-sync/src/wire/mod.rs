//! The bytes between two peers: frames, their limits, and how a stream is cut into them.
//!
//! `docs/sync-protocol.md` is the description of these bytes. Decoding is total: every input is a
//! frame or a [`WireError`], and no length that a peer claims is trusted.

mod body;
mod frame;
mod reader;
mod record;

pub use body::{
    Accept, Ack, Beat, Begin, BlobAnswer, BlobAsk, Cursor, Done, End, EndReason, Farewell, Find,
    Found, Hello, Known, Mark, News, Node, NodeContent, OpBytes, Open, Ops, Probe, Ranges, Refuse,
    RefuseReason, Refused, Round, Summary, Tip, Token, Want, Wish,
};
pub use frame::{Frame, FrameKind, WireError};
pub use reader::FrameReader;
pub use record::StoreRecord;

/// The length of a frame's head: the body's length (`u32`, little endian) and the type.
pub const HEAD_BYTES: usize = 5;
/// The name of this major version of the protocol.
pub const PROTOCOL: [u8; 8] = *b"lattice1";
/// The bit of [`Hello::features`] of a sender that asks and answers [`Find`].
pub const FEATURE_FIND: u64 = 1;
/// Frame types from this one on are skipped by a receiver that does not know them.
pub const FIRST_SKIPPED: u8 = 128;
/// The most tips in a frame of news.
pub const MAX_NEWS_TIPS: usize = 1024;
/// The most wishes in a frame: one for each tip of a frame of news.
pub const MAX_WISHES: usize = MAX_NEWS_TIPS;
/// The most ops that a frame of wishes names in all.
pub const MAX_WANT_KNOWN: usize = 4096;
/// The most authors that a peer can refuse in one session.
pub const MAX_REFUSED: usize = 1024;
/// The most nodes in a frame of ranges.
pub const MAX_NODES: usize = 512;
/// The most short hashes in a node of ranges.
pub const MAX_NODE_SHORTS: usize = 4096;
/// The most ops in a frame.
pub const MAX_FRAME_OPS: usize = 1024;
/// The most bytes of a blob in a frame, and of ops in a frame with more than one op.
pub const PART_BYTES: usize = 256 << 10;
/// The most hashes in a probe.
pub const PROBE_HASHES: usize = 64;
/// The most questions for stores that a side has open on a connection.
pub const MAX_OPEN_FINDS: usize = 16;
/// The most bytes of the name in a question for a store.
pub const MAX_FIND_BYTES: usize = 256;
/// The most bytes of a genesis record in an answer: room for later formats of it.
pub const MAX_FOUND_BYTES: usize = 3 << 10;
