//! All integration tests in one binary, which links once.
// Clippy exempts tests, but not their helpers.
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
mod newest;
mod prepare;
mod row_bytes;
mod scans;
mod siblings;
mod store;
mod support;
