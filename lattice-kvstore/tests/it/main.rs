//! One binary for all integration tests: it links once.
// Clippy allows it in tests by itself, but not in what they share.
#![allow(clippy::unwrap_used)]

mod apply;
mod changes;
mod conformance;
mod convergence;
mod cost;
mod dynamic;
mod golden;
mod methods;
mod model;
mod prepare;
mod row_bytes;
mod scans;
mod siblings;
mod store;
mod support;
