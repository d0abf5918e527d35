//! What a publisher says about a module.

use alloc::string::String;

use lattice_meta::{Cid, Hlc, OpId, PubKey, StoreType};

/// The longest notes of a release and the longest reason of a withdrawal, in bytes.
pub const MAX_NOTES_BYTES: usize = 1024;

/// A publisher's claim that a module is a release of a store type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// The type that the module implements.
    pub store_type: StoreType,
    /// The number of the release: each publisher counts the releases of a type by itself.
    pub release: u64,
    /// The module.
    pub cid: Cid,
    /// Bytes of the module.
    pub length: u32,
    /// The version of the interface that the module uses.
    pub abi: u16,
    /// The oldest and the newest layout of rows that the module reads.
    pub schemas: (u64, u64),
    /// The module that this one replaces, as its publisher says.
    pub replaces: Option<Cid>,
    /// What has changed: at most [`MAX_NOTES_BYTES`] of text.
    pub notes: String,
}

/// A publisher's request not to choose a module any more. Stores that record it still open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdraw {
    /// The module.
    pub cid: Cid,
    /// Why: at most [`MAX_NOTES_BYTES`] of text.
    pub reason: String,
}

/// A release in a registry store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Release {
    /// What the publisher claims.
    pub published: Publish,
    /// The author of the op that published it.
    pub publisher: PubKey,
    /// That op.
    pub op: OpId,
    /// The op's timestamp.
    pub time: Hlc,
    /// The reason of the first withdrawal of this module by the same publisher.
    pub withdrawn: Option<String>,
    /// Whether the same publisher has published another module under this type and number.
    pub is_conflicting: bool,
}

impl Release {
    /// Whether it may be chosen for a store that does not record it: its publisher has not
    /// withdrawn it, and has no other module under its number.
    pub fn may_be_chosen(&self) -> bool {
        self.withdrawn.is_none() && !self.is_conflicting
    }

    /// Whether its publisher says that it reads this layout of rows; true for a new store, `None`.
    pub fn reads(&self, schema: Option<u64>) -> bool {
        let (oldest, newest) = self.published.schemas;
        schema.is_none_or(|schema| (oldest..=newest).contains(&schema))
    }
}
