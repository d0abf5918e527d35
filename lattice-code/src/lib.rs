#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;

#[cfg(feature = "std")]
mod attempts;
#[cfg(feature = "std")]
mod cache;
#[cfg(feature = "std")]
mod catalogue;
#[cfg(feature = "std")]
mod decide;
#[cfg(feature = "std")]
mod decisions;
#[cfg(feature = "std")]
mod error;
#[cfg(feature = "std")]
mod garbage;
#[cfg(feature = "std")]
mod lease;
#[cfg(feature = "std")]
mod library;
pub mod releases;
#[cfg(feature = "std")]
mod resolve;
#[cfg(feature = "std")]
mod source;
#[cfg(feature = "std")]
mod trust;

#[cfg(feature = "std")]
pub use catalogue::{Announced, Catalogue, Newer};
#[cfg(feature = "std")]
pub use decide::{Because, fingerprint};
#[cfg(feature = "std")]
pub use decisions::{Decision, Decisions, Outcome};
#[cfg(feature = "std")]
pub use error::LibraryError;
#[cfg(feature = "std")]
pub use garbage::{Collector, Garbage, GarbageKind};
#[cfg(feature = "std")]
pub use lease::Lease;
#[cfg(feature = "std")]
pub use library::{CodeLibrary, Located, Place};
#[cfg(feature = "std")]
pub use source::{CodeSource, DirectorySource, Offer, SourceError, SourceFailure};
#[cfg(feature = "std")]
pub use trust::{Policy, Trusted, TypeTrust};
