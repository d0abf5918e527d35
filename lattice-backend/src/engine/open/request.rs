//! Which store is opened, and how.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lattice_meta::StoreId;

use crate::backend::{Access, OpenOptions, Sharing, StateBackend, StateDb};
use crate::clock::{Clock, SystemClock};
use crate::op::SecretKey;
use crate::progress::ProgressSink;

/// Which store is opened, and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OpenRequest {
    /// The backend that stores the data.
    pub backend: Arc<dyn StateBackend>,
    /// The store's `state.db`.
    pub path: PathBuf,
    /// Access, sharing and cache size.
    pub options: OpenOptions,
    /// The same file, already open for reading. A store opened for writing is first checked through
    /// this handle instead of a new one, and the handle is then closed.
    pub reader: Option<Arc<dyn StateDb>>,
    /// The expected store, if the caller knows it.
    pub expected: Option<StoreId>,
    /// The author that writes; required for commands, not for reading or ingest.
    pub identity: Option<Arc<SecretKey>>,
    /// The source of the time.
    pub clock: Arc<dyn Clock>,
    /// What to do if other logic computed the state.
    pub logic: LogicPolicy,
    /// What to do if the store is an unconfirmed copy.
    pub copied: IfCopied,
    /// Receives progress reports of a replay or a migration.
    pub progress: ProgressSink,
}

impl OpenRequest {
    /// Requests read and write access to any store, with the system's clock.
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
            copied: IfCopied::default(),
            progress: ProgressSink::none(),
        }
    }

    /// Replaces all options of the file.
    #[must_use]
    pub fn options(mut self, options: OpenOptions) -> Self {
        self.options = options;
        self
    }

    /// Checks the store through this open file before it is opened for writing; see
    /// [`reader`](Self::reader).
    #[must_use]
    pub fn reader(mut self, reader: Arc<dyn StateDb>) -> Self {
        self.reader = Some(reader);
        self
    }

    /// Opens the file with this access.
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

    /// Waits this long for the turn to write.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.options.wait = wait;
        self
    }

    /// Sets the size of the cache in bytes.
    #[must_use]
    pub fn cache_bytes(mut self, cache_bytes: usize) -> Self {
        self.options.cache_bytes = cache_bytes;
        self
    }

    /// Refuses every other store.
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

    /// Reads the time from this clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Applies this policy to a store whose state other logic computed.
    #[must_use]
    pub fn logic(mut self, logic: LogicPolicy) -> Self {
        self.logic = logic;
        self
    }

    /// Writes to an unconfirmed copy, or refuses to.
    #[must_use]
    pub fn continue_copy(mut self, copied: IfCopied) -> Self {
        self.copied = copied;
        self
    }

    /// Reports progress to this sink.
    #[must_use]
    pub fn progress(mut self, progress: ProgressSink) -> Self {
        self.progress = progress;
        self
    }
}

/// What to do with a store that is an unconfirmed copy, whose author may have written ops that the
/// copy lacks. Writing then forks the author.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum IfCopied {
    /// Refuses the author's first write
    /// ([`AppendError::CopyUnconfirmed`](crate::engine::write::AppendError::CopyUnconfirmed)).
    #[default]
    Refuse,
    /// Takes the caller's word that the author has written nothing that the copy lacks: opening
    /// the store for writing removes the mark of the copy.
    Continue,
}

/// What to do with a store whose state was computed by another version of the logic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LogicPolicy {
    /// Replays the history by the given logic and compares effects, state hash and rows. If all are
    /// equal, records the new version, so that later opens need no replay; otherwise refuses the
    /// store. A store opened for reading only is refused without a replay, since the result could
    /// not be recorded.
    #[default]
    Replay,
    /// The same, even for a version that the given logic declares itself equal to. The store then
    /// records the given logic's version.
    Prove,
    /// Records the given logic's version without a replay, on the caller's word. A store opened for
    /// reading only is accepted unchanged, even with an older layout.
    Trust,
    /// Refuses the store.
    Refuse,
}
