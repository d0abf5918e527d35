//! The first transaction of a store.

use std::path::Path;

use lattice_meta::{Genesis, MetaInfo, SchemaVersion};

use crate::backend::{BackendError, FileError, StateBackend, Table, WriteTx};
use crate::history::system::write_birth;
use crate::machine::LogicVersion;

/// Creates an empty store, for logic of which only the schema and the version are known: the file
/// holds the genesis record and the rows of `meta`. The store is closed when this returns.
///
/// # Errors
/// [`FileError::Exists`] if the file exists, and what the backend reports. After an error, no new
/// file is left.
pub fn create_store(
    backend: &dyn StateBackend,
    path: &Path,
    genesis: &Genesis,
    schema: SchemaVersion,
    logic: &LogicVersion,
) -> Result<(), FileError> {
    backend.create(path, &mut |tx| give_birth(tx, genesis, schema, logic))
}

/// The first transaction of a store.
pub(crate) fn give_birth(
    tx: &mut dyn WriteTx,
    genesis: &Genesis,
    schema: SchemaVersion,
    logic: &LogicVersion,
) -> Result<(), BackendError> {
    for (key, value) in MetaInfo::new(genesis, schema).rows() {
        tx.put(Table::Meta, &key, &value)?;
    }
    write_birth(tx, genesis, logic)
}
