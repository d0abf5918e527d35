//! Modules and their host.
// Clippy exempts tests, but not their helpers.
#![allow(clippy::unwrap_used)]

mod answers;
mod availability;
mod bombs;
mod both;
mod conformance;
mod counter;
mod failing;
mod faults;
mod features;
mod floods;
mod golden;
mod guest;
mod hostile;
mod imports;
mod kv;
mod limits;
mod manifests;
mod mutations;
mod pinned;
mod prices;
mod run_limits;
