//! Ids, keys and hashes, each with its own type.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::hex::{self, ParseHexError, byte_newtype};

byte_newtype! {
    /// An author: the 32 bytes of an ed25519 public key. Verifying a signature detects bytes that
    /// are not a point of the curve.
    PubKey, 32
}

byte_newtype! {
    /// The id of an op: the BLAKE3 hash of its body under its store's genesis.
    OpId, 32
}

byte_newtype! {
    /// The hash of the whole logical state of a store.
    StateHash, 32
}

byte_newtype! {
    /// The full 32-byte hash of a genesis record. A store's id consists of its first 16 bytes; op
    /// ids and the state hash depend on all of it.
    GenesisHash, 32
}

byte_newtype! {
    /// Sixteen random bytes that distinguish two stores with the same owner and creation time.
    Nonce, 16
}

impl OpId {
    /// All zeroes: the `prev` of an author's first op.
    pub const ZERO: Self = Self::from_bytes([0; 32]);
}

/// A store's id: a version 8 UUID with the first 16 bytes of its genesis hash.
///
/// ```
/// use lattice_meta::StoreId;
/// let id: StoreId = "00112233-4455-8677-8899-aabbccddeeff".parse()?;
/// assert_eq!(id.as_bytes()[..2], [0x00, 0x11]);
/// # Ok::<(), lattice_meta::ParseHexError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(Uuid);

impl StoreId {
    /// Length in bytes.
    pub const LEN: usize = 16;

    /// Takes the raw bytes unchanged. An id that is not a version 8 UUID matches no genesis.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The id that certifies the genesis with this hash.
    pub fn certifying(genesis: &GenesisHash) -> Self {
        let mut first = [0; 16];
        first.copy_from_slice(&genesis.as_bytes()[..16]);
        Self(Uuid::new_v8(first))
    }

    /// The raw bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(
            self.0
                .as_hyphenated()
                .encode_lower(&mut Uuid::encode_buffer()),
        )
    }
}

impl fmt::Debug for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreId({})", self.0)
    }
}

/// Accepts the hyphenated form and 32 hexadecimal digits, in either case.
impl FromStr for StoreId {
    type Err = ParseHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        /// The positions of the hyphens.
        const HYPHENS: [usize; 4] = [8, 13, 18, 23];
        if text.len() != 36 {
            return hex::decode(text).map(Self::from_bytes);
        }
        let expected = |(offset, byte): (usize, u8)| match HYPHENS.contains(&offset) {
            true => byte == b'-',
            false => byte.is_ascii_hexdigit(),
        };
        if let Some(offset) = text.bytes().enumerate().position(|place| !expected(place)) {
            return Err(ParseHexError::Digit { offset });
        }
        hex::decode(&text.replace('-', "")).map(Self::from_bytes)
    }
}

impl Serialize for StoreId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            // As an array: uuid's own form would put a length before the bytes.
            self.as_bytes().serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for StoreId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = <alloc::borrow::Cow<'de, str>>::deserialize(deserializer)?;
            text.parse().map_err(serde::de::Error::custom)
        } else {
            <[u8; 16]>::deserialize(deserializer).map(Self::from_bytes)
        }
    }
}

/// The layout of a store's state on disk. The store type's migrations define it; it never changes
/// the meaning of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SchemaVersion(u64);

impl SchemaVersion {
    /// Takes the number.
    pub const fn new(version: u64) -> Self {
        Self(version)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for SchemaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
