//! What a peer says about a store that is not here.

use lattice_meta::codec::{self, CodecError};
use serde::{Deserialize, Serialize};

use crate::wire::MAX_FOUND_BYTES;

/// The record in [`Found`](crate::wire::Found). Nothing in it is checked: the host decodes the
/// genesis, and the logic is only the peer's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreRecord {
    /// The genesis record.
    #[serde(with = "serde_bytes")]
    pub genesis: Vec<u8>,
    /// The version of the logic that computed the state at the peer; empty if it records none.
    pub logic: String,
}

impl StoreRecord {
    /// The bytes.
    ///
    /// # Errors
    /// A length that no memory has.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        codec::encode(self)
    }

    /// Decodes the bytes.
    ///
    /// # Errors
    /// Bytes that are no record, or have others after it.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, MAX_FOUND_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_two_byte_strings() {
        let record = StoreRecord {
            genesis: b"gen".to_vec(),
            logic: "1".into(),
        };
        let bytes = b"\x03\0\0\0\0\0\0\0gen\x01\0\0\0\0\0\0\x001";
        assert_eq!(record.encode().unwrap(), bytes);
        assert_eq!(StoreRecord::decode(bytes).unwrap(), record);
        assert!(StoreRecord::decode(&bytes[..bytes.len() - 1]).is_err());
        assert!(StoreRecord::decode(&[bytes, &b"x"[..]].concat()).is_err());
    }
}
