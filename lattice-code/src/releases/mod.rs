//! Releases of modules that publishers announce: the store type `core:registry`.

mod record;

pub use record::{MAX_NOTES_BYTES, Publish, Release, Withdraw};
