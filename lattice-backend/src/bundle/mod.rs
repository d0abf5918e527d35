//! Bundles: a store's history, or a part of it, as one stream that is verified without a store.
//!
//! FORMAT.md specifies the bytes. Counts and digest come last, so that a writer never seeks and the
//! reader can be at the other end of a pipe. Memory does not grow with the bundle: a reader holds
//! one op, and its buffer grows with the bytes that arrive, not with a claimed length.

mod error;
mod read;
mod write;

use std::collections::BTreeMap;

use lattice_meta::{Genesis, PubKey};

use crate::op::{Op, OpError, OpHasher};

pub use error::{BundleError, BundlePart};
pub use read::BundleReader;
pub use write::write_bundle;

/// The first bytes of every bundle; the last one is the format number.
const MAGIC: [u8; 16] = *b"lattice bundle\n\x01";
const CONTEXT: &str = "lattice 2026 bundle v1";
const DIGEST_BYTES: usize = 32;
/// The longest genesis record, with room for additions of later formats.
const MAX_GENESIS_BYTES: u32 = 1024;
/// Stands in place of the next op's length; no op is empty.
const END_MARK: u32 = 0;

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
    /// Number and bytes of all ops.
    pub counts: BundleCounts,
    /// Ops by author, for the first 65,536 authors in the bundle.
    pub authors: BTreeMap<PubKey, u64>,
    /// Ops of all other authors.
    pub other_ops: u64,
}

/// Counts and hashes the ops of a bundle as they pass.
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
    fn new(genesis: &[u8]) -> Self {
        let mut total = Self {
            hasher: blake3::Hasher::new_derive_key(CONTEXT),
            counts: BundleCounts {
                ops: 0,
                op_bytes: 0,
            },
        };
        total.record(genesis);
        total
    }

    fn add(&mut self, op: &[u8]) {
        self.record(op);
        self.counts.ops += 1;
        self.counts.op_bytes += u64::from(length(op));
    }

    fn record(&mut self, bytes: &[u8]) {
        self.hasher.update(&length(bytes).to_le_bytes());
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
    u32::try_from(bytes.len()).expect("genesis records and ops are far shorter than 4 GiB")
}

/// Decodes an op and verifies its signature.
fn checked(bytes: Vec<u8>, hasher: &OpHasher) -> Result<Op, OpError> {
    let op = Op::decode(bytes, hasher)?;
    op.verify()?;
    Ok(op)
}
