//! Logs: payloads, rows, selections, calls by name, the handle.
// Clippy exempts tests, but not their helpers.
#![allow(clippy::unwrap_used)]

mod conformance;
mod follow;
mod golden;
mod methods;
mod payload;
mod position;
mod replicas;
mod rows;
mod selection;
mod store;
mod support;
