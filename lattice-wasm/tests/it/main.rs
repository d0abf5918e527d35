//! Modules and their host.
// The exemption of tests does not reach their helpers.
#![allow(clippy::unwrap_used)]

mod both;
mod conformance;
mod counter;
mod features;
mod golden;
