//! Keeps cached modules from being collected while a store is opened with them.
//!
//! # Locks and their order
//!
//! 1. The file `wasm/.lock`, always exclusive: `add` and `remove` hold it while they change the
//!    list of trusted modules, and a [`Collector`](crate::Collector) until it is dropped.
//! 2. The directory `wasm/` itself: shared by every [`Lease`], exclusive for a `Collector`.
//!
//! The library's resolver takes a lease once it has chosen modules, stores those again that a
//! collector has removed since, and the opener that it returns keeps the lease. So no collector
//! removes a module before the commit in which a store records it. The lease is a lock of its own
//! because an opener can live for as long as a store is verified or replayed: under one lock, `add`
//! would have to wait for it.
//!
//! There is no deadlock, for these reasons:
//!
//! * `add`, `remove`, and changes of what is trusted for a type, take 1 and never 2. A thread that
//!   holds an opener can call them.
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
