//! The registry and the manager, over a store type that a third party would write.
#![allow(clippy::unwrap_used)]

mod copies;
mod counter;
mod crowd;
mod left;
mod manager;
mod migrating;
mod opening;
mod opens;
mod registry;
mod whole;
