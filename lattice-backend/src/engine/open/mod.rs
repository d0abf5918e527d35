//! Making stores, and opening them with every check before anything is written.

mod error;
pub(crate) mod upgrade;

pub use error::OpenError;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex};

use lattice_meta::{Genesis, MetaInfo, SchemaVersion, StoreId};

use crate::backend::{
    Access, BackendError, FileError, OpenOptions, ReadTx, StateBackend, StateDb, Table, Verdict,
    WriteTx, read_meta,
};
use crate::clock::{Clock, SystemClock};
use crate::engine::write::group_commit::Group;
use crate::engine::write::signing::Signing;
use crate::engine::write::state::WriterState;
use crate::engine::{Engine, Hashed, Inner, Progress};
use crate::history::system::{GENESIS, LOGIC, Ledger, write_birth};
use crate::machine::{LogicVersion, StateMachine};
use crate::op::{OpHasher, SecretKey};
use crate::progress::Watch;
use crate::state::ElementHasher;

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
    /// What is done if other logic computed the state.
    pub logic: LogicPolicy,
    /// Who is told how far that, or a migration, is.
    pub watch: Watch,
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
            logic: LogicPolicy::default(),
            watch: Watch::nobody(),
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
    backend.create(path, &mut |tx| give_birth(tx, genesis, schema, logic))?;
    Ok(())
}

/// The first transaction of a store.
pub(crate) fn give_birth(
    tx: &mut dyn WriteTx,
    genesis: &Genesis,
    schema: SchemaVersion,
    logic: &LogicVersion,
) -> Result<Verdict, BackendError> {
    for (key, value) in MetaInfo::new(genesis, schema).rows() {
        tx.put(Table::Meta, &key, &value)?;
    }
    write_birth(tx, genesis, logic)?;
    Ok(Verdict::Commit)
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
    /// The version is recorded as it is, on the caller's word. A store that is opened for reading
    /// only is taken as it is, an older layout included.
    Trust,
    /// It is refused.
    Refuse,
}

/// What the checks of a store found.
pub(crate) struct Checked {
    pub(crate) genesis: Genesis,
    pub(crate) meta: MetaInfo,
    pub(crate) ledger: Ledger,
    /// The version of the logic that is recorded, if it is another.
    pub(crate) other_logic: Option<String>,
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
    /// is then opened for writing. An older layout is migrated, and other logic is held against the
    /// history, as the request says.
    ///
    /// # Errors
    /// See [`OpenError`]. Nothing of the store is changed by a refusal.
    pub fn open(request: OpenRequest, machine: M) -> Result<Self, OpenError> {
        let machine = Arc::new(machine);
        let read_only = OpenOptions {
            access: Access::ReadOnly,
            ..request.options
        };
        let db = request.backend.open(&request.path, &read_only)?;
        let checked = closing(&*db, check_db(&*db, &request, &*machine))?;
        if request.options.access == Access::ReadOnly {
            closing(&*db, upgrade::check_reader(&request, &checked, &*machine))?;
            return Ok(Self::assemble(db, request, checked, machine, None));
        }
        // What only a writer reads is read here too, before the file is opened for writing.
        closing(&*db, upgrade::load_writer(&*db, &checked))?;
        let proven = closing(&*db, upgrade::prove(&*db, &request, &checked, &machine))?;
        close(&*db, checked.meta.store_id)?;
        let db = request.backend.open(&request.path, &request.options)?;
        let opened = || {
            let checked = check_db(&*db, &request, &*machine)?;
            upgrade::upgrade(&*db, &request, checked, &machine, proven)
        };
        let (checked, writer) = closing(&*db, opened())?;
        Ok(Self::assemble(db, request, checked, machine, Some(writer)))
    }

    fn assemble(
        db: Arc<dyn StateDb>,
        request: OpenRequest,
        checked: Checked,
        machine: Arc<M>,
        writer: Option<WriterState>,
    ) -> Self {
        let Checked {
            genesis,
            meta,
            ledger,
            ..
        } = checked;
        let inner = Inner::new(Parts {
            machine,
            db,
            path: request.path,
            genesis,
            schema: meta.schema_version,
            identity: request.identity,
            clock: request.clock,
            applied: ledger.applied,
            writer,
        });
        Self {
            inner: Arc::new(inner),
        }
    }
}

/// What a running store is made of.
pub(crate) struct Parts<M> {
    pub(crate) machine: Arc<M>,
    pub(crate) db: Arc<dyn StateDb>,
    pub(crate) path: PathBuf,
    pub(crate) genesis: Genesis,
    pub(crate) schema: SchemaVersion,
    pub(crate) identity: Option<Arc<SecretKey>>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Ops applied.
    pub(crate) applied: u64,
    /// What a writer needs to know; nothing for a reader.
    pub(crate) writer: Option<WriterState>,
}

impl<M: StateMachine> Inner<M> {
    pub(crate) fn new(parts: Parts<M>) -> Self {
        let genesis_hash = parts.genesis.hash();
        Self {
            machine: parts.machine,
            db: parts.db,
            path: parts.path,
            genesis: parts.genesis,
            genesis_hash,
            schema: parts.schema,
            hasher: OpHasher::new(&genesis_hash),
            element_hasher: ElementHasher::default(),
            hashed: Hashed::default(),
            identity: parts.identity,
            clock: parts.clock,
            writer: parts.writer.map(Mutex::new),
            group: Group::default(),
            signing: Signing::default(),
            unusable: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            progress: Progress {
                applied: Mutex::new(parts.applied),
                changed: Condvar::new(),
            },
        }
    }
}

fn close(db: &dyn StateDb, store_id: StoreId) -> Result<(), OpenError> {
    db.close()
        .map_err(|source| OpenError::Backend { store_id, source })
}

/// Closes a file over which something was refused.
fn closing<T>(db: &dyn StateDb, outcome: Result<T, OpenError>) -> Result<T, OpenError> {
    if outcome.is_err() {
        // The refusal is what counts.
        let _ = db.close();
    }
    outcome
}

/// Checks a view of an open file.
fn check_db<M: StateMachine>(
    db: &dyn StateDb,
    request: &OpenRequest,
    machine: &M,
) -> Result<Checked, OpenError> {
    let tx = db.snapshot().map_err(|source| {
        let path = request.path.clone();
        OpenError::Peek(crate::backend::PeekError::Backend { path, source })
    })?;
    let checked = check(&*tx, &request.path, machine)?;
    let found = checked.meta.store_id;
    match request.expected.filter(|expected| *expected != found) {
        Some(expected) => Err(OpenError::OtherStore {
            path: request.path.clone(),
            expected,
            found,
        }),
        None => Ok(checked),
    }
}

/// Checks a store against its genesis and the logic at hand.
pub(crate) fn check<M: StateMachine>(
    tx: &dyn ReadTx,
    path: &Path,
    machine: &M,
) -> Result<Checked, OpenError> {
    let meta = read_meta(tx, path)?;
    let genesis = check_genesis(tx, &meta)?;
    let other_logic = check_logic(tx, &meta, machine)?;
    let store_id = meta.store_id;
    let ledger = Ledger::read(tx).map_err(|source| OpenError::Backend { store_id, source })?;
    Ok(Checked {
        genesis,
        meta,
        ledger,
        other_logic,
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

/// The logic is the store's and knows its layout. Gives the version of the logic that computed its
/// state, if it is another.
fn check_logic<M: StateMachine>(
    tx: &dyn ReadTx,
    meta: &MetaInfo,
    machine: &M,
) -> Result<Option<String>, OpenError> {
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
            does: "migrates",
            step: "; an older program migrates it to that one",
        });
    }
    let row = || BackendError::row(Table::System, "the version of the store's logic", "none");
    let recorded = tx
        .get(Table::System, LOGIC)
        .and_then(|row_found| row_found.ok_or_else(row))
        .map_err(|source| OpenError::Backend { store_id, source })?;
    let is_other = recorded != machine.logic_version().as_str().as_bytes();
    Ok(is_other.then(|| recorded.escape_ascii().to_string()))
}
