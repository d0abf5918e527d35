//! Bundles: a store's history, or a part of it, as one stream that is verified without a store.
//!
//! FORMAT.md specifies the bytes. Counts and digest come last, so that a writer never seeks and the
//! reader can be at the other end of a pipe. Memory does not grow with the bundle: a reader holds
//! one op, and the code that the bundle carries, if any. Its buffers grow with the bytes that
//! arrive, not with a claimed length.

mod code;
mod error;
mod follows;
mod read;
mod write;

use std::collections::BTreeMap;

use lattice_meta::{Genesis, PubKey};

use crate::op::{Op, OpError, OpHasher};

pub use code::{
    BundleCode, BundleCodeError, Claims, MAX_CLAIMED_FRONTIER, MAX_MODULE_BYTES, MAX_MODULES,
    Module,
};
pub use error::{BundleError, BundlePart};
pub use follows::{Follows, FollowsError, MAX_FOLLOWED, MAX_FOLLOWED_NAME};
pub use read::BundleReader;
pub use write::{write_bundle, write_bundle_after, write_bundle_with_code};

/// The first bytes of every bundle; the format number follows.
const MAGIC: [u8; 15] = *b"lattice bundle\n";
const DIGEST_BYTES: usize = 32;
/// The longest genesis record, with room for additions of later formats.
const MAX_GENESIS_BYTES: u32 = 1024;
/// Stands in place of the next op's length; no op is empty.
const END_MARK: u32 = 0;

/// What a bundle has after its magic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// A genesis record and ops.
    History,
    /// Claims and modules, then the same.
    Code,
    /// What it follows, then the same.
    After,
}

impl Format {
    const fn number(self) -> u8 {
        match self {
            Self::History => 1,
            Self::Code => 2,
            Self::After => 3,
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::History),
            2 => Some(Self::Code),
            3 => Some(Self::After),
            _ => None,
        }
    }

    /// BLAKE3 key derivation context of the digest.
    const fn context(self) -> &'static str {
        match self {
            Self::History => "lattice 2026 bundle v1",
            Self::Code => "lattice 2026 bundle v2",
            Self::After => "lattice 2026 bundle v3",
        }
    }
}

/// The size of a bundle; known once it has been written, or read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BundleCounts {
    /// Number of ops.
    pub ops: u64,
    /// Bytes of all ops.
    pub op_bytes: u64,
}

/// The contents of a bundle; known once it has been verified to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleSummary {
    /// The store's genesis record.
    pub genesis: Genesis,
    /// The code that it carries, and what its sender claims.
    pub code: Option<BundleCode>,
    /// What it follows, if it is of a chain of backups.
    pub follows: Option<Follows>,
    /// Number and bytes of all ops.
    pub counts: BundleCounts,
    /// Ops by author, for the first 65,536 authors in the bundle.
    pub authors: BTreeMap<PubKey, u64>,
    /// Ops of all other authors.
    pub other_ops: u64,
}

/// Counts the ops of a bundle, and hashes its parts, as they pass.
struct Total {
    hasher: blake3::Hasher,
    counts: BundleCounts,
}

impl std::fmt::Debug for Total {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Total")
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

impl Total {
    fn new(format: Format) -> Self {
        Self {
            hasher: blake3::Hasher::new_derive_key(format.context()),
            counts: BundleCounts {
                ops: 0,
                op_bytes: 0,
            },
        }
    }

    fn add(&mut self, op: &[u8]) {
        self.record(op);
        self.counts.ops += 1;
        self.counts.op_bytes += u64::from(length(op));
    }

    /// Hashes a part that follows its length.
    fn record(&mut self, bytes: &[u8]) {
        self.fixed(&length(bytes).to_le_bytes());
        self.fixed(bytes);
    }

    /// Hashes a part of fixed length.
    fn fixed(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    fn digest(&self) -> [u8; DIGEST_BYTES] {
        let mut hasher = self.hasher.clone();
        hasher.update(&self.counts.ops.to_le_bytes());
        hasher.update(&self.counts.op_bytes.to_le_bytes());
        *hasher.finalize().as_bytes()
    }
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("all parts of a bundle are far shorter than 4 GiB")
}

/// Decodes an op and verifies its signature.
fn checked(bytes: Vec<u8>, hasher: &OpHasher) -> Result<Op, OpError> {
    let op = Op::decode(bytes, hasher)?;
    op.verify()?;
    Ok(op)
}
