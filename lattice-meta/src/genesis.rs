//! The record a store begins with, and that its id certifies.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::codec::{self, CodecError};
use crate::{GenesisHash, Hlc, Nonce, PubKey, StateHash, StoreId, StoreType};

/// The only format of a genesis record so far.
pub const GENESIS_FORMAT: u8 = 1;

/// The longest genesis record, in bytes: every field at its longest.
pub const MAX_GENESIS_BYTES: usize = 1 + (8 + 128) + 32 + 16 + 8 + (1 + 16 + 32);

/// BLAKE3 key derivation context of the genesis hash.
const CONTEXT: &str = "lattice 2026 store id v1";

/// What a store was born as: fixed for ever by the store's id.
///
/// The record is not signed. Its owner and origin are claims of whoever made the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    format: u8,
    store_type: StoreType,
    owner: PubKey,
    nonce: Nonce,
    created: Hlc,
    migrated_from: Option<(StoreId, StateHash)>,
}

/// Why bytes are no genesis record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GenesisError {
    /// The bytes are not a record's encoding.
    #[error("not a genesis record")]
    Codec(#[from] CodecError),
    /// A format that this version does not know.
    #[error("expected genesis format {GENESIS_FORMAT}, found {found}: a newer program wrote it")]
    Format {
        /// The format number found.
        found: u8,
    },
}

impl Genesis {
    /// A new store's record. `nonce` must be random: it is what tells two stores of the same
    /// owner, type and instant apart.
    pub fn new(
        store_type: StoreType,
        owner: PubKey,
        nonce: Nonce,
        created: Hlc,
        migrated_from: Option<(StoreId, StateHash)>,
    ) -> Self {
        Self {
            format: GENESIS_FORMAT,
            store_type,
            owner,
            nonce,
            created,
            migrated_from,
        }
    }

    /// Decodes a record.
    ///
    /// # Errors
    /// See [`GenesisError`]. The format is looked at first, so that a newer record is told from a
    /// damaged one.
    pub fn decode(bytes: &[u8]) -> Result<Self, GenesisError> {
        match bytes.first() {
            Some(&found) if found != GENESIS_FORMAT => Err(GenesisError::Format { found }),
            _ => Ok(codec::decode(bytes, MAX_GENESIS_BYTES)?),
        }
    }

    /// The record's bytes, at most [`MAX_GENESIS_BYTES`].
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self).expect("a genesis is made of types that the codec supports")
    }

    /// BLAKE3, in key derivation mode, of the record's bytes.
    pub fn hash(&self) -> GenesisHash {
        GenesisHash::from_bytes(blake3::derive_key(CONTEXT, &self.encode()))
    }

    /// The id that certifies this record.
    pub fn store_id(&self) -> StoreId {
        StoreId::certifying(&self.hash())
    }

    /// The logic that interprets the store.
    pub fn store_type(&self) -> &StoreType {
        &self.store_type
    }

    /// Who made the store, by their own claim.
    pub fn owner(&self) -> PubKey {
        self.owner
    }

    /// The random bytes that make the store unique.
    pub fn nonce(&self) -> Nonce {
        self.nonce
    }

    /// When the store was made, by its maker's clock.
    pub fn created(&self) -> Hlc {
        self.created
    }

    /// The store, and its state hash, that this one was migrated from.
    pub fn migrated_from(&self) -> Option<(StoreId, StateHash)> {
        self.migrated_from
    }
}
