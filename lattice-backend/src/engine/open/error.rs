//! Why a store cannot be opened.

use std::path::PathBuf;

use lattice_meta::{GenesisError, SchemaVersion, StoreId, StoreType};

use crate::backend::{BackendError, Cause, FileError, PeekError};
use crate::engine::verify::Difference;
use crate::machine::LogicVersion;

/// Why a store cannot be opened. The store is unchanged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file cannot be opened.
    #[error(transparent)]
    File(#[from] FileError),
    /// The `meta` table cannot be read.
    #[error(transparent)]
    Peek(PeekError),
    /// The file holds a different store than the expected one.
    #[error("expected store {expected} at {}, found store {found}", path.display())]
    OtherStore {
        /// The file.
        path: PathBuf,
        /// The expected store.
        expected: StoreId,
        /// The store found.
        found: StoreId,
    },
    /// The store has no genesis record: another implementation wrote it.
    #[error(
        "store {store_id} has no genesis record in its `system` table; it can be peeked at, but not opened"
    )]
    NoGenesis {
        /// The id in its `meta` table.
        store_id: StoreId,
    },
    /// The genesis record cannot be read.
    #[error("store {store_id} has a damaged genesis record")]
    Genesis {
        /// The id in its `meta` table.
        store_id: StoreId,
        /// What is wrong with the record.
        #[source]
        source: GenesisError,
    },
    /// The id in `meta` differs from the one that the genesis certifies.
    #[error(
        "the `meta` table says store {found}, the genesis record certifies {certified}: one of them was changed"
    )]
    IdAgainstGenesis {
        /// What the genesis certifies.
        certified: StoreId,
        /// What `meta` says.
        found: StoreId,
    },
    /// The type in `meta` differs from the one in the genesis.
    #[error(
        "the `meta` table of store {store_id} says type {found}, its genesis record says {certified}: the type was changed"
    )]
    TypeAgainstGenesis {
        /// The store.
        store_id: StoreId,
        /// What the genesis says.
        certified: StoreType,
        /// What `meta` says.
        found: StoreType,
    },
    /// The store has a different type than the given logic.
    #[error("store {store_id} is of type {found}, not {expected}")]
    OtherType {
        /// The store.
        store_id: StoreId,
        /// The type of the given logic.
        expected: StoreType,
        /// The store's type.
        found: StoreType,
    },
    /// A newer program has migrated the store's layout.
    #[error(
        "store {store_id} has schema version {found}, newer than {newest}, the newest that this program supports for {store_type}; update the program"
    )]
    NewerSchema {
        /// The store.
        store_id: StoreId,
        /// Its type.
        store_type: StoreType,
        /// The newest version that the logic opens.
        newest: SchemaVersion,
        /// The version found.
        found: SchemaVersion,
    },
    /// The store's layout is older than the newest one, and a store opened for reading only cannot
    /// be migrated.
    #[error(
        "store {store_id} has schema version {found}, older than {newest}, the oldest that this program reads for {store_type}; open it once for writing, or run `lattice upgrade STORE`, to migrate it"
    )]
    NeedsMigration {
        /// The store.
        store_id: StoreId,
        /// Its type.
        store_type: StoreType,
        /// The version that the logic reads.
        newest: SchemaVersion,
        /// The version found.
        found: SchemaVersion,
    },
    /// The store's layout is older than any that the logic can migrate.
    #[error(
        "store {store_id} has schema version {found}, older than {oldest}, the oldest that this program migrates for {store_type}; open it first with an older program that migrates it to {oldest}, or recompute its state with `lattice rebuild STORE`"
    )]
    OlderSchema {
        /// The store.
        store_id: StoreId,
        /// Its type.
        store_type: StoreType,
        /// The oldest version that the logic migrates.
        oldest: SchemaVersion,
        /// The version found.
        found: SchemaVersion,
    },
    /// Other logic computed the state, and no replay has shown that the given logic agrees.
    #[error(
        "logic {recorded} computed the state of store {store_id}, and no replay has verified yet that this program's logic {current} agrees; open it once for writing, or run `lattice upgrade STORE`, to verify it"
    )]
    LogicChanged {
        /// The store.
        store_id: StoreId,
        /// The version that the store records.
        recorded: String,
        /// The version of the given logic.
        current: LogicVersion,
    },
    /// The state differs from the replay of the history by this program's logic.
    #[error(
        "store {store_id} cannot be opened: logic {recorded} computed its state, and a replay of its history by logic {current} differs: {difference}; open it with the program that wrote it, or recompute its state with `lattice rebuild STORE`"
    )]
    LogicDiffers {
        /// The store.
        store_id: StoreId,
        /// The version that the store records.
        recorded: String,
        /// The version of the given logic.
        current: LogicVersion,
        /// The number of replayed ops.
        ops: u64,
        /// Where the store and the replay differ.
        difference: Box<Difference>,
    },
    /// A migration of the layout would change the meaning of the state. It was rolled back.
    #[error(
        "migrating store {store_id} from schema {from} to {to} would change its state: {difference}; nothing was changed. `lattice rebuild STORE` computes the new rows from the history instead"
    )]
    MigrationDiffers {
        /// The store.
        store_id: StoreId,
        /// The current layout.
        from: SchemaVersion,
        /// The layout that the migration would produce.
        to: SchemaVersion,
        /// Where the states differ.
        difference: Box<Difference>,
    },
    /// The store's history cannot be replayed to its end.
    #[error("the history of store {store_id} cannot be replayed: {}", faults.join("; "))]
    History {
        /// The store.
        store_id: StoreId,
        /// What is wrong with the history.
        faults: Vec<String>,
    },
    /// The opener of the store's type cannot rebuild stores.
    #[error("stores of type {store_type} cannot be rebuilt: their opener does not support it")]
    NoRebuild {
        /// The store's type.
        store_type: StoreType,
    },
    /// The opener of the store's type could not provide its logic.
    #[error("the logic of {store_type} is not available")]
    Opener {
        /// The store's type.
        store_type: StoreType,
        /// The opener's error.
        #[source]
        source: Cause,
    },
    /// A table of the store is damaged, or reading it failed.
    #[error("store {store_id} cannot be read")]
    Backend {
        /// The store.
        store_id: StoreId,
        /// The backend's error.
        #[source]
        source: BackendError,
    },
}

impl From<PeekError> for OpenError {
    fn from(error: PeekError) -> Self {
        match error {
            PeekError::File(error) => Self::File(error),
            error => Self::Peek(error),
        }
    }
}
