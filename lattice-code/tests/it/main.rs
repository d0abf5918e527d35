//! A code library, the stores that it opens, and registries of releases.
// Clippy exempts tests, but not their helpers.
#![allow(clippy::unwrap_used)]

mod garbage;
mod migrating;
mod peers;
mod publishers;
mod releases;
mod sources;
mod stores;
mod support;
