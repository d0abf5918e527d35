//! The stores of a data directory.

mod building;
mod compact;
mod copies;
mod create;
mod destroy;
mod error;
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
pub use rebuild::RebuiltStore;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use lattice_backend::backend::{Sharing, StateBackend};
use lattice_backend::clock::{Clock, SystemClock};
use lattice_backend::engine::open::LogicPolicy;
use lattice_backend::op::SecretKey;
use lattice_backend::progress::Watch;
use lattice_meta::{PubKey, StoreId};

use crate::Registry;
use open::Slots;

/// The name of a store's file in its directory.
const STATE_DB: &str = "state.db";

/// How a manager opens stores.
#[derive(Debug, Clone)]
pub struct ManagerOptions {
    /// Who writes, and owns new stores; nothing for a manager that only reads.
    pub identity: Option<Arc<SecretKey>>,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// How processes share the stores.
    pub sharing: Sharing,
    /// The most memory for the caches of all open stores together, in bytes. Every store gets half
    /// of what is left, and 64 KiB at the least.
    pub cache_budget_bytes: usize,
    /// What is done about stores whose state other logic has computed.
    pub logic: LogicPolicy,
    /// Who is told how far long pieces of work are.
    pub watch: Watch,
}

impl ManagerOptions {
    /// Writes as this author, by the system's clock, with readers in other processes and 256 MiB
    /// for caches.
    pub fn new(identity: impl Into<Arc<SecretKey>>) -> Self {
        Self {
            identity: Some(identity.into()),
            ..Self::reader()
        }
    }

    /// The same without an identity: stores can be read, and take in ops of others.
    pub fn reader() -> Self {
        Self {
            identity: None,
            clock: Arc::new(SystemClock),
            sharing: Sharing::default(),
            cache_budget_bytes: 256 << 20,
            logic: LogicPolicy::default(),
            watch: Watch::nobody(),
        }
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
