//! A store that the program wrote when rows were of schema 1.

use std::path::PathBuf;
use std::sync::Arc;

use lattice_backend::{
    Depth, Engine, LogicPolicy, OpenError, OpenOptions, OpenRequest, RedbBackend, SecretKey, Watch,
};
use lattice_kvstore::{KvMachine, KvStore, SCHEMA_VERSION};
use lattice_meta::{SchemaVersion, StateHash};
use lattice_registry::{StoreHandle, TypedStore};

use crate::support::golden::{first, lines};

/// The golden history, in a file of its own: `tests/golden/schema_1.db` was written by the last version
/// before schema 2, and is kept for ever.
fn old_store() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/schema_1.db");
    std::fs::copy(golden, &path).unwrap();
    (dir, path)
}

fn golden_hash() -> StateHash {
    let lines = lines("history.txt");
    let (_, words) = lines.iter().find(|(name, _)| name == "state_hash").unwrap();
    StateHash::from_slice(first(words)).unwrap()
}

fn request(path: &PathBuf, options: OpenOptions) -> OpenRequest {
    let mut request = OpenRequest::new(Arc::new(RedbBackend::on_files()), path);
    request.options = options;
    request
}

#[test]
fn a_store_of_schema_1_is_migrated_and_keeps_its_state() {
    let (_dir, path) = old_store();
    let request = request(&path, OpenOptions::read_write())
        .identity(Arc::new(SecretKey::from_bytes(&[9; 32])));
    let kv = KvStore::from_engine(Engine::open(request, KvMachine::new()).unwrap());
    assert_eq!(kv.info().unwrap().schema_version, SCHEMA_VERSION);
    assert_eq!(kv.state_hash().unwrap(), golden_hash());
    assert_eq!(kv.get("a").unwrap().unwrap(), b"of ann's fork");
    let heads = kv.conflicts("a").unwrap();
    assert_eq!(heads.len(), 3);
    assert_eq!(heads[0].op.seq, 1);
    // What is superseded from now on is named in full, as ever.
    kv.put("a", "of one more").unwrap();
    assert_eq!(kv.conflicts("a").unwrap().len(), 1);
    let backend = RedbBackend::on_files();
    let verified = kv
        .engine()
        .verify(Depth::Full, &backend, &Watch::default())
        .unwrap();
    assert_eq!(verified.findings, []);
}

#[test]
fn a_reader_is_told_and_leaves_the_old_rows_alone() {
    let (_dir, path) = old_store();
    let before = std::fs::read(&path).unwrap();
    let refused = Engine::open(request(&path, OpenOptions::read_only()), KvMachine::new());
    let Err(OpenError::OlderSchema { found, oldest, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!((found, oldest), (SchemaVersion::new(1), SCHEMA_VERSION));
    let mut writer = request(&path, OpenOptions::read_write());
    writer.logic = LogicPolicy::Refuse;
    let refused = Engine::open(writer, KvMachine::new());
    assert!(
        matches!(refused, Err(OpenError::LogicChanged { .. })),
        "{refused:?}"
    );
    assert!(std::fs::read(&path).unwrap() == before);
}
