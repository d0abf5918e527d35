//! Signing and verification.

use core::fmt;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use lattice_meta::{OpId, PubKey};

/// The signed message is this prefix and the op's id. The prefix keeps an op's signature from being
/// valid for anything else.
const PREFIX: &[u8; 14] = b"lattice/op/v1\0";
const MESSAGE_LEN: usize = PREFIX.len() + OpId::LEN;

/// An author's ed25519 secret key. Its `Debug` output does not reveal it, and dropping it clears
/// its memory.
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// Takes the 32 secret bytes, which are the seed of RFC 8032.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(bytes))
    }

    /// The secret bytes, in a buffer that is cleared on drop.
    pub fn to_bytes(&self) -> zeroize::Zeroizing<[u8; 32]> {
        zeroize::Zeroizing::new(self.0.to_bytes())
    }

    /// The author that this key signs for.
    pub fn public(&self) -> PubKey {
        PubKey::from_bytes(self.0.verifying_key().to_bytes())
    }

    /// Signs an op's id.
    pub(crate) fn sign(&self, id: &OpId) -> [u8; 64] {
        self.0.sign(&message(id)).to_bytes()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {})", self.public())
    }
}

/// Why a signature is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The author is not a public key.
    #[error("author {author} is not an ed25519 public key")]
    NoKey {
        /// The author named in the op.
        author: PubKey,
    },
    /// The signature is not the author's.
    #[error("the signature is not one of author {author} over this op")]
    Wrong {
        /// The author named in the op.
        author: PubKey,
    },
}

/// Verifies a signature by the strict rules of ed25519-dalek: a canonical encoding, and no key or
/// point of small order. Batch verification accepts signatures that these rules refuse, so it is
/// never used.
pub(crate) fn verify(
    author: &PubKey,
    id: &OpId,
    signature: &[u8; 64],
) -> Result<(), SignatureError> {
    verify_by(&unpack(author)?, author, id, signature)
}

/// The most public keys that a [`Verifier`] keeps.
#[cfg(feature = "std")]
const KEPT_KEYS: usize = 256;

/// Verifies many signatures by the same rules. It caches decompressed public keys, which are a
/// tenth of the work.
#[cfg(feature = "std")]
#[derive(Default)]
pub(crate) struct Verifier {
    keys: std::collections::BTreeMap<PubKey, VerifyingKey>,
}

#[cfg(feature = "std")]
impl Verifier {
    pub(crate) fn verify(
        &mut self,
        author: &PubKey,
        id: &OpId,
        signature: &[u8; 64],
    ) -> Result<(), SignatureError> {
        let key = match self.keys.get(author) {
            Some(key) => *key,
            None => {
                let key = unpack(author)?;
                if self.keys.len() >= KEPT_KEYS {
                    self.keys.clear();
                }
                self.keys.insert(*author, key);
                key
            }
        };
        verify_by(&key, author, id, signature)
    }
}

fn unpack(author: &PubKey) -> Result<VerifyingKey, SignatureError> {
    VerifyingKey::from_bytes(author.as_bytes())
        .map_err(|_| SignatureError::NoKey { author: *author })
}

fn verify_by(
    key: &VerifyingKey,
    author: &PubKey,
    id: &OpId,
    signature: &[u8; 64],
) -> Result<(), SignatureError> {
    key.verify_strict(&message(id), &Signature::from_bytes(signature))
        .map_err(|_| SignatureError::Wrong { author: *author })
}

fn message(id: &OpId) -> [u8; MESSAGE_LEN] {
    let mut message = [0; MESSAGE_LEN];
    message[..PREFIX.len()].copy_from_slice(PREFIX);
    message[PREFIX.len()..].copy_from_slice(id.as_bytes());
    message
}
