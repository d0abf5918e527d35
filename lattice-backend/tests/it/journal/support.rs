//! Rows of a store as a map, and stores with a journal.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lattice_backend::backend::{
    BackendError, Direction, EVERYTHING, FileError, OpenOptions, ReadTx, Result, StateBackend,
    StateDb, Table,
};

pub(super) const STORE: &str = "state.db";

/// All rows of a store but the journal's own.
pub(super) type Model = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

pub(super) fn store() -> &'static Path {
    Path::new(STORE)
}

pub(super) fn segment(file: usize) -> PathBuf {
    PathBuf::from(format!("{STORE}.journal-{file}"))
}

/// All rows of a view.
pub(super) fn rows(tx: &dyn ReadTx) -> Result<Model> {
    let mut found = Model::new();
    for table in Table::ALL {
        let mut rows = tx.range(table, EVERYTHING, Direction::Forward)?;
        while let Some(row) = rows.next()? {
            found.insert((table, row.key.to_vec()), row.value.to_vec());
        }
    }
    Ok(found)
}

/// Opens the store. What it reports of the journal is the same error as of a call on the store.
pub(super) fn open(backend: &dyn StateBackend, options: &OpenOptions) -> Result<Arc<dyn StateDb>> {
    backend.open(store(), options).map_err(|error| match error {
        FileError::Damaged { detail, .. } => BackendError::Damaged { detail },
        FileError::JournalMissing { name, .. } => BackendError::JournalMissing { name },
        FileError::NotAStore { .. } => BackendError::Damaged {
            detail: "no store".to_owned(),
        },
        FileError::Io { source, .. } => match source.downcast::<BackendError>() {
            Ok(error) => *error,
            Err(error) => BackendError::storage("opening", error),
        },
        error => BackendError::storage("opening", error),
    })
}

/// What a reader finds in the store.
pub(super) fn read(backend: &dyn StateBackend) -> Result<Model> {
    let db = open(backend, &OpenOptions::read_only())?;
    let found = db.snapshot().and_then(|view| rows(&*view));
    db.close()?;
    found
}

/// Opens the store for writing, and returns what its first transaction sees.
pub(super) fn recover(backend: &dyn StateBackend) -> Result<Model> {
    recover_and(backend, &mut || {})
}

/// The same, with a look at the disk during the transaction: after it, an idle session may end.
pub(super) fn recover_and(backend: &dyn StateBackend, look: &mut dyn FnMut()) -> Result<Model> {
    let db = open(backend, &OpenOptions::read_write())?;
    let found = db.begin_write().and_then(|tx| {
        look();
        rows(&*tx)
    });
    // Leaves the store as it is.
    std::mem::forget(db);
    found
}

/// The number that an environment variable sets.
pub(super) fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("the variable is a number"))
}
