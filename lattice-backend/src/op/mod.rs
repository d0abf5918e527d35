//! Ops: the signed entries of an author's hash chain.
//!
//! An op is `body || signature`. Its id is a hash of the body under the store's genesis, so no op
//! can be replayed into another store or reinterpreted under another type; the signature is over
//! the id and is not part of it.

mod apply_index;
mod body;
mod key;
mod replica;

pub use apply_index::ApplyIndex;
pub use body::{Op, OpDraft, OpError, OpHasher, OpKind, OpView};
#[cfg(feature = "std")]
pub(crate) use key::Verifier;
pub use key::{SecretKey, SignatureError};
pub use replica::{Has, Lack, Lacking, OpOrder, OpsEnd, ReplicaView};

use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;

use lattice_meta::{Hlc, OpId, PubKey};
use serde::{Deserialize, Serialize};

/// The longest op, in bytes, signature included.
pub const MAX_OP_BYTES: usize = 16 << 20;
/// The most ops that one op may name as deps.
pub const MAX_DEPS: usize = 1024;
/// The longest payload of an op made here, in bytes: the rest of [`MAX_OP_BYTES`] beside the most
/// deps that an op may have.
pub const MAX_PAYLOAD_BYTES: usize = MAX_OP_BYTES - MAX_DEPS * OpRef::KEY_LEN - 256;

/// Identifies one op: author, position in the author's chain, and id.
///
/// The order is that of the fields, which is also the order of [`OpRef::to_key`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OpRef {
    /// The author.
    pub author: PubKey,
    /// The position in the author's chain, from 0.
    pub seq: u64,
    /// The op's id.
    pub id: OpId,
}

/// An op and its author's hybrid clock when the op was made. Stamps order by time, then by id, so
/// no two ops have equal stamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// Its author's hybrid clock when it was made.
    pub hlc: Hlc,
    /// The op.
    pub op: OpRef,
}

impl Stamp {
    /// The order of stamps: time, then id.
    pub fn rank(&self) -> (Hlc, OpId) {
        (self.hlc, self.op.id)
    }
}

impl OpRef {
    /// Length of [`Self::to_key`], in bytes.
    pub const KEY_LEN: usize = 72;

    /// The reference as a key: author, sequence number (big endian), id. Keys sort like references.
    pub fn to_key(&self) -> [u8; Self::KEY_LEN] {
        let mut key = [0; Self::KEY_LEN];
        key[..32].copy_from_slice(self.author.as_bytes());
        key[32..40].copy_from_slice(&self.seq.to_be_bytes());
        key[40..].copy_from_slice(self.id.as_bytes());
        key
    }

    /// Decodes a key that [`Self::to_key`] made; `None` for any other length.
    pub fn from_key(key: &[u8]) -> Option<Self> {
        let (author, rest) = key.split_first_chunk::<32>()?;
        let (seq, id) = rest.split_first_chunk::<8>()?;
        Some(Self {
            author: PubKey::from_bytes(*author),
            seq: u64::from_be_bytes(*seq),
            id: OpId::from_slice(id)?,
        })
    }
}

// Written out for modules: in each place of use, the compiler would expand the comparisons of ids
// to words with swapped bytes.
impl Ord for OpRef {
    fn cmp(&self, other: &Self) -> Ordering {
        // For a module, the comparison of the fields would be code of 1.5 KB.
        if cfg!(target_arch = "wasm32") {
            return self.to_key().cmp(&other.to_key());
        }
        let by_author = self.author.cmp(&other.author);
        let by_seq = || self.seq.cmp(&other.seq);
        by_author
            .then_with(by_seq)
            .then_with(|| self.id.cmp(&other.id))
    }
}

impl PartialOrd for OpRef {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for OpRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpRef({self})")
    }
}

/// The first eight digits of the author, the sequence number, the first eight digits of the id.
impl fmt::Display for OpRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.8}#{}/{:.8}", self.author, self.seq, self.id)
    }
}

/// Whether references are in strictly ascending order.
pub(crate) fn strictly_ascending(refs: &[OpRef]) -> bool {
    refs.is_sorted_by(|a, b| a < b)
}

/// Tells a peer what a replica has: these ops and all their ancestors.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchTips {
    /// The end of every branch of every author, ascending.
    pub tips: Vec<OpRef>,
    /// Older ops of the branches of the 1,000 authors whose ops were applied last: 1, 2, 4, ...
    /// positions before the end, ascending. A sender that does not know a tip can find one of
    /// these.
    pub earlier: Vec<OpRef>,
}

impl BranchTips {
    /// All ops named here.
    pub fn iter(&self) -> impl Iterator<Item = &OpRef> {
        self.tips.iter().chain(&self.earlier)
    }
}

impl From<Vec<OpRef>> for BranchTips {
    /// Branch tips only.
    fn from(tips: Vec<OpRef>) -> Self {
        let earlier = Vec::new();
        Self { tips, earlier }
    }
}
