//! Checks a store before it is opened; writes nothing.

use std::path::Path;

use lattice_meta::{Genesis, MetaInfo};

use crate::backend::{BackendError, PeekError, ReadTx, StateDb, Table, check_journal, read_meta};
use crate::engine::open::error::OpenError;
use crate::engine::open::request::{LogicPolicy, OpenRequest};
use crate::history::system::{GENESIS, LOGIC, Ledger};
use crate::machine::Logic;
use crate::op::OpHasher;

/// The results of the checks.
pub(crate) struct Checked {
    pub(crate) genesis: Genesis,
    pub(crate) meta: MetaInfo,
    pub(crate) ledger: Ledger,
    /// The recorded version of the logic.
    pub(crate) recorded_logic: String,
    /// The recorded version, unless the given logic computes the same state.
    pub(crate) other_logic: Option<String>,
}

impl Checked {
    /// Whether the store has an older layout, or other logic computed its state.
    pub(crate) fn needs_upgrade(&self, logic: &Logic) -> bool {
        self.meta.schema_version < logic.newest_schema() || self.other_logic.is_some()
    }

    /// Computes op ids of the store.
    pub(crate) fn hasher(&self) -> OpHasher {
        OpHasher::new(&self.genesis.hash())
    }
}

/// Checks a view of an open file.
pub(crate) fn check_db(
    db: &dyn StateDb,
    request: &OpenRequest,
    logic: &Logic,
) -> Result<Checked, OpenError> {
    let tx = db.snapshot().map_err(|source| {
        let path = request.path.clone();
        OpenError::Peek(PeekError::Backend { path, source })
    })?;
    let mut checked = check(&*tx, &request.path, logic)?;
    check_oldest(&checked.meta, logic)?;
    if request.logic == LogicPolicy::Prove {
        let recorded = Some(&checked.recorded_logic);
        checked.other_logic = recorded
            .filter(|recorded| **recorded != logic.version().as_str())
            .cloned();
    }
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

/// Checks a store against its genesis and the given logic.
pub(crate) fn check(tx: &dyn ReadTx, path: &Path, logic: &Logic) -> Result<Checked, OpenError> {
    let meta = read_meta(tx).map_err(|fault| fault.at(path))?;
    check_journal(tx).map_err(|source| OpenError::Backend {
        store_id: meta.store_id,
        source,
    })?;
    let genesis = check_genesis(tx, &meta)?;
    let recorded_logic = check_logic(tx, &meta, logic)?;
    let other_logic = (!logic.computes_as(&recorded_logic)).then(|| recorded_logic.clone());
    let store_id = meta.store_id;
    let ledger = Ledger::read(tx).map_err(|source| OpenError::Backend { store_id, source })?;
    Ok(Checked {
        genesis,
        meta,
        ledger,
        recorded_logic,
        other_logic,
    })
}

/// Checks that the genesis record certifies the id and the type in `meta`.
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

/// Checks that the logic reads or migrates the layout. A rebuild reads no rows and needs no such
/// check.
fn check_oldest(meta: &MetaInfo, logic: &Logic) -> Result<(), OpenError> {
    let oldest = logic.oldest_schema();
    match meta.schema_version < oldest {
        true => Err(OpenError::OlderSchema {
            store_id: meta.store_id,
            store_type: meta.store_type.clone(),
            oldest,
            found: meta.schema_version,
        }),
        false => Ok(()),
    }
}

/// Checks that the logic has the store's type and that its layout is not newer. Returns the version
/// of the logic that computed its state.
fn check_logic(tx: &dyn ReadTx, meta: &MetaInfo, logic: &Logic) -> Result<String, OpenError> {
    let MetaInfo {
        store_id,
        store_type,
        schema_version,
        ..
    } = meta.clone();
    if store_type != *logic.store_type() {
        let expected = logic.store_type().clone();
        return Err(OpenError::OtherType {
            store_id,
            expected,
            found: store_type,
        });
    }
    let newest = logic.newest_schema();
    if schema_version > newest {
        return Err(OpenError::NewerSchema {
            store_id,
            store_type,
            newest,
            found: schema_version,
        });
    }
    let row = || BackendError::row(Table::System, "the version of the store's logic", "none");
    let recorded = tx
        .get(Table::System, LOGIC)
        .and_then(|row_found| row_found.ok_or_else(row))
        .map_err(|source| OpenError::Backend { store_id, source })?;
    Ok(recorded.escape_ascii().to_string())
}
