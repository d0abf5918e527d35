//! Tests of the core, of its bytes, and of networks of cores.
#![allow(clippy::unwrap_used, clippy::as_conversions)]

mod blob;
mod desk;
mod figures;
mod finds;
mod golden;
mod host;
mod hostile;
mod probe;
mod settle;
mod sim;
mod stores;
