//! Frames: a type and a body.

use lattice_backend::op::MAX_OP_BYTES;
use lattice_meta::codec::{self, CodecError};

use crate::wire::body::{
    Accept, Ack, Beat, Begin, BlobAnswer, BlobAsk, Done, End, Farewell, Find, Found, Hello, News,
    Open, Ops, Probe, Ranges, Refuse, Refused, Round, Want,
};
use crate::wire::{HEAD_BYTES, MAX_FIND_BYTES, MAX_FOUND_BYTES, PART_BYTES};

/// The limit of a small frame, in bytes.
const SMALL: usize = 4 << 10;
/// The limit of a frame with tips, ranges or wishes.
const MIDDLE: usize = 256 << 10;
/// The limit of a frame with several ops: each has a length beside it.
const SEVERAL_OPS: usize = PART_BYTES + (16 << 10);
/// The limit of a frame with ops: one op of any length.
const ONE_OP: usize = MAX_OP_BYTES + 128;

/// The limit of a question for a store: number, length and name.
const FIND: usize = 4 + 8 + MAX_FIND_BYTES;
/// The limit of its answer: number, option, length and record.
const FOUND: usize = 4 + 1 + 8 + MAX_FOUND_BYTES;

/// Why bytes are no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// A frame of a type below 128 that this version does not know.
    #[error("frame type {found} is unknown, and types below 128 cannot be skipped")]
    UnknownType {
        /// The type found.
        found: u8,
    },
    /// A frame that is longer than its type allows.
    #[error("a frame of type {kind:?} has at most {limit} bytes, found {found}")]
    TooLong {
        /// The type.
        kind: FrameKind,
        /// The limit in bytes.
        limit: usize,
        /// The length claimed.
        found: usize,
    },
    /// A skipped frame that is longer than any frame.
    #[error("a frame of the unknown type {kind} has {found} bytes, more than any frame")]
    SkipTooLong {
        /// The type.
        kind: u8,
        /// The length claimed.
        found: usize,
    },
    /// A body that does not decode.
    #[error("a frame of type {kind:?} has a malformed body")]
    Body {
        /// The type.
        kind: FrameKind,
        /// The reason.
        source: CodecError,
    },
    /// More than one op in a frame that is longer than such frames may be.
    #[error("a frame with {ops} ops has {found} bytes, more than {PART_BYTES} beside its head")]
    ManyOps {
        /// The number of ops.
        ops: usize,
        /// The length of the body.
        found: usize,
    },
}

/// The type of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FrameKind {
    /// Who is there.
    Hello,
    /// Ends the connection.
    Bye,
    /// Proposes a session.
    Open,
    /// Accepts it.
    Accept,
    /// Declines it.
    Refuse,
    /// Ends it.
    End,
    /// Begins another comparison.
    Round,
    /// Branch tips.
    News,
    /// A part of the comparison of large sets.
    Ranges,
    /// What the sender lacks.
    Want,
    /// Authors whose ops the sender does not take.
    Refused,
    /// Ops follow.
    Begin,
    /// Ops.
    Ops,
    /// All was sent.
    Done,
    /// What is durable.
    Ack,
    /// A sign of life.
    Beat,
    /// Hashes of effects.
    Probe,
    /// Asks for a part of a blob.
    BlobAsk,
    /// A part of a blob.
    BlobPart,
    /// Asks for a store by a name.
    Find,
    /// The store's genesis record.
    Found,
}

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Who is there.
    Hello(Hello),
    /// Ends the connection.
    Bye(Farewell),
    /// Proposes a session.
    Open(Open),
    /// Accepts it.
    Accept(Accept),
    /// Declines it.
    Refuse(Refuse),
    /// Ends it.
    End(End),
    /// Begins another comparison.
    Round(Round),
    /// Branch tips.
    News(News),
    /// A part of the comparison of large sets.
    Ranges(Ranges),
    /// What the sender lacks.
    Want(Want),
    /// Authors whose ops the sender does not take.
    Refused(Refused),
    /// Ops follow.
    Begin(Begin),
    /// Ops.
    Ops(Ops),
    /// All was sent.
    Done(Done),
    /// What is durable.
    Ack(Ack),
    /// A sign of life.
    Beat(Beat),
    /// Hashes of effects.
    Probe(Probe),
    /// Asks for a part of a blob.
    BlobAsk(BlobAsk),
    /// A part of a blob.
    BlobPart(BlobAnswer),
    /// Asks for a store by a name.
    Find(Find),
    /// The store's genesis record.
    Found(Found),
}

/// The numbers of the types on the wire, and the most bytes of their bodies.
macro_rules! frames {
    ($($name:ident = $number:literal, $limit:expr;)*) => {
        impl FrameKind {
            /// All types.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The number on the wire.
            pub const fn number(self) -> u8 {
                match self {
                    $(Self::$name => $number,)*
                }
            }

            /// The type with this number.
            pub const fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The most bytes of a body.
            pub const fn limit(self) -> usize {
                match self {
                    $(Self::$name => $limit,)*
                }
            }
        }

        impl Frame {
            /// The type.
            pub const fn kind(&self) -> FrameKind {
                match self {
                    $(Self::$name(_) => FrameKind::$name,)*
                }
            }

            fn encode_body(&self) -> Result<Vec<u8>, CodecError> {
                match self {
                    $(Self::$name(body) => codec::encode(body),)*
                }
            }

            fn decode_body(kind: FrameKind, body: &[u8]) -> Result<Self, CodecError> {
                match kind {
                    $(FrameKind::$name => codec::decode(body, $limit).map(Self::$name),)*
                }
            }
        }
    };
}

frames! {
    Hello = 1, SMALL;
    Bye = 2, SMALL;
    Open = 3, SMALL;
    Accept = 4, SMALL;
    Refuse = 5, SMALL;
    End = 6, SMALL;
    Round = 7, SMALL;
    News = 8, MIDDLE;
    Ranges = 9, MIDDLE;
    Want = 10, MIDDLE;
    Refused = 11, MIDDLE;
    Begin = 12, SMALL;
    Ops = 13, ONE_OP;
    Done = 14, SMALL;
    Ack = 15, SMALL;
    Beat = 16, SMALL;
    Probe = 17, SMALL;
    BlobAsk = 18, SMALL;
    BlobPart = 19, PART_BYTES + SMALL;
    Find = 128, FIND;
    Found = 129, FOUND;
}

impl Frame {
    /// Decodes the body of a frame.
    ///
    /// # Errors
    /// [`WireError::TooLong`], [`WireError::Body`] and [`WireError::ManyOps`].
    pub fn decode(kind: FrameKind, body: &[u8]) -> Result<Self, WireError> {
        let (limit, found) = (kind.limit(), body.len());
        if found > limit {
            return Err(WireError::TooLong { kind, limit, found });
        }
        let frame = Self::decode_body(kind, body);
        let frame = frame.map_err(|source| WireError::Body { kind, source })?;
        match &frame {
            Self::Ops(ops) if ops.ops.len() > 1 && found > SEVERAL_OPS => {
                let ops = ops.ops.len();
                Err(WireError::ManyOps { ops, found })
            }
            _ => Ok(frame),
        }
    }

    /// Encodes the frame with its head.
    pub fn encode(&self) -> Vec<u8> {
        let body = self
            .encode_body()
            .expect("bodies are of the codec's data model");
        let len = u32::try_from(body.len()).expect("the limits of frames are below 4 GiB");
        let mut bytes = Vec::with_capacity(HEAD_BYTES + body.len());
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.push(self.kind().number());
        bytes.extend_from_slice(&body);
        bytes
    }

    /// The session that the frame belongs to; `None` for frames about the connection.
    pub const fn channel(&self) -> Option<u32> {
        Some(match self {
            Self::Hello(_) | Self::Bye(_) | Self::Find(_) | Self::Found(_) => return None,
            Self::Open(body) => body.channel,
            Self::Accept(body) => body.channel,
            Self::Refuse(body) => body.channel,
            Self::End(body) => body.channel,
            Self::Round(body) => body.channel,
            Self::News(body) => body.channel,
            Self::Ranges(body) => body.channel,
            Self::Want(body) => body.channel,
            Self::Refused(body) => body.channel,
            Self::Begin(body) => body.channel,
            Self::Ops(body) => body.channel,
            Self::Done(body) => body.channel,
            Self::Ack(body) => body.channel,
            Self::Beat(body) => body.channel,
            Self::Probe(body) => body.channel,
            Self::BlobAsk(body) => body.channel,
            Self::BlobPart(body) => body.channel,
        })
    }
}
