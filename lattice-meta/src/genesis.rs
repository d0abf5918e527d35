//! The genesis record of a store. The store's id certifies it.

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

/// The initial record of a store; the store's id fixes it permanently.
///
/// The record is not signed. Owner and origin are claims of the store's creator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    format: u8,
    store_type: StoreType,
    owner: PubKey,
    nonce: Nonce,
    created: Hlc,
    migrated_from: Option<(StoreId, StateHash)>,
}

/// Why bytes are not a genesis record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GenesisError {
    /// The bytes do not decode to a record.
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
    /// A new store's record. `nonce` must be random: it alone distinguishes two stores with the
    /// same owner, type and creation time.
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
    /// See [`GenesisError`]. The format is checked first, to distinguish a newer record from a
    /// damaged one.
    pub fn decode(bytes: &[u8]) -> Result<Self, GenesisError> {
        match bytes.first() {
            Some(&found) if found != GENESIS_FORMAT => Err(GenesisError::Format { found }),
            _ => Ok(codec::decode(bytes, MAX_GENESIS_BYTES)?),
        }
    }

    /// The record's encoding, at most [`MAX_GENESIS_BYTES`].
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self).expect("a genesis is made of types that the codec supports")
    }

    /// The BLAKE3 hash of the encoding, in key derivation mode.
    pub fn hash(&self) -> GenesisHash {
        GenesisHash::from_bytes(blake3::derive_key(CONTEXT, &self.encode()))
    }

    /// The id that certifies this record.
    pub fn store_id(&self) -> StoreId {
        StoreId::certifying(&self.hash())
    }

    /// The name of the logic that interprets the store.
    pub fn store_type(&self) -> &StoreType {
        &self.store_type
    }

    /// The owner that the record claims.
    pub fn owner(&self) -> PubKey {
        self.owner
    }

    /// The random bytes that make the store unique.
    pub fn nonce(&self) -> Nonce {
        self.nonce
    }

    /// The creator's clock when the store was created.
    pub fn created(&self) -> Hlc {
        self.created
    }

    /// The store that this one was migrated from, and its state hash.
    pub fn migrated_from(&self) -> Option<(StoreId, StateHash)> {
        self.migrated_from
    }
}
