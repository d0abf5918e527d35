//! Tests of this crate's public face, in one binary.
// The exemption of tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::as_conversions)]

mod registers;
mod support;

mod conformance;
mod engine;
mod ingest;
