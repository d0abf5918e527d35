#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod config;
mod convert;
mod core;
mod digest;
mod event;
mod finds;
pub mod host;
mod link;
mod random;
mod session;
mod spans;
mod status;
mod tree;
pub mod wire;

pub use crate::config::Config;
#[cfg(feature = "faults")]
pub use crate::config::Fault;
pub use crate::core::Core;
pub use crate::event::{BlobFault, Event, FindFault, Lost, Over};
pub use crate::status::{Counts, Phase, SessionStatus};
