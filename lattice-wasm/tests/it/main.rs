//! Modules and their host.

mod both;
mod conformance;
mod counter;
mod features;
mod golden;
