//! What is opened, and how.

use std::path::PathBuf;
use std::sync::Arc;

use lattice_meta::StoreId;

use crate::backend::{Access, OpenOptions, Sharing, StateBackend, StateDb};
use crate::clock::{Clock, SystemClock};
use crate::op::SecretKey;
use crate::progress::ProgressSink;

/// What is opened, and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OpenRequest {
    /// The backend that keeps the store.
    pub backend: Arc<dyn StateBackend>,
    /// The store's `state.db`.
    pub path: PathBuf,
    /// Access, sharing and cache.
    pub options: OpenOptions,
    /// The same file, open for reading already. A store that is opened for writing is checked
    /// there, in place of opening the file once more, and it is closed then.
    pub reader: Option<Arc<dyn StateDb>>,
    /// The store that it must be, if the caller knows.
    pub expected: Option<StoreId>,
    /// The author that writes; needed for commands, not for reading or ingest.
    pub identity: Option<Arc<SecretKey>>,
    /// Gives the time.
    pub clock: Arc<dyn Clock>,
    /// What is done if other logic computed the state.
    pub logic: LogicPolicy,
    /// Receives progress reports of a replay or a migration.
    pub progress: ProgressSink,
}

impl OpenRequest {
    /// For reading and writing, whichever store it is, by the system's clock.
    pub fn new(backend: Arc<dyn StateBackend>, path: impl Into<PathBuf>) -> Self {
        Self {
            backend,
            path: path.into(),
            options: OpenOptions::read_write(),
            reader: None,
            expected: None,
            identity: None,
            clock: Arc::new(SystemClock),
            logic: LogicPolicy::default(),
            progress: ProgressSink::none(),
        }
    }

    /// Opens the file with these options, all of them at once.
    #[must_use]
    pub fn options(mut self, options: OpenOptions) -> Self {
        self.options = options;
        self
    }

    /// Checks the store in this open file before it is opened for writing; see
    /// [`reader`](Self::reader).
    #[must_use]
    pub fn reader(mut self, reader: Arc<dyn StateDb>) -> Self {
        self.reader = Some(reader);
        self
    }

    /// Opens the file for this.
    #[must_use]
    pub fn access(mut self, access: Access) -> Self {
        self.options.access = access;
        self
    }

    /// Shares the file with other processes in this way.
    #[must_use]
    pub fn sharing(mut self, sharing: Sharing) -> Self {
        self.options.sharing = sharing;
        self
    }

    /// Gives the cache this many bytes.
    #[must_use]
    pub fn cache_bytes(mut self, cache_bytes: usize) -> Self {
        self.options.cache_bytes = cache_bytes;
        self
    }

    /// Refuses every store but this one.
    #[must_use]
    pub fn expected(mut self, store_id: StoreId) -> Self {
        self.expected = Some(store_id);
        self
    }

    /// Writes as this author.
    #[must_use]
    pub fn identity(mut self, identity: impl Into<Option<Arc<SecretKey>>>) -> Self {
        self.identity = identity.into();
        self
    }

    /// Takes the time from this clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Treats a store of other logic in this way.
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

/// What is done about a store whose state was computed by another version of the logic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LogicPolicy {
    /// Its history is replayed by the logic at hand, and effects, state hash and rows are compared.
    /// Where they are equal the new version is recorded, and not replayed again; else the store is
    /// refused. A store that is opened for reading only is refused without a replay, since nothing
    /// could be recorded.
    #[default]
    Replay,
    /// The same, also for a version that the logic at hand is said to be equal to. The store then
    /// records the version at hand.
    Prove,
    /// The version is recorded as it is, on the caller's word. A store that is opened for reading
    /// only is taken as it is, an older layout included.
    Trust,
    /// It is refused.
    Refuse,
}
