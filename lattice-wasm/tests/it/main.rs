//! Modules and their host.
// The exemption of tests does not reach their helpers.
#![allow(clippy::unwrap_used)]

mod answers;
mod bombs;
mod both;
mod conformance;
mod counter;
mod faults;
mod features;
mod golden;
mod guest;
mod hostile;
mod imports;
mod limits;
mod mutations;
mod pinned;
mod prices;
