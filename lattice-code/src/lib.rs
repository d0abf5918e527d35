#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;

mod cache;
mod decide;
mod decisions;
mod error;
mod library;
pub mod releases;
mod resolve;
mod trust;

pub use decide::{Because, fingerprint};
pub use decisions::{Decision, Decisions, Outcome};
pub use error::LibraryError;
pub use library::{CodeLibrary, Located, Place};
pub use resolve::{Catalogue, Newer};
pub use trust::{Policy, Trusted, TypeTrust};
