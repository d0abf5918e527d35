#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;

pub mod backend;
#[cfg(feature = "std")]
pub mod bundle;
pub mod chunks;
#[cfg(feature = "std")]
pub mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "std")]
pub mod cores;
#[cfg(feature = "std")]
pub mod engine;
#[cfg(feature = "std")]
mod history;
#[cfg(feature = "journal")]
pub mod journal;
pub mod machine;
pub mod op;
#[cfg(feature = "std")]
pub mod progress;
#[cfg(feature = "redb")]
pub mod redb;
#[cfg(feature = "std")]
pub mod state;
#[cfg(feature = "std")]
pub mod storage;

/// The backend that keeps stores in files, with a journal if the feature `journal` is on.
#[cfg(feature = "redb")]
pub fn file_backend() -> alloc::sync::Arc<dyn backend::StateBackend> {
    let redb = redb::RedbBackend::on_files();
    #[cfg(feature = "journal")]
    let redb = journal::JournaledBackend::over(redb, redb::FileDisk);
    alloc::sync::Arc::new(redb)
}

/// The same for readers of damaged stores: they see what can be read of a journal that is damaged
/// or not there.
#[cfg(feature = "redb")]
pub fn salvaging_backend() -> alloc::sync::Arc<dyn backend::StateBackend> {
    let redb = redb::RedbBackend::on_files();
    #[cfg(feature = "journal")]
    let redb = journal::JournaledBackend::over(redb, redb::FileDisk).reading_damaged();
    alloc::sync::Arc::new(redb)
}
