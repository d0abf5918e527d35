#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod cache;
mod error;
mod garbage;
mod lease;
mod library;
mod source;
mod trust;

pub use error::LibraryError;
pub use garbage::{Collector, Garbage, GarbageKind};
pub use lease::Lease;
pub use library::{CodeLibrary, Located, Place};
pub use source::{CodeSource, Offer, SourceError, SourceFailure};
pub use trust::Trusted;
