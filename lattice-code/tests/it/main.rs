//! A code library, and the stores that it opens.
// Clippy exempts tests, but not their helpers.
#![allow(clippy::unwrap_used)]

mod migrating;
mod sources;
mod stores;
mod support;
