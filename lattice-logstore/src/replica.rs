//! A log as a replica: its location, its history, and the ops it ingests.

use std::path::Path;

use lattice_backend::backend::BackendError;
use lattice_backend::engine::ingest::{Authors, IngestError, IngestReport};
use lattice_backend::engine::read::OpsAfter;
use lattice_backend::op::BranchTips;
use lattice_meta::{Genesis, PubKey, StateHash, StoreId};
use lattice_registry::{NamedType, StandaloneError, TypedStore, standalone};

use crate::{LogMachine, LogStore};

impl NamedType for LogStore {
    const STORE_TYPE: &'static str = crate::STORE_TYPE;
}

impl LogStore {
    /// Creates an empty store in memory, for tests and trials. It lives as long as its handles.
    ///
    /// # Errors
    /// [`StandaloneError`] if the system has no random bytes, or its clock is far off.
    ///
    /// ```
    /// use lattice_logstore::LogStore;
    ///
    /// let store = LogStore::in_memory()?;
    /// store.append("hello")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn in_memory() -> Result<Self, StandaloneError> {
        standalone::in_memory(LogMachine::new())
    }

    /// Creates an empty store in a new file, for programs that need no data directory. It writes
    /// with the key in the file `<path>.key`, which is created if missing.
    ///
    /// # Errors
    /// See [`StandaloneError`]. A file at `path` is never replaced.
    #[cfg(feature = "files")]
    pub fn create(path: impl AsRef<Path>) -> Result<Self, StandaloneError> {
        standalone::create(path, LogMachine::new())
    }

    /// Opens an existing store file for writing. Without a key file `<path>.key`, the handle reads
    /// and ingests foreign ops, and cannot write.
    ///
    /// # Errors
    /// See [`StandaloneError`]. A refusal does not change the store.
    #[cfg(feature = "files")]
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StandaloneError> {
        standalone::open(path, LogMachine::new())
    }

    /// The store's id.
    pub fn store_id(&self) -> StoreId {
        self.engine().store_id()
    }

    /// The genesis record of the store, which all its replicas share.
    pub fn genesis(&self) -> &Genesis {
        self.engine().genesis()
    }

    /// The path of the open file.
    pub fn path(&self) -> &Path {
        self.engine().path()
    }

    /// The author that this handle writes as, if it can write.
    pub fn author(&self) -> Option<PubKey> {
        self.engine().author()
    }

    /// The hash of the whole state: equal on replicas that have applied the same ops.
    ///
    /// # Errors
    /// Errors of the backend; the same holds for all methods that read.
    pub fn state_hash(&self) -> Result<StateHash, BackendError> {
        self.engine().state_hash()
    }

    /// The number of applied ops.
    pub fn op_count(&self) -> Result<u64, BackendError> {
        self.engine().op_count()
    }

    /// The ends of all branches of all authors: with them another replica can send the rest.
    pub fn branch_tips(&self) -> Result<BranchTips, BackendError> {
        self.engine().branch_tips()
    }

    /// The ops that a replica with these branch tips lacks, in causal order.
    pub fn ops_after(&self, known: &BranchTips) -> Result<OpsAfter, BackendError> {
        self.engine().ops_after(known)
    }

    /// Ingests foreign ops, in any order.
    ///
    /// # Errors
    /// See [`IngestError`].
    pub fn ingest<E>(
        &self,
        ops: impl IntoIterator<Item = Result<Vec<u8>, E>>,
        whose: &Authors,
    ) -> Result<IngestReport, IngestError<E>> {
        self.engine().ingest(ops, whose)
    }

    /// Closes the store for every clone of the handle. The file is released when this returns.
    ///
    /// # Errors
    /// Errors of the backend; the file is released all the same.
    pub fn close(&self) -> Result<(), BackendError> {
        self.engine().close()
    }
}
