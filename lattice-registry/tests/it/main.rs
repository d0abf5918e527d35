//! The registry and the manager, with a store type as a third party would write it.
#![allow(clippy::unwrap_used)]

mod chain;
mod copies;
mod counter;
mod crowd;
mod history;
mod left;
#[cfg(unix)]
mod links;
mod manager;
mod migrating;
mod opening;
mod opens;
mod registry;
mod trust;
mod whole;
