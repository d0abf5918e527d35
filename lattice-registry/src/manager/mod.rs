//! The stores of a data directory.

mod building;
mod carve;
mod compact;
mod copies;
mod create;
mod destroy;
mod error;
mod find;
mod fs;
mod history;
mod known;
mod left;
mod list;
mod migrate;
mod open;
mod rebuild;
mod restore;
mod trust;
mod upgrade;
mod verify;

pub use compact::Compacted;
pub use destroy::Destroyed;
pub use error::ManagerError;
pub use find::Found;
pub use left::{Leftover, LeftoverKind};
pub use list::Listed;
pub use migrate::Migrated;
pub use rebuild::RebuiltStore;
pub use restore::{IfThere, RestoredStore, Restoring};
pub use trust::{IfUnverified, Vouched};
pub use upgrade::UpgradedStore;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lattice_backend::backend::{OpenOptions, Sharing, StateBackend};
use lattice_backend::clock::{Clock, SystemClock};
use lattice_backend::engine::open::{IfCopied, LogicPolicy};
use lattice_backend::op::SecretKey;
use lattice_backend::progress::ProgressSink;
use lattice_meta::{PubKey, StoreId};

use crate::Registry;
use open::Slots;

/// The name of a store's file in its directory.
const STATE_DB: &str = "state.db";
/// The length of a store id as text.
const ID_CHARS: usize = 36;

/// How a manager opens stores.
///
/// ```
/// use lattice_backend::backend::Sharing;
/// use lattice_registry::ManagerOptions;
///
/// let options = ManagerOptions::reader()
///     .sharing(Sharing::Exclusive)
///     .cache_budget_bytes(64 << 20);
/// assert!(options.identity.is_none());
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ManagerOptions {
    /// The author of writes, and the owner of new stores. A manager that only reads has none.
    pub identity: Option<Arc<SecretKey>>,
    /// The source of the current time.
    pub clock: Arc<dyn Clock>,
    /// How processes share the stores.
    pub sharing: Sharing,
    /// How long a write waits for its turn while other processes write the store.
    pub wait: Duration,
    /// The limit for the caches of all open stores together, in bytes. Each store gets half of the
    /// rest, and at least 64 KiB.
    pub cache_budget_bytes: usize,
    /// What to do about stores whose state other logic computed.
    pub logic: LogicPolicy,
    /// What to do about stores that the data directory does not vouch for.
    pub unverified: IfUnverified,
    /// What to do about unconfirmed copies.
    pub copied: IfCopied,
    /// Receives progress reports.
    pub progress: ProgressSink,
}

impl ManagerOptions {
    /// Writes as this author, with the system's clock, readers in other processes, and 256 MiB of
    /// cache.
    pub fn new(identity: impl Into<Arc<SecretKey>>) -> Self {
        Self::reader().identity(identity)
    }

    /// The same without an identity: the manager reads stores, and ingests ops of other authors.
    pub fn reader() -> Self {
        Self {
            identity: None,
            clock: Arc::new(SystemClock),
            sharing: Sharing::default(),
            wait: OpenOptions::DEFAULT_WAIT,
            cache_budget_bytes: 256 << 20,
            logic: LogicPolicy::default(),
            unverified: IfUnverified::default(),
            copied: IfCopied::default(),
            progress: ProgressSink::none(),
        }
    }

    /// Sets the author to write as.
    #[must_use]
    pub fn identity(mut self, identity: impl Into<Arc<SecretKey>>) -> Self {
        self.identity = Some(identity.into());
        self
    }

    /// Sets the clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets how processes share the stores.
    #[must_use]
    pub fn sharing(mut self, sharing: Sharing) -> Self {
        self.sharing = sharing;
        self
    }

    /// Sets how long a write waits for its turn.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Sets the limit for all caches together, in bytes.
    #[must_use]
    pub fn cache_budget_bytes(mut self, cache_budget_bytes: usize) -> Self {
        self.cache_budget_bytes = cache_budget_bytes;
        self
    }

    /// Sets what to do about stores whose state other logic computed.
    #[must_use]
    pub fn logic(mut self, logic: LogicPolicy) -> Self {
        self.logic = logic;
        self
    }

    /// Sets what to do about stores that the data directory does not vouch for.
    #[must_use]
    pub fn unverified(mut self, unverified: IfUnverified) -> Self {
        self.unverified = unverified;
        self
    }

    /// Sets what to do about unconfirmed copies.
    #[must_use]
    pub fn continue_copy(mut self, copied: IfCopied) -> Self {
        self.copied = copied;
        self
    }

    /// Sets the sink for progress reports.
    #[must_use]
    pub fn progress(mut self, progress: ProgressSink) -> Self {
        self.progress = progress;
        self
    }
}

/// Manages the stores of a data directory: `<dir>/stores/<store id>/state.db`. Threads can share
/// it; if several open the same store at once, they get the same instance.
///
/// The manager works on files: its backend must keep each store at the path that it is given.
#[derive(Debug)]
pub struct StoreManager {
    dir: PathBuf,
    backend: Arc<dyn StateBackend>,
    registry: Registry,
    options: ManagerOptions,
    /// `open.rs` documents the lock order.
    slots: Mutex<Slots>,
    cache_left_bytes: Mutex<usize>,
}

impl StoreManager {
    /// A manager of the stores in `dir`. Does not read or create anything yet.
    pub fn new(
        dir: impl Into<PathBuf>,
        backend: Arc<dyn StateBackend>,
        registry: Registry,
        options: ManagerOptions,
    ) -> Self {
        let cache_left_bytes = Mutex::new(options.cache_budget_bytes);
        let slots = Mutex::new(Slots::default());
        Self {
            dir: dir.into(),
            backend,
            registry,
            options,
            slots,
            cache_left_bytes,
        }
    }

    /// Sets the author of future writes. Stores that are already open keep their author.
    pub fn set_identity(&mut self, identity: impl Into<Arc<SecretKey>>) {
        self.options.identity = Some(identity.into());
    }

    /// Sets what to do from now on about stores that the data directory does not vouch for.
    pub fn set_unverified(&mut self, unverified: IfUnverified) {
        self.options.unverified = unverified;
    }

    /// Sets how many bytes the caches of all stores may take that are opened from now on. Stores
    /// that are open keep their caches.
    pub fn set_cache_budget_bytes(&mut self, cache_budget_bytes: usize) {
        let mut left = self
            .cache_left_bytes
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let used = self.options.cache_budget_bytes.saturating_sub(*left);
        *left = cache_budget_bytes.saturating_sub(used);
        drop(left);
        self.options.cache_budget_bytes = cache_budget_bytes;
    }

    /// Sets how long writes of stores that are opened from now on wait for their turn.
    pub fn set_wait(&mut self, wait: Duration) {
        self.options.wait = wait;
    }

    /// Sets what to do from now on about unconfirmed copies.
    pub fn set_continue_copy(&mut self, copied: IfCopied) {
        self.options.copied = copied;
    }

    /// The data directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The registered types.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The author that the manager writes as, if any.
    pub fn author(&self) -> Option<PubKey> {
        self.options
            .identity
            .as_ref()
            .map(|identity| identity.public())
    }

    /// The directory of all stores.
    pub fn stores_dir(&self) -> PathBuf {
        self.dir.join("stores")
    }

    /// The path of the store with this id, whether it exists or not.
    pub fn store_path(&self, store_id: StoreId) -> PathBuf {
        self.stores_dir().join(store_id.to_string()).join(STATE_DB)
    }
}
