//! Why a bundle is refused.

use std::fmt;
use std::io;

use lattice_meta::GenesisError;

use crate::backend::BackendError;
use crate::bundle::MAGIC;
use crate::op::OpError;

/// Why a bundle cannot be written, or is refused.
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
    /// The input has no bytes: what makes bundles failed before it wrote one.
    #[error("expected a bundle, found no bytes")]
    Empty,
    /// It starts with something else.
    #[error("expected a bundle, found something that starts with \"{found}\"")]
    NotABundle {
        /// What it starts with.
        found: String,
    },
    /// Its format is not known.
    #[error("expected a bundle of format {}, found format {found}; a newer program may take it", MAGIC[15])]
    Format {
        /// Its format.
        found: u8,
    },
    /// Its genesis record does not decode.
    #[error("the bundle's genesis record is damaged")]
    Genesis(#[from] GenesisError),
    /// It ends too early.
    #[error("the bundle is cut: {part} is incomplete")]
    Cut {
        /// What is incomplete.
        part: BundlePart,
    },
    /// A length in it is over its limit.
    #[error("the bundle is damaged: {part} claims {found} bytes, and at most {limit} are allowed")]
    Length {
        /// What has the length.
        part: BundlePart,
        /// The length that it claims, in bytes.
        found: u32,
        /// The greatest length, in bytes.
        limit: u32,
    },
    /// The number of ops differs from the one at its end.
    #[error("the bundle is damaged: it claims to hold {claimed} ops, and holds {found}")]
    OpCount {
        /// The number at its end.
        claimed: u64,
        /// How many ops were read.
        found: u64,
    },
    /// The bytes of all ops differ from the number at its end.
    #[error("the bundle is damaged: it claims to hold {claimed} bytes of ops, and holds {found}")]
    ByteCount {
        /// The number at its end.
        claimed: u64,
        /// How many bytes of ops were read.
        found: u64,
    },
    /// Its bytes are not those that were written.
    #[error("the bundle is altered: its digest differs")]
    Digest,
    /// Bytes follow the digest.
    #[error("data follows the end of the bundle")]
    Trailing,
    /// The store holds an invalid op, and every reader would refuse the bundle.
    #[error("the store's history is damaged: op {index} of those to be written is not a valid op")]
    BadOp {
        /// Which one of those to be written, from 0.
        index: u64,
        /// What is wrong with it.
        #[source]
        source: OpError,
    },
    /// It holds an invalid op.
    #[error("op {index} is not a valid op")]
    Op {
        /// Which one, from 0.
        index: u64,
        /// What is wrong with it.
        #[source]
        source: OpError,
    },
    /// An earlier call reported why the bundle is refused.
    #[error("the bundle was refused before this read")]
    Refused,
}

/// A part of a bundle, in the order in which the parts come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BundlePart {
    /// What every bundle starts with.
    Magic,
    /// The genesis record, with its length.
    Genesis,
    /// The length of an op, or the mark that no op follows.
    Next {
        /// The op's index, from 0.
        index: u64,
    },
    /// An op.
    Op {
        /// Its index, from 0.
        index: u64,
    },
    /// The numbers of ops and bytes.
    Counts,
    /// The digest.
    Digest,
}

impl fmt::Display for BundlePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => f.write_str("the magic"),
            Self::Genesis => f.write_str("the genesis record"),
            Self::Next { index } => write!(f, "the length of op {index} or the end mark"),
            Self::Op { index } => write!(f, "op {index}"),
            Self::Counts => f.write_str("the count of ops or bytes"),
            Self::Digest => f.write_str("the digest"),
        }
    }
}
