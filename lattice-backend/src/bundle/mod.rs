//! Bundles: a store's history, or a part of it, as one stream that is verified without a store.
//!
//! FORMAT.md has the bytes. Counts and digest come last, so a writer never seeks and a reader can be
//! at the other end of a pipe. Memory does not grow with a bundle: a reader holds one op, and its buffer
//! grows with the bytes that arrive, not with what a length claims.

mod error;
mod read;
mod write;

use std::collections::BTreeMap;

use lattice_meta::{Genesis, PubKey};

use crate::op::{Op, OpError, OpHasher};

pub use error::{BundleError, BundlePart};
pub use read::BundleReader;
pub use write::write_bundle;

/// The first bytes of every bundle; the last one is the number of the format.
const MAGIC: [u8; 16] = *b"lattice bundle\n\x01";
const CONTEXT: &str = "lattice 2026 bundle v1";
const DIGEST_BYTES: usize = 32;
/// The longest genesis record, with room for what later formats add.
const MAX_GENESIS_BYTES: u32 = 1024;
/// It stands where the length of the next op would; no op is empty.
const END_MARK: u32 = 0;

/// How much a bundle holds; known once it has been written, or read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BundleCounts {
    /// How many ops.
    pub ops: u64,
    /// Bytes of all ops.
    pub op_bytes: u64,
}

/// What a bundle holds; known once it has been verified to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleSummary {
    /// The record that the store began with.
    pub genesis: Genesis,
    /// How many ops, and their bytes.
    pub counts: BundleCounts,
    /// Ops of each author, of the first 65,536 authors that come.
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

/// An op with a valid form and signature.
fn checked(bytes: Vec<u8>, hasher: &OpHasher) -> Result<Op, OpError> {
    let op = Op::decode(bytes, hasher)?;
    op.verify()?;
    Ok(op)
}
