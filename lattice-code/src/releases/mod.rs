//! Releases of modules, as their publishers announce them: the store type `core:registry`.
//!
//! A registry is a store like any other: it is replicated by bundles, verified and backed up. Any
//! author of the store can publish. A release is a claim of its publisher, who is the author of the
//! op. It supplies neither the module nor trust in it.
//!
//! There is no migration to a new registry. A copied release would have the author of the copy as
//! its publisher, and withdrawals count only from the publisher.

mod claim;
mod command;
mod filter;
mod machine;
mod methods;
mod payload;
mod read;
mod record;
mod rows;
#[cfg(feature = "std")]
mod store;

pub use command::{MAX_MODULE_BYTES, ReleaseCommand, ReleaseRefusal};
pub use filter::Filter;
pub use machine::{ReleaseMachine, SCHEMA_VERSION, STORE_TYPE, store_type};
pub use payload::{decode_payload, encode_payload};
pub use record::{MAX_NOTES_BYTES, Publish, Release, Withdraw};
#[cfg(feature = "std")]
pub use store::{ReleaseAppendError, ReleaseOpener, ReleaseStore, release_opener};
