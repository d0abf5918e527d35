//! What is believed about stores: copies, unverified stores, and clones of a data directory.

mod clones;
mod copies;
mod restore;
mod unverified;

use std::fs;
use std::path::{Path, PathBuf};

use lattice_backend::backend::Table;
use lattice_backend::state::ElementHasher;
use lattice_backend::state::lthash::{LTHASH_BYTES, LtHash};
use lattice_meta::OpId;
use redb::{Database, ReadableDatabase, TableDefinition};
use serde_json::Value;

use crate::{edit, lattice, printed, state_db};

/// A directory with data directories and files.
pub(crate) struct World(tempfile::TempDir);

impl World {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }
}

/// What a command ended with: its exit code, its standard output, and its standard error.
fn ran(dir: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = lattice(dir, arguments);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// A command that succeeds; returns its standard error.
fn noted(dir: &Path, arguments: &[&str]) -> String {
    let (code, _, noted) = ran(dir, arguments);
    assert_eq!(code, 0, "{arguments:?}: {noted}");
    noted
}

/// A command that fails with this exit code; returns its standard error.
fn failed(dir: &Path, code: i32, arguments: &[&str]) -> String {
    let (ended, _, said) = ran(dir, arguments);
    assert_eq!(ended, code, "{arguments:?}: {said}");
    said
}

/// A command that succeeds, as JSON.
fn json(dir: &Path, arguments: &[&str]) -> Value {
    let (code, printed, said) = ran(dir, &[&["--json"], arguments].concat());
    assert_eq!(code, 0, "{arguments:?}: {said}");
    serde_json::from_str(&printed).unwrap()
}

/// The number of ops of a store.
fn ops(dir: &Path, store: &str) -> u64 {
    json(dir, &["info", store])["ops"].as_u64().unwrap()
}

/// The sequence numbers at which an author of a store has forked.
fn forks(dir: &Path, store: &str) -> u64 {
    json(dir, &["info", store])["forks"].as_u64().unwrap()
}

/// Zeroes the signature of the first op of a file; the backend's checksums are right.
fn without_first_signature(file: &Path) {
    let first = 0_u64.to_be_bytes();
    let ops: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("ops");
    let database = Database::open(file).unwrap();
    // A long op has several parts, whose keys begin alike; the signature is at the end.
    let (key, mut row) = {
        let table = database.begin_read().unwrap().open_table(ops).unwrap();
        let second = 1_u64.to_be_bytes();
        let parts = table.range(&first[..]..&second[..]).unwrap();
        let (key, row) = parts.last().unwrap().unwrap();
        (key.value().to_vec(), row.value().to_vec())
    };
    assert!(row.len() > 64);
    let signature = row.len() - 64;
    row[signature..].fill(0);
    let tx = database.begin_write().unwrap();
    tx.open_table(ops)
        .unwrap()
        .insert(&key[..], &row[..])
        .unwrap();
    tx.commit().unwrap();
}

/// Makes a store with one key in a data directory. The op says `honest`, and the row in `data`
/// `forged`; the sum over the elements fits the row, so the quick verification finds nothing.
/// Returns the store's id.
fn with_forged_row(dir: &Path) -> String {
    let id = printed(dir, &["create", "core:kvstore"]).trim().to_owned();
    let op: OpId = json(dir, &["put", &id, "key", "honest"])["op"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let element_key = [b"key", &op.as_bytes()[..]].concat();
    edit(&state_db(dir, &id), |tx| {
        let mut row = tx.get(Table::Data, b"ckey").unwrap().unwrap();
        let value = row.len() - b"honest".len();
        assert_eq!(&row[value..], b"honest");
        row[value..].copy_from_slice(b"forged");
        tx.put(Table::Data, b"ckey", &row).unwrap();
        let mut ledger = tx.get(Table::System, b"ledger").unwrap().unwrap();
        let sum = ledger.last_chunk_mut::<LTHASH_BYTES>().unwrap();
        let (mut forged, hasher) = (LtHash::from_bytes(sum), ElementHasher::default());
        forged.remove(&hasher.expand(&element_key, b"honest"));
        forged.add(&hasher.expand(&element_key, b"forged"));
        *sum = forged.to_bytes();
        tx.put(Table::System, b"ledger", &ledger).unwrap();
    });
    id
}

/// Copies the file of a store elsewhere, as a program that knows nothing of stores does.
fn copy_raw(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(from, to).unwrap();
}
