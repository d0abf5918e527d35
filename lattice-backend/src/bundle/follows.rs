//! The section of a bundle of a chain of backups: what the bundle follows.

use lattice_meta::codec::{self, CodecError};
use serde::{Deserialize, Serialize};

use crate::op::{OpRef, strictly_ascending};

/// The most ops that a bundle can follow: the ends of as many branches.
pub const MAX_FOLLOWED: usize = 1 << 19;
/// The longest name of a followed file, in bytes.
pub const MAX_FOLLOWED_NAME: usize = 1024;
/// The longest record. A reader's memory grows with the bytes that arrive.
pub(super) const MAX_FOLLOWS_BYTES: u32 = 64 << 20;

/// Why the section of a bundle that says what it follows is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FollowsError {
    /// It does not decode.
    #[error("not a record of what a bundle follows")]
    Record(#[from] CodecError),
    /// The name is too long.
    #[error("expected a name of at most {MAX_FOLLOWED_NAME} bytes, found {found}")]
    Name {
        /// Its length in bytes.
        found: usize,
    },
    /// There are too many ops.
    #[error("expected at most {MAX_FOLLOWED} ops, found {found}")]
    Ops {
        /// How many there are.
        found: usize,
    },
    /// The ops are not in strictly ascending order.
    #[error("the ops are not in strictly ascending order")]
    Order,
}

/// What a bundle follows: the ends of all branches of the file that it was made after. A store that
/// has these ops, and those of the bundle, has all that the bundle's sender had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Follows {
    name: String,
    ops: Vec<OpRef>,
}

/// The same as it is encoded.
#[derive(Serialize, Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    name: &'a str,
    #[serde(deserialize_with = "codec::bounded_seq::deserialize::<_, _, MAX_FOLLOWED>")]
    ops: Vec<OpRef>,
}

impl Follows {
    /// What follows a file: its name, for people, and the ops that it ends with, ascending.
    ///
    /// # Errors
    /// See [`FollowsError`].
    pub fn new(name: impl Into<String>, ops: Vec<OpRef>) -> Result<Self, FollowsError> {
        let name = name.into();
        let (length, found) = (name.len(), ops.len());
        if length > MAX_FOLLOWED_NAME {
            return Err(FollowsError::Name { found: length });
        }
        if found > MAX_FOLLOWED {
            return Err(FollowsError::Ops { found });
        }
        match strictly_ascending(&ops) {
            true => Ok(Self { name, ops }),
            false => Err(FollowsError::Order),
        }
    }

    /// The name of the file when the bundle was made. Nothing checks it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The ends of the branches of that file, ascending.
    pub fn ops(&self) -> &[OpRef] {
        &self.ops
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let record = Record {
            name: &self.name,
            ops: self.ops.clone(),
        };
        codec::encode(&record).expect("a text and op references are supported by the codec")
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, FollowsError> {
        let record: Record<'_> = codec::decode(bytes, bytes.len())?;
        Self::new(record.name, record.ops)
    }
}
