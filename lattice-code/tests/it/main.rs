//! A code library, and the stores that it opens.
// Clippy exempts tests, but not their helpers.
#![allow(clippy::unwrap_used)]

mod garbage;
mod migrating;
mod peers;
mod sources;
mod stores;
mod support;
