//! Making stores, and opening them with every check before anything is written.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex};

use lattice_meta::{Genesis, MetaInfo, SchemaVersion, StoreId};

use super::group::Group;
use super::state::WriterState;
use super::{Engine, Inner, OpenError, Progress};
use crate::backend::{Access, FileError, OpenOptions, StateBackend, StateDb, Verdict, read_meta};
use crate::state_hash::LeafHasher;
use crate::system::{GENESIS, LOGIC, Ledger, write_birth};
use crate::tx::{ReadTx, Table};
use crate::{BackendError, Clock, LogicVersion, OpHasher, SecretKey, StateMachine, SystemClock};

/// What is opened, and how.
#[derive(Debug, Clone)]
pub struct OpenRequest {
    /// The engine underneath.
    pub backend: Arc<dyn StateBackend>,
    /// The store's `state.db`.
    pub path: PathBuf,
    /// Access, sharing and cache.
    pub options: OpenOptions,
    /// The store that it must be, if the caller knows.
    pub expected: Option<StoreId>,
    /// Who writes; needed for commands, not for reading or ingest.
    pub identity: Option<Arc<SecretKey>>,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
}

impl OpenRequest {
    /// For reading and writing, whichever store it is, by the system's clock.
    pub fn new(backend: Arc<dyn StateBackend>, path: impl Into<PathBuf>) -> Self {
        Self {
            backend,
            path: path.into(),
            options: OpenOptions::read_write(),
            expected: None,
            identity: None,
            clock: Arc::new(SystemClock),
        }
    }

    /// Writes as this author.
    #[must_use]
    pub fn identity(mut self, identity: Arc<SecretKey>) -> Self {
        self.identity = Some(identity);
        self
    }
}

/// Why a store cannot be made. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The file cannot be made.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Makes an empty store, for logic of which only this much is known: its file holds the genesis
/// record and what `meta` says of it. It is closed when this returns.
///
/// # Errors
/// See [`CreateError`].
pub fn create_store(
    backend: &dyn StateBackend,
    path: &Path,
    genesis: &Genesis,
    schema: SchemaVersion,
    logic: &LogicVersion,
) -> Result<(), CreateError> {
    let meta = MetaInfo::new(genesis, schema);
    backend.create(path, &mut |tx| {
        for (key, value) in meta.rows() {
            tx.put(Table::Meta, &key, &value)?;
        }
        write_birth(tx, genesis, logic)?;
        Ok(Verdict::Commit)
    })?;
    Ok(())
}

/// What the checks of a store found.
struct Checked {
    genesis: Genesis,
    meta: MetaInfo,
    /// Ops applied.
    applied: u64,
    /// What a writer needs to know; nothing for a reader.
    writer: Option<WriterState>,
}

impl<M: StateMachine> Engine<M> {
    /// Makes an empty store with the newest schema of its logic. It is closed when this returns.
    ///
    /// # Errors
    /// See [`CreateError`].
    pub fn create(
        backend: &dyn StateBackend,
        path: &Path,
        genesis: &Genesis,
        machine: &M,
    ) -> Result<(), CreateError> {
        create_store(
            backend,
            path,
            genesis,
            *machine.schemas().end(),
            &machine.logic_version(),
        )
    }

    /// Opens a store: its `meta` table against its genesis, the id asked for, the type, schema and
    /// version of the logic are checked while the file is open for reading only, and again in what
    /// is then opened for writing.
    ///
    /// # Errors
    /// See [`OpenError`]. Nothing of the store is changed by a refusal.
    pub fn open(request: OpenRequest, machine: M) -> Result<Self, OpenError> {
        let OpenRequest {
            backend,
            path,
            options,
            ..
        } = &request;
        let read_only = OpenOptions {
            access: Access::ReadOnly,
            ..*options
        };
        let mut db = backend.open(path, &read_only)?;
        let mut checked = check_db(&*db, &request, &machine)?;
        if options.access == Access::ReadWrite {
            close(&*db, checked.meta.store_id)?;
            db = backend.open(path, options)?;
            checked = check_db(&*db, &request, &machine)?;
        }
        Ok(Self::assemble(db, request, checked, machine))
    }

    fn assemble(db: Arc<dyn StateDb>, request: OpenRequest, checked: Checked, machine: M) -> Self {
        let Checked {
            genesis,
            meta,
            applied,
            writer,
        } = checked;
        let genesis_hash = genesis.hash();
        let inner = Inner {
            machine,
            db,
            path: request.path,
            genesis,
            genesis_hash,
            schema: meta.schema_version,
            hasher: OpHasher::new(&genesis_hash),
            leaf_hasher: LeafHasher::default(),
            identity: request.identity,
            clock: request.clock,
            writer: writer.map(Mutex::new),
            group: Group::default(),
            unusable: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            progress: Progress {
                applied: Mutex::new(applied),
                changed: Condvar::new(),
            },
        };
        Self {
            inner: Arc::new(inner),
        }
    }
}

fn close(db: &dyn StateDb, store_id: StoreId) -> Result<(), OpenError> {
    db.close()
        .map_err(|source| OpenError::Backend { store_id, source })
}

/// Checks a view of an open file; closes it if it does not pass.
fn check_db<M: StateMachine>(
    db: &dyn StateDb,
    request: &OpenRequest,
    machine: &M,
) -> Result<Checked, OpenError> {
    let checked = db
        .snapshot()
        .map_err(|source| {
            let path = request.path.clone();
            OpenError::Peek(crate::PeekError::Backend { path, source })
        })
        .and_then(|tx| check(&*tx, request, machine));
    if checked.is_err() {
        // The refusal is what counts.
        let _ = db.close();
    }
    checked
}

fn check<M: StateMachine>(
    tx: &dyn ReadTx,
    request: &OpenRequest,
    machine: &M,
) -> Result<Checked, OpenError> {
    let meta = read_meta(tx, &request.path)?;
    if let Some(expected) = request
        .expected
        .filter(|expected| *expected != meta.store_id)
    {
        let path = request.path.clone();
        return Err(OpenError::OtherStore {
            path,
            expected,
            found: meta.store_id,
        });
    }
    let genesis = check_genesis(tx, &meta)?;
    check_logic(tx, &meta, machine)?;
    let store_id = meta.store_id;
    let failed = |source| OpenError::Backend { store_id, source };
    let applied = Ledger::read(tx).map_err(failed)?.applied;
    let writer = match request.options.access {
        Access::ReadOnly => None,
        Access::ReadWrite => {
            let hasher = OpHasher::new(&genesis.hash());
            Some(WriterState::load(tx, &hasher).map_err(failed)?)
        }
    };
    Ok(Checked {
        genesis,
        meta,
        applied,
        writer,
    })
}

/// The genesis record certifies the id and the type that `meta` says.
fn check_genesis(tx: &dyn ReadTx, meta: &MetaInfo) -> Result<Genesis, OpenError> {
    let store_id = meta.store_id;
    let bytes = tx
        .get(Table::System, GENESIS)
        .map_err(|source| OpenError::Backend { store_id, source })?
        .ok_or(OpenError::NoGenesis { store_id })?;
    let genesis =
        Genesis::decode(&bytes).map_err(|source| OpenError::Genesis { store_id, source })?;
    let certified = genesis.store_id();
    if certified != store_id {
        return Err(OpenError::IdAgainstGenesis {
            certified,
            found: store_id,
        });
    }
    if *genesis.store_type() != meta.store_type {
        return Err(OpenError::TypeAgainstGenesis {
            store_id,
            certified: genesis.store_type().clone(),
            found: meta.store_type.clone(),
        });
    }
    Ok(genesis)
}

/// The logic is the store's, knows its layout, and is the one that computed its state.
fn check_logic<M: StateMachine>(
    tx: &dyn ReadTx,
    meta: &MetaInfo,
    machine: &M,
) -> Result<(), OpenError> {
    let MetaInfo {
        store_id,
        store_type,
        schema_version,
        ..
    } = meta.clone();
    if store_type != *machine.store_type() {
        let expected = machine.store_type().clone();
        return Err(OpenError::OtherType {
            store_id,
            expected,
            found: store_type,
        });
    }
    let schemas = machine.schemas();
    let (oldest, newest) = (*schemas.start(), *schemas.end());
    if schema_version > newest {
        return Err(OpenError::NewerSchema {
            store_id,
            store_type,
            newest,
            found: schema_version,
        });
    }
    if schema_version < oldest {
        return Err(OpenError::OlderSchema {
            store_id,
            store_type,
            oldest,
            found: schema_version,
        });
    }
    let row = || BackendError::row(Table::System, "the version of the store's logic", "none");
    let recorded = tx
        .get(Table::System, LOGIC)
        .and_then(|row_found| row_found.ok_or_else(row))
        .map_err(|source| OpenError::Backend { store_id, source })?;
    let current = machine.logic_version();
    if recorded != current.as_str().as_bytes() {
        let recorded = recorded.escape_ascii().to_string();
        return Err(OpenError::LogicChanged {
            store_id,
            recorded,
            current,
        });
    }
    Ok(())
}
