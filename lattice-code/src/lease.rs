//! Keeps cached modules from being collected while a store is opened with them.
//!
//! # Locks and their order
//!
//! 1. The file `wasm/.lock`, always exclusive: `add` and `remove` hold it while they change the
//!    list of trusted modules, and a [`Collector`](crate::Collector) until it is dropped.
//! 2. The directory `wasm/` itself: shared by every [`Lease`], exclusive for a `Collector`.
//!
//! The library's resolver takes a lease before it searches for the bytes, and the opener that it
//! returns keeps the lease. So no collector removes a module between the search and the commit in
//! which a store records it. The lease is a lock of its own because an opener can live for as long
//! as a store is verified or replayed: under one lock, `add` would have to wait for it.
//!
//! There is no deadlock, for these reasons:
//!
//! * `add` and `remove` take 1 and never 2. A thread that holds an opener can call them.
//! * A thread that holds a lease never takes 1, and other leases do not exclude it. It may resolve
//!   further stores. Storing a module from a source takes no lock: the rename is atomic, and a
//!   module that is new in the cache is not garbage.
//! * A collector takes 1, then 2, and is the only one to hold both.
//! * Every wait is bounded: after ten seconds, the call returns an error. A thread that keeps an
//!   opener and collects waits for itself and gets that error. So does a thread that opens a store
//!   while it holds a collector.
//!
//! `remove` does not wait for leases: the user has named the module.
//!
//! A lease creates no file, so a reader of a read-only directory has one too. Without a directory
//! there is nothing to collect and nothing to lock. A process that cannot lock the directory (it
//! may not list it, or the file system has no locks) continues without a lease: a module that it
//! loads is then protected only by its time of use.

use std::fs::File;
use std::sync::Arc;

use lattice_backend::engine::open::{OpenError, Proof};
use lattice_backend::engine::verify::Rebuilt;
use lattice_backend::machine::{Logic, Method};
use lattice_registry::{Peeked, Rebuild, StoreHandle, StoreOpener};
use lattice_wasm::WasmStoreOpener;

/// While it lives, no process collects modules of the cache.
#[derive(Debug)]
pub struct Lease {
    /// The directory; dropping it releases the lock.
    _locked: Option<File>,
}

impl Lease {
    pub(crate) fn new(locked: Option<File>) -> Self {
        Self { _locked: locked }
    }
}

/// An opener that keeps its module in the cache until it is dropped.
#[derive(Debug)]
pub(crate) struct Leased {
    opener: WasmStoreOpener,
    _lease: Lease,
}

impl Leased {
    pub(crate) fn new(opener: WasmStoreOpener, lease: Lease) -> Self {
        Self {
            opener,
            _lease: lease,
        }
    }
}

impl StoreOpener for Leased {
    fn logic(&self) -> Logic {
        self.opener.logic()
    }

    fn methods(&self) -> Vec<Method> {
        self.opener.methods()
    }

    fn rebuild(&self, rebuild: Rebuild<'_>) -> Result<Rebuilt, OpenError> {
        self.opener.rebuild(rebuild)
    }

    fn prove(&self, store: Peeked) -> Result<Proof, OpenError> {
        self.opener.prove(store)
    }

    fn open(&self, store: Peeked) -> Result<Arc<dyn StoreHandle>, OpenError> {
        self.opener.open(store)
    }
}
