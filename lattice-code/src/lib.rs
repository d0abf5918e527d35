#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod cache;
mod error;
mod library;
mod trust;

pub use error::LibraryError;
pub use library::{CodeLibrary, Located, Place};
pub use trust::Trusted;
