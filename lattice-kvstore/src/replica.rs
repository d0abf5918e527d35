//! What a key-value store is as a replica: where it is, what it has, and what it takes from others.

use std::path::Path;

use lattice_backend::backend::BackendError;
use lattice_backend::engine::ingest::{Authors, IngestError, IngestReport};
use lattice_backend::engine::read::OpsAfter;
use lattice_backend::op::BranchTips;
use lattice_meta::{Genesis, PubKey, StateHash, StoreId};
use lattice_registry::{NamedType, StandaloneError, TypedStore, standalone};

use crate::{KvMachine, KvStore};

impl NamedType for KvStore {
    const STORE_TYPE: &'static str = crate::STORE_TYPE;
}

impl KvStore {
    /// Makes an empty store in memory, for tests and trials; it lives as long as its handles.
    ///
    /// # Errors
    /// [`StandaloneError`] if the operating system gives no random bytes, or its clock is far off.
    ///
    /// ```
    /// use lattice_kvstore::KvStore;
    ///
    /// let store = KvStore::in_memory()?;
    /// store.put("greeting", "hello")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn in_memory() -> Result<Self, StandaloneError> {
        standalone::in_memory(KvMachine::new())
    }

    /// Makes an empty store in a new file, for programs that need one store and no data directory.
    /// It is written with the key of the file `<path>.key`, which is made if it is missing.
    ///
    /// # Errors
    /// See [`StandaloneError`]. A file at `path` is never replaced.
    #[cfg(feature = "files")]
    pub fn create(path: impl AsRef<Path>) -> Result<Self, StandaloneError> {
        standalone::create(path, KvMachine::new())
    }

    /// Opens the store of a file for writing, as it is. Without a file `<path>.key` beside it, the
    /// handle reads and takes in ops of others, and does not write.
    ///
    /// # Errors
    /// See [`StandaloneError`]. A refusal changes nothing of the store.
    #[cfg(feature = "files")]
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StandaloneError> {
        standalone::open(path, KvMachine::new())
    }

    /// The store's id.
    pub fn store_id(&self) -> StoreId {
        self.engine().store_id()
    }

    /// The record that the store began with: another replica begins with the same.
    pub fn genesis(&self) -> &Genesis {
        self.engine().genesis()
    }

    /// The file that was opened.
    pub fn path(&self) -> &Path {
        self.engine().path()
    }

    /// The author that this handle writes as, if it writes.
    pub fn author(&self) -> Option<PubKey> {
        self.engine().author()
    }

    /// The hash of the whole state: equal on replicas that have applied the same ops.
    ///
    /// # Errors
    /// What the backend reports; so for all that reads.
    pub fn state_hash(&self) -> Result<StateHash, BackendError> {
        self.engine().state_hash()
    }

    /// How many ops have been applied.
    pub fn op_count(&self) -> Result<u64, BackendError> {
        self.engine().op_count()
    }

    /// The ends of all authors' branches: what another replica needs to know to send the rest.
    pub fn branch_tips(&self) -> Result<BranchTips, BackendError> {
        self.engine().branch_tips()
    }

    /// The ops that a replica which has these lacks, in causal order.
    pub fn ops_after(&self, known: &BranchTips) -> Result<OpsAfter, BackendError> {
        self.engine().ops_after(known)
    }

    /// Takes in ops of others, in any order.
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

    /// Closes the store for every clone of the handle: the file is released when this returns.
    ///
    /// # Errors
    /// What the backend reports; the file is released all the same.
    pub fn close(&self) -> Result<(), BackendError> {
        self.engine().close()
    }
}
