//! A library of code, and stores that it opens.
// The exemption of tests does not reach their helpers.
#![allow(clippy::unwrap_used)]

mod migrating;
mod sources;
mod stores;
mod support;
