//! What a publisher claims about a module, as payloads and rows encode it.

use alloc::string::ToString;

use lattice_meta::{Cid, CidError, StoreType};
use serde::{Deserialize, Serialize};

use crate::releases::Publish;

/// A content id as its 36 bytes, without a length before them. The header and the digest are apart
/// because serde has no arrays of 36.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "Halves", into = "Halves")]
pub(crate) struct CidBytes(pub(crate) Cid);

type Halves = ([u8; 4], [u8; 32]);

impl TryFrom<Halves> for CidBytes {
    type Error = CidError;

    fn try_from((header, digest): Halves) -> Result<Self, CidError> {
        let mut bytes = [0; Cid::LEN];
        bytes[..4].copy_from_slice(&header);
        bytes[4..].copy_from_slice(&digest);
        Cid::from_bytes(&bytes).map(Self)
    }
}

impl From<CidBytes> for Halves {
    fn from(CidBytes(cid): CidBytes) -> Self {
        let bytes = cid.to_bytes();
        let header = bytes.first_chunk().expect("36 bytes begin with 4");
        (*header, *cid.digest())
    }
}

/// The fields of a release except its type and its number, which are in the keys of rows.
#[derive(Serialize, Deserialize)]
pub(crate) struct Claim<'a> {
    cid: CidBytes,
    length: u32,
    abi: u16,
    schemas: (u64, u64),
    replaces: Option<CidBytes>,
    notes: &'a str,
}

impl<'a> Claim<'a> {
    pub(crate) fn of(publish: &'a Publish) -> Self {
        Self {
            cid: CidBytes(publish.cid),
            length: publish.length,
            abi: publish.abi,
            schemas: publish.schemas,
            replaces: publish.replaces.map(CidBytes),
            notes: &publish.notes,
        }
    }

    pub(crate) fn of_release(self, store_type: StoreType, release: u64) -> Publish {
        Publish {
            store_type,
            release,
            cid: self.cid.0,
            length: self.length,
            abi: self.abi,
            schemas: self.schemas,
            replaces: self.replaces.map(|CidBytes(cid)| cid),
            notes: self.notes.to_string(),
        }
    }
}
