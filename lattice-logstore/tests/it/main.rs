//! Logs: payloads, rows, selections, calls by name, the handle.
// The exemption of tests does not reach their helpers.
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
