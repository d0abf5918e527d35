//! The stores of a data directory.

mod building;
mod compact;
mod copies;
mod create;
mod destroy;
mod error;
mod fs;
mod list;
mod migrate;
mod open;
mod rebuild;
mod verify;

pub use compact::Compacted;
pub use copies::{IfThere, RestoredStore};
pub use error::ManagerError;
pub use list::Listed;
pub use migrate::Migrated;
pub use open::Found;
pub use rebuild::RebuiltStore;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use lattice_backend::backend::{Sharing, StateBackend};
use lattice_backend::clock::{Clock, SystemClock};
use lattice_backend::engine::open::LogicPolicy;
use lattice_backend::op::SecretKey;
use lattice_backend::progress::ProgressSink;
use lattice_meta::{PubKey, StoreId};

use crate::Registry;
use open::Slots;

/// The name of a store's file in its directory.
const STATE_DB: &str = "state.db";

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
    /// The author that writes, and that owns new stores. A manager that only reads has none.
    pub identity: Option<Arc<SecretKey>>,
    /// Gives the time.
    pub clock: Arc<dyn Clock>,
    /// How processes share the stores.
    pub sharing: Sharing,
    /// The most memory for the caches of all open stores together, in bytes. Every store gets half
    /// of what is left, and at least 64 KiB.
    pub cache_budget_bytes: usize,
    /// What is done about stores whose state other logic has computed.
    pub logic: LogicPolicy,
    /// Receives progress reports.
    pub progress: ProgressSink,
}

impl ManagerOptions {
    /// Writes as this author, by the system's clock, with readers in other processes and 256 MiB
    /// for caches.
    pub fn new(identity: impl Into<Arc<SecretKey>>) -> Self {
        Self::reader().identity(identity)
    }

    /// The same without an identity: the manager reads stores, and ingests ops of other authors.
    pub fn reader() -> Self {
        Self {
            identity: None,
            clock: Arc::new(SystemClock),
            sharing: Sharing::default(),
            cache_budget_bytes: 256 << 20,
            logic: LogicPolicy::default(),
            progress: ProgressSink::none(),
        }
    }

    /// Writes as this author.
    #[must_use]
    pub fn identity(mut self, identity: impl Into<Arc<SecretKey>>) -> Self {
        self.identity = Some(identity.into());
        self
    }

    /// Takes the time from this clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Shares the stores with other processes in this way.
    #[must_use]
    pub fn sharing(mut self, sharing: Sharing) -> Self {
        self.sharing = sharing;
        self
    }

    /// Gives all caches together this many bytes.
    #[must_use]
    pub fn cache_budget_bytes(mut self, cache_budget_bytes: usize) -> Self {
        self.cache_budget_bytes = cache_budget_bytes;
        self
    }

    /// Treats stores of other logic in this way.
    #[must_use]
    pub fn logic(mut self, logic: LogicPolicy) -> Self {
        self.logic = logic;
        self
    }

    /// Reports progress to this sink.
    #[must_use]
    pub fn progress(mut self, progress: ProgressSink) -> Self {
        self.progress = progress;
        self
    }
}

/// Owns the stores of a data directory: `<dir>/stores/<store id>/state.db`. It can be shared by
/// threads; opening a store from many of them at once gives one instance.
///
/// The manager works on files: its backend must keep a store at the path that it is given.
#[derive(Debug)]
pub struct StoreManager {
    dir: PathBuf,
    backend: Arc<dyn StateBackend>,
    registry: Registry,
    options: ManagerOptions,
    /// `open.rs` says in which order this lock and those below it are taken.
    slots: Mutex<Slots>,
    cache_left_bytes: Mutex<usize>,
}

impl StoreManager {
    /// A manager of the stores in `dir`. Nothing is read or made yet.
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

    /// Writes as this author from now on. Stores that are open already keep the author that they
    /// were opened with.
    pub fn set_identity(&mut self, identity: impl Into<Arc<SecretKey>>) {
        self.options.identity = Some(identity.into());
    }

    /// The data directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Which types there are.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The author that the stores are written as, if this manager writes.
    pub fn author(&self) -> Option<PubKey> {
        self.options
            .identity
            .as_ref()
            .map(|identity| identity.public())
    }

    /// Where all stores are.
    pub fn stores_dir(&self) -> PathBuf {
        self.dir.join("stores")
    }

    /// Where a store of this id is, or would be.
    pub fn store_path(&self, store_id: StoreId) -> PathBuf {
        self.stores_dir().join(store_id.to_string()).join(STATE_DB)
    }
}
