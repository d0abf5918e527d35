//! The encoding of ops.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use lattice_meta::codec::{self, CodecError};
use lattice_meta::{GenesisHash, Hlc, OpId, PubKey, StoreId};
use serde::{Deserialize, Serialize};

use crate::op::{
    ApplyIndex, MAX_DEPS, MAX_OP_BYTES, OpRef, SecretKey, SignatureError, Stamp, key,
    strictly_ascending,
};

/// The only format of an op so far.
const FORMAT: u8 = 1;
/// BLAKE3 key derivation context of op ids.
const CONTEXT: &str = "lattice 2026 op v1";
const SIGNATURE_LEN: usize = 64;
/// Bytes of a body before its deps: format, kind, store id, author, seq, prev, hlc.
const FIXED_LEN: usize = 1 + 1 + 16 + 32 + 8 + 32 + 8;
/// The offset of `hlc` in a body.
#[cfg(feature = "std")]
const HLC_OFFSET: usize = FIXED_LEN - 8;
#[cfg(feature = "std")]
const AUTHOR_OFFSET: usize = 1 + 1 + 16;
#[cfg(feature = "std")]
const SEQ_OFFSET: usize = AUTHOR_OFFSET + 32;

/// The purpose of an op.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OpKind {
    /// Carries a payload for the store's state machine.
    Application,
    /// Joins ops of the frontier; carries no payload and has no effect.
    Merge,
}

impl OpKind {
    const fn code(self) -> u8 {
        match self {
            Self::Application => 0,
            Self::Merge => 1,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Application),
            1 => Some(Self::Merge),
            _ => None,
        }
    }
}

/// Why bytes are not a valid op of a store. Such bytes are not recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpError {
    /// Longer than any op.
    #[error("an op has at most {MAX_OP_BYTES} bytes, found {found}")]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// Shorter than any op.
    #[error("an op has at least {expected} bytes, found {found}")]
    TooShort {
        /// Bytes of the shortest op.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
    /// A format that this version does not know.
    #[error("expected op format {FORMAT}, found {found}: a newer program wrote it")]
    UnknownFormat {
        /// The format number found.
        found: u8,
    },
    /// A kind that this version does not know.
    #[error("expected an op of kind 0 or 1, found {found}: a newer program wrote it")]
    UnknownKind {
        /// The kind number found.
        found: u8,
    },
    /// The body is malformed.
    #[error("the op's body is malformed")]
    Body(#[from] CodecError),
    /// An op of another store.
    #[error("the op belongs to store {found}, not to {expected}")]
    OtherStore {
        /// The receiving store.
        expected: StoreId,
        /// The store named in it.
        found: StoreId,
    },
    /// Deps that are not in strictly ascending order.
    #[error("the op's deps are not in strictly ascending order")]
    DepsOrder,
    /// The deps name the author's previous op too.
    #[error("the op's deps name its prev again")]
    DepIsPrev,
    /// A first op that has a predecessor, or a later op without one.
    #[error("op {seq} of its author names {} as prev", if *zero_prev { "none" } else { "one" })]
    PrevAgainstSeq {
        /// The op's sequence number.
        seq: u64,
        /// Whether its prev is all zeroes.
        zero_prev: bool,
    },
    /// A merge with a payload.
    #[error("a merge carries no payload, found {found} bytes")]
    MergePayload {
        /// Bytes of payload.
        found: usize,
    },
    /// The signature is invalid.
    #[error("the op's signature is not valid")]
    Signature(#[from] SignatureError),
}

/// Computes op ids of one store. The derivation context and the genesis are hashed only once.
#[derive(Clone)]
pub struct OpHasher {
    base: blake3::Hasher,
    store_id: StoreId,
}

impl OpHasher {
    /// A hasher for the store with this genesis.
    pub fn new(genesis: &GenesisHash) -> Self {
        let mut base = blake3::Hasher::new_derive_key(CONTEXT);
        base.update(genesis.as_bytes());
        Self {
            base,
            store_id: StoreId::certifying(genesis),
        }
    }

    /// The id of the store.
    pub fn store_id(&self) -> StoreId {
        self.store_id
    }

    fn id(&self, body: &[u8]) -> OpId {
        OpId::from_bytes(*self.base.clone().update(body).finalize().as_bytes())
    }
}

impl fmt::Debug for OpHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpHasher(of {})", self.store_id)
    }
}

/// The encoded form of an op's body.
#[derive(Serialize, Deserialize)]
struct Body<'a> {
    format: u8,
    kind: u8,
    store_id: StoreId,
    author: PubKey,
    seq: u64,
    prev: OpId,
    hlc: Hlc,
    #[serde(deserialize_with = "codec::bounded_seq::deserialize::<_, _, MAX_DEPS>")]
    deps: Vec<OpRef>,
    #[serde(borrow)]
    payload: &'a serde_bytes::Bytes,
}

/// The fields that an author chooses for an op; the others follow from them.
#[derive(Debug, Clone)]
pub struct OpDraft<'a> {
    /// The purpose of the op.
    pub kind: OpKind,
    /// The position in the author's chain.
    pub seq: u64,
    /// The author's previous op, or [`OpId::ZERO`].
    pub prev: OpId,
    /// Its timestamp.
    pub hlc: Hlc,
    /// Other ops that it follows, strictly ascending.
    pub deps: Vec<OpRef>,
    /// The state machine's payload.
    pub payload: &'a [u8],
}

impl OpDraft<'_> {
    /// Encodes and signs the op.
    ///
    /// # Errors
    /// The same rules that [`Op::decode`] checks.
    pub fn sign(self, hasher: &OpHasher, secret: &SecretKey) -> Result<Op, OpError> {
        let mut op = self.compose(hasher, secret.public())?;
        op.set_signature(&secret.sign(&op.reference().id));
        Ok(op)
    }

    /// Encodes the op, with zeroes in place of the signature.
    pub(crate) fn compose(self, hasher: &OpHasher, author: PubKey) -> Result<Op, OpError> {
        let body = Body {
            format: FORMAT,
            kind: self.kind.code(),
            store_id: hasher.store_id,
            author,
            seq: self.seq,
            prev: self.prev,
            hlc: self.hlc,
            deps: self.deps,
            payload: serde_bytes::Bytes::new(self.payload),
        };
        let mut bytes = codec::encode(&body)?;
        let id = hasher.id(&bytes);
        // Reserve exactly: growth by doubling would double the memory of a long op for its last
        // bytes.
        bytes.reserve_exact(SIGNATURE_LEN);
        bytes.extend_from_slice(&[0; SIGNATURE_LEN]);
        if bytes.len() > MAX_OP_BYTES || body.deps.len() > MAX_DEPS {
            // `decode` returns the error that names the exceeded limit.
            return Op::decode(bytes, hasher);
        }
        check(&body, self.kind, hasher.store_id)?;
        Ok(Op(Arc::new(Parts {
            kind: self.kind,
            reference: OpRef {
                author,
                seq: self.seq,
                id,
            },
            prev: self.prev,
            hlc: self.hlc,
            deps: body.deps,
            payload_len: self.payload.len(),
            bytes,
        })))
    }
}

/// A well-formed op: it meets every rule that depends only on its bytes and its store's genesis.
/// [`Op::verify`] checks the signature. Clones share the bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Op(Arc<Parts>);

#[derive(Clone, PartialEq, Eq)]
struct Parts {
    bytes: Vec<u8>,
    kind: OpKind,
    reference: OpRef,
    prev: OpId,
    hlc: Hlc,
    deps: Vec<OpRef>,
    payload_len: usize,
}

impl Op {
    /// Decodes an op of the store that `hasher` belongs to.
    ///
    /// # Errors
    /// See [`OpError`]. Limits, format and kind are checked before anything is allocated.
    pub fn decode(bytes: Vec<u8>, hasher: &OpHasher) -> Result<Self, OpError> {
        let expected = FIXED_LEN + 8 + 8 + SIGNATURE_LEN;
        if bytes.len() > MAX_OP_BYTES {
            return Err(OpError::TooLong { found: bytes.len() });
        }
        if let Some(&found) = bytes.first().filter(|&&format| format != FORMAT) {
            return Err(OpError::UnknownFormat { found });
        }
        if bytes.len() < expected {
            return Err(OpError::TooShort {
                expected,
                found: bytes.len(),
            });
        }
        let kind = OpKind::from_code(bytes[1]).ok_or(OpError::UnknownKind { found: bytes[1] })?;
        let encoded = &bytes[..bytes.len() - SIGNATURE_LEN];
        let body: Body<'_> = codec::decode(encoded, MAX_OP_BYTES)?;
        check(&body, kind, hasher.store_id)?;
        let reference = OpRef {
            author: body.author,
            seq: body.seq,
            id: hasher.id(encoded),
        };
        let Body {
            prev,
            hlc,
            deps,
            payload,
            ..
        } = body;
        let payload_len = payload.len();
        Ok(Self(Arc::new(Parts {
            kind,
            reference,
            prev,
            hlc,
            deps,
            payload_len,
            bytes,
        })))
    }

    /// Verifies the signature by ed25519's strict rules.
    ///
    /// # Errors
    /// [`SignatureError`], which names the author.
    pub fn verify(&self) -> Result<(), SignatureError> {
        key::verify(
            &self.0.reference.author,
            &self.0.reference.id,
            self.signature(),
        )
    }

    /// Verifies the signature with a [`Verifier`](key::Verifier), for callers that verify many.
    #[cfg(feature = "std")]
    pub(crate) fn verify_by(&self, verifier: &mut key::Verifier) -> Result<(), SignatureError> {
        verifier.verify(
            &self.0.reference.author,
            &self.0.reference.id,
            self.signature(),
        )
    }

    /// Sets the author's signature.
    pub(crate) fn set_signature(&mut self, signature: &[u8; SIGNATURE_LEN]) {
        let bytes = &mut Arc::make_mut(&mut self.0).bytes;
        let body_len = bytes.len() - SIGNATURE_LEN;
        bytes[body_len..].copy_from_slice(signature);
    }

    fn signature(&self) -> &[u8; 64] {
        self.0
            .bytes
            .last_chunk()
            .expect("decode has checked the length")
    }

    /// The op's bytes, as stores and peers hold them.
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// Returns the op's bytes; copies them if the op has clones.
    pub fn into_bytes(self) -> Vec<u8> {
        Arc::unwrap_or_clone(self.0).bytes
    }

    /// Author, sequence number and id.
    pub fn reference(&self) -> OpRef {
        self.0.reference
    }

    /// The purpose of the op.
    pub fn kind(&self) -> OpKind {
        self.0.kind
    }

    /// Its author's hybrid clock when it was made.
    pub fn hlc(&self) -> Hlc {
        self.0.hlc
    }

    /// Other ops that it follows, strictly ascending.
    pub fn deps(&self) -> &[OpRef] {
        &self.0.deps
    }

    /// The author's previous op; `None` for the first one.
    pub fn prev(&self) -> Option<OpRef> {
        let seq = self.0.reference.seq.checked_sub(1)?;
        Some(OpRef {
            author: self.0.reference.author,
            seq,
            id: self.0.prev,
        })
    }

    /// The ops that it names: its `prev`, if any, and its deps.
    pub fn parents(&self) -> impl Iterator<Item = OpRef> + '_ {
        self.prev().into_iter().chain(self.0.deps.iter().copied())
    }

    /// The state machine's payload.
    pub fn payload(&self) -> &[u8] {
        let end = self.0.bytes.len() - SIGNATURE_LEN;
        &self.0.bytes[end - self.0.payload_len..end]
    }

    /// The op's reference and timestamp.
    pub fn stamp(&self) -> Stamp {
        Stamp {
            hlc: self.0.hlc,
            op: self.0.reference,
        }
    }

    /// The view that a state machine gets of it at this apply index.
    pub fn view(&self, index: ApplyIndex) -> OpView<'_> {
        OpView {
            index,
            reference: self.0.reference,
            hlc: self.0.hlc,
            payload: self.payload(),
        }
    }

    /// Reads author, sequence number and timestamp of an op from the start of its body only.
    #[cfg(feature = "std")]
    pub(crate) fn peek(bytes: &[u8]) -> Option<(PubKey, u64, Hlc)> {
        let author = bytes.get(AUTHOR_OFFSET..)?.first_chunk()?;
        let seq = bytes.get(SEQ_OFFSET..)?.first_chunk()?;
        let hlc = bytes.get(HLC_OFFSET..)?.first_chunk()?;
        Some((
            PubKey::from_bytes(*author),
            u64::from_le_bytes(*seq),
            Hlc::from_u64(u64::from_le_bytes(*hlc)),
        ))
    }
}

impl fmt::Debug for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Op")
            .field("kind", &self.kind())
            .field("reference", &self.reference())
            .field("prev", &self.prev())
            .field("hlc", &self.hlc())
            .field("deps", &self.deps())
            .field("payload_len", &self.0.payload_len)
            .finish()
    }
}

/// The view that a state machine gets of an op; independent of the signature.
#[derive(Debug, Clone, Copy)]
pub struct OpView<'a> {
    /// Its position in the local order of application; see [`History`](crate::machine::History).
    pub index: ApplyIndex,
    /// Author, sequence number and id.
    pub reference: OpRef,
    /// Its author's hybrid clock when it was made.
    pub hlc: Hlc,
    /// The state machine's payload; empty in a merge.
    pub payload: &'a [u8],
}

fn check(body: &Body<'_>, kind: OpKind, expected: StoreId) -> Result<(), OpError> {
    if body.store_id != expected {
        return Err(OpError::OtherStore {
            expected,
            found: body.store_id,
        });
    }
    let zero_prev = body.prev == OpId::ZERO;
    if (body.seq == 0) != zero_prev {
        return Err(OpError::PrevAgainstSeq {
            seq: body.seq,
            zero_prev,
        });
    }
    if !strictly_ascending(&body.deps) {
        return Err(OpError::DepsOrder);
    }
    if !zero_prev && body.deps.iter().any(|dep| dep.id == body.prev) {
        return Err(OpError::DepIsPrev);
    }
    if kind == OpKind::Merge && !body.payload.is_empty() {
        return Err(OpError::MergePayload {
            found: body.payload.len(),
        });
    }
    Ok(())
}
