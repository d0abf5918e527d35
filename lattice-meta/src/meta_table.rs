//! The `meta` table: four kinds of rows, with total encoding and decoding.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

use serde::Serialize;

use crate::{Genesis, OpId, PubKey, SchemaVersion, StoreId, StoreType, StoreTypeError};

const STORE_ID: &[u8] = b"store_id";
const STORE_TYPE: &[u8] = b"store_type";
const SCHEMA_VERSION: &[u8] = b"schema_version";
const TIP_PREFIX: &[u8] = b"tip/";

/// The key of a row of Lattice in `meta`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MetaKey {
    /// `store_id`.
    StoreId,
    /// `store_type`.
    StoreType,
    /// `schema_version`.
    SchemaVersion,
    /// `tip/` and the 32 raw bytes of an author's public key.
    Tip(PubKey),
}

/// A key that starts like one of Lattice's but is malformed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetaKeyError {
    /// A tip key without a valid public key.
    #[error("expected `tip/` and 32 bytes of a public key, found `tip/` and {found} bytes")]
    TipLength {
        /// Bytes after `tip/`.
        found: usize,
    },
}

impl MetaKey {
    /// Encodes the key.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::StoreId => STORE_ID.to_vec(),
            Self::StoreType => STORE_TYPE.to_vec(),
            Self::SchemaVersion => SCHEMA_VERSION.to_vec(),
            Self::Tip(author) => [TIP_PREFIX, author.as_ref()].concat(),
        }
    }

    /// Decodes a key; `None` for a key that Lattice does not define.
    ///
    /// # Errors
    /// If a `tip/` key does not have exactly 32 bytes after the prefix.
    pub fn from_bytes(bytes: &[u8]) -> Result<Option<Self>, MetaKeyError> {
        if let Some(author) = bytes.strip_prefix(TIP_PREFIX) {
            return PubKey::from_slice(author)
                .map(|author| Some(Self::Tip(author)))
                .ok_or(MetaKeyError::TipLength {
                    found: author.len(),
                });
        }
        Ok(match bytes {
            STORE_ID => Some(Self::StoreId),
            STORE_TYPE => Some(Self::StoreType),
            SCHEMA_VERSION => Some(Self::SchemaVersion),
            _ => None,
        })
    }
}

impl fmt::Display for MetaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StoreId => f.write_str("store_id"),
            Self::StoreType => f.write_str("store_type"),
            Self::SchemaVersion => f.write_str("schema_version"),
            Self::Tip(author) => write!(f, "tip/{author}"),
        }
    }
}

/// Why a `meta` table does not describe a store. Missing values are never defaulted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetaError {
    /// A required row is missing.
    #[error("meta row `{key}` is missing")]
    Missing {
        /// The row's key.
        key: MetaKey,
    },
    /// A value has the wrong number of bytes.
    #[error("meta row `{key}`: expected {expected} bytes, found {found}")]
    Length {
        /// The row's key.
        key: MetaKey,
        /// The required length in bytes.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
    /// The store type breaks the grammar.
    #[error("meta row `store_type` is not a store type")]
    StoreType(#[source] StoreTypeError),
    /// A key that starts like one of Lattice's but is malformed.
    #[error("a meta row has a malformed key")]
    Key(#[from] MetaKeyError),
    /// A key occurs twice, which is impossible in a table.
    #[error("meta row `{key}` was given twice")]
    Twice {
        /// The row's key.
        key: MetaKey,
    },
}

/// The contents of a store's `meta` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MetaInfo {
    /// The store's id.
    pub store_id: StoreId,
    /// The name of the logic that interprets the store.
    pub store_type: StoreType,
    /// The layout of its data.
    pub schema_version: SchemaVersion,
    /// For each author with applied ops, the id of the last one.
    pub tips: BTreeMap<PubKey, OpId>,
    /// Keys of unknown rows: peek ignores them, verify reports them.
    #[serde(skip)]
    pub unknown_keys: Vec<Vec<u8>>,
}

impl MetaInfo {
    /// The table of a new store.
    pub fn new(genesis: &Genesis, schema_version: SchemaVersion) -> Self {
        Self {
            store_id: genesis.store_id(),
            store_type: genesis.store_type().clone(),
            schema_version,
            tips: BTreeMap::new(),
            unknown_keys: Vec::new(),
        }
    }

    /// Reads the rows of a table, in any order.
    ///
    /// # Errors
    /// See [`MetaError`]: a missing or repeated row, a value of the wrong length, an invalid store
    /// type, or a tip key of the wrong length.
    pub fn from_rows<K, V>(rows: impl IntoIterator<Item = (K, V)>) -> Result<Self, MetaError>
    where
        K: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        let mut builder = Builder::default();
        for (key, value) in rows {
            builder.row(key.as_ref(), value.as_ref())?;
        }
        builder.finish()
    }

    /// The rows of the table, except unknown ones.
    pub fn rows(&self) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> + '_ {
        let fixed = [
            (MetaKey::StoreId, self.store_id.as_bytes().to_vec()),
            (
                MetaKey::StoreType,
                self.store_type.as_str().as_bytes().to_vec(),
            ),
            (
                MetaKey::SchemaVersion,
                self.schema_version.get().to_le_bytes().to_vec(),
            ),
        ];
        let tips = self
            .tips
            .iter()
            .map(|(author, id)| (MetaKey::Tip(*author), id.as_bytes().to_vec()));
        fixed
            .into_iter()
            .chain(tips)
            .map(|(key, value)| (key.to_bytes(), value))
    }
}

/// The part of a table that has been read so far.
#[derive(Default)]
struct Builder {
    store_id: Option<StoreId>,
    store_type: Option<StoreType>,
    schema_version: Option<SchemaVersion>,
    tips: BTreeMap<PubKey, OpId>,
    unknown_keys: Vec<Vec<u8>>,
}

impl Builder {
    fn row(&mut self, key: &[u8], value: &[u8]) -> Result<(), MetaError> {
        let Some(key) = MetaKey::from_bytes(key)? else {
            self.unknown_keys.push(key.to_vec());
            return Ok(());
        };
        let repeated = match key {
            MetaKey::StoreId => self
                .store_id
                .replace(StoreId::from_bytes(fixed(key, value)?))
                .is_some(),
            MetaKey::StoreType => {
                let found = StoreType::from_bytes(value).map_err(MetaError::StoreType)?;
                self.store_type.replace(found).is_some()
            }
            MetaKey::SchemaVersion => {
                let found = SchemaVersion::new(u64::from_le_bytes(fixed(key, value)?));
                self.schema_version.replace(found).is_some()
            }
            MetaKey::Tip(author) => self
                .tips
                .insert(author, OpId::from_bytes(fixed(key, value)?))
                .is_some(),
        };
        if repeated {
            Err(MetaError::Twice { key })
        } else {
            Ok(())
        }
    }

    fn finish(self) -> Result<MetaInfo, MetaError> {
        let missing = |key| MetaError::Missing { key };
        Ok(MetaInfo {
            store_id: self.store_id.ok_or(missing(MetaKey::StoreId))?,
            store_type: self.store_type.ok_or(missing(MetaKey::StoreType))?,
            schema_version: self.schema_version.ok_or(missing(MetaKey::SchemaVersion))?,
            tips: self.tips,
            unknown_keys: self.unknown_keys,
        })
    }
}

fn fixed<const N: usize>(key: MetaKey, value: &[u8]) -> Result<[u8; N], MetaError> {
    value.try_into().map_err(|_| MetaError::Length {
        key,
        expected: N,
        found: value.len(),
    })
}
