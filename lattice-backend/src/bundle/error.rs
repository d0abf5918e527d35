//! Why a bundle is refused.

use std::fmt;
use std::io;

use lattice_meta::GenesisError;

use crate::backend::BackendError;
use crate::bundle::{BundleCodeError, FollowsError};
use crate::op::OpError;

/// Why a bundle cannot be written or is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// Its input reported an error.
    #[error("cannot read the bundle")]
    Read(#[source] io::Error),
    /// Its output reported an error.
    #[error("cannot write the bundle")]
    Write(#[source] io::Error),
    /// The store's ops cannot be read.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The input is empty: the program that makes the bundle failed before it wrote a byte.
    #[error("expected a bundle, found no bytes")]
    Empty,
    /// It starts with other bytes than a bundle.
    #[error("expected a bundle, found data that starts with \"{found}\"")]
    NotABundle {
        /// What it starts with.
        found: String,
    },
    /// Its format is unknown.
    #[error(
        "expected a bundle of format 1 to 3, found format {found}; a newer program may read it"
    )]
    Format {
        /// Its format.
        found: u8,
    },
    /// Its genesis record does not decode.
    #[error("the bundle's genesis record is damaged")]
    Genesis(#[from] GenesisError),
    /// A part of the code that it carries is invalid.
    #[error("the bundle is damaged: {part} is invalid")]
    Code {
        /// The invalid part.
        part: BundlePart,
        /// What is wrong with it.
        #[source]
        source: BundleCodeError,
    },
    /// The part that says what it follows is invalid.
    #[error("the bundle is damaged: {} is invalid", BundlePart::Follows)]
    Follows(#[from] FollowsError),
    /// It ends early.
    #[error("the bundle is truncated: {part} is incomplete")]
    Cut {
        /// What is incomplete.
        part: BundlePart,
    },
    /// One of its lengths exceeds the limit.
    #[error("the bundle is damaged: expected at most {limit} bytes for {part}, found {found}")]
    Length {
        /// What has the length.
        part: BundlePart,
        /// The claimed length, in bytes.
        found: u32,
        /// The limit, in bytes.
        limit: u32,
    },
    /// The number of ops differs from the count at the end.
    #[error("the bundle is damaged: expected {claimed} ops, found {found}")]
    OpCount {
        /// The count at the end.
        claimed: u64,
        /// How many ops were read.
        found: u64,
    },
    /// The bytes of all ops differ from the count at the end.
    #[error("the bundle is damaged: expected {claimed} bytes of ops, found {found}")]
    ByteCount {
        /// The count at the end.
        claimed: u64,
        /// How many bytes of ops were read.
        found: u64,
    },
    /// The digest differs: the bytes are not the ones that were written.
    #[error("the bundle is damaged: its digest differs")]
    Digest,
    /// Bytes follow the digest.
    #[error("the bundle is damaged: data follows its end")]
    Trailing,
    /// The store holds an invalid op, so every reader would refuse the bundle.
    #[error("the store's history is damaged: op {index} of the bundle to write is not a valid op")]
    BadOp {
        /// Its index among the ops to write, from 0.
        index: u64,
        /// What is wrong with it.
        #[source]
        source: OpError,
    },
    /// It holds an invalid op.
    #[error("op {index} is not a valid op")]
    Op {
        /// Its index, from 0.
        index: u64,
        /// What is wrong with it.
        #[source]
        source: OpError,
    },
    /// An earlier call refused the bundle and reported why.
    #[error("an earlier read refused the bundle")]
    Refused,
}

/// A part of a bundle. The variants are in the order of the parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BundlePart {
    /// What every bundle starts with.
    Magic,
    /// The sender's claims, with their length.
    Claims,
    /// The number of modules.
    ModuleCount,
    /// A module, with its content id and its length.
    Module {
        /// Its index, from 0.
        index: usize,
    },
    /// What the bundle follows, with its length.
    Follows,
    /// The genesis record, with its length.
    Genesis,
    /// The length of an op, or the end mark.
    Next {
        /// The op's index, from 0.
        index: u64,
    },
    /// An op.
    Op {
        /// Its index, from 0.
        index: u64,
    },
    /// The counts of ops and bytes.
    Counts,
    /// The digest.
    Digest,
}

impl fmt::Display for BundlePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => f.write_str("the magic"),
            Self::Claims => f.write_str("the claims record"),
            Self::ModuleCount => f.write_str("the number of modules"),
            Self::Module { index } => write!(f, "module {index}"),
            Self::Follows => f.write_str("the record of what it follows"),
            Self::Genesis => f.write_str("the genesis record"),
            Self::Next { index } => write!(f, "the length of op {index} or the end mark"),
            Self::Op { index } => write!(f, "op {index}"),
            Self::Counts => f.write_str("the count of ops or bytes"),
            Self::Digest => f.write_str("the digest"),
        }
    }
}
