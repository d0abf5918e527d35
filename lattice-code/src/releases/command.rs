//! The commands of registries, and why they are refused.

use crate::releases::{MAX_NOTES_BYTES, Publish, Withdraw};

/// The longest module that a release can name, in bytes. The validity of payloads depends on it, so
/// it is fixed. A host may accept only shorter modules.
pub const MAX_MODULE_BYTES: u32 = 4 << 20;

/// Publishes or withdraws a module. It is also the decoded payload of an op.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReleaseCommand {
    /// Publishes a module as a release of a store type.
    Publish(Publish),
    /// Withdraws a module.
    Withdraw(Withdraw),
}

/// Why a command is refused. A payload with the same contents is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseRefusal {
    /// The notes of a release are too long.
    #[error("notes have at most {limit} bytes, found {found}; shorten them")]
    NotesTooLong {
        /// The most bytes.
        limit: usize,
        /// Bytes found.
        found: usize,
    },
    /// The reason of a withdrawal is too long.
    #[error("a reason has at most {limit} bytes, found {found}; shorten it")]
    ReasonTooLong {
        /// The most bytes.
        limit: usize,
        /// Bytes found.
        found: usize,
    },
    /// The first layout is newer than the last.
    #[error("the first schema is {first}, after the last, {last}; exchange them")]
    Schemas {
        /// The oldest layout that the module reads, as given.
        first: u64,
        /// The newest layout that the module reads, as given.
        last: u64,
    },
    /// The module is empty or too long.
    #[error("a module has 1 to {limit} bytes, found {found}")]
    Length {
        /// The most bytes.
        limit: u32,
        /// Bytes found.
        found: u32,
    },
    /// The interface has version 0, which does not exist.
    #[error("the versions of the module interface begin with 1, found 0")]
    Abi,
}

impl ReleaseCommand {
    /// Checks what the types of the fields allow and a payload does not.
    pub(crate) fn check(&self) -> Result<(), ReleaseRefusal> {
        match self {
            Self::Publish(publish) => check_publish(publish),
            Self::Withdraw(withdraw) => check_reason(&withdraw.reason),
        }
    }
}

/// Checks the fields of a release.
pub(crate) fn check_publish(publish: &Publish) -> Result<(), ReleaseRefusal> {
    let (first, last) = publish.schemas;
    let limit = MAX_NOTES_BYTES;
    match publish {
        Publish { notes, .. } if notes.len() > limit => Err(ReleaseRefusal::NotesTooLong {
            limit,
            found: notes.len(),
        }),
        _ if first > last => Err(ReleaseRefusal::Schemas { first, last }),
        Publish { length: found, .. } if !(1..=MAX_MODULE_BYTES).contains(found) => {
            Err(ReleaseRefusal::Length {
                limit: MAX_MODULE_BYTES,
                found: *found,
            })
        }
        Publish { abi: 0, .. } => Err(ReleaseRefusal::Abi),
        _ => Ok(()),
    }
}

/// Checks the reason of a withdrawal.
pub(crate) fn check_reason(reason: &str) -> Result<(), ReleaseRefusal> {
    match reason.len() {
        found if found > MAX_NOTES_BYTES => Err(ReleaseRefusal::ReasonTooLong {
            limit: MAX_NOTES_BYTES,
            found,
        }),
        _ => Ok(()),
    }
}
