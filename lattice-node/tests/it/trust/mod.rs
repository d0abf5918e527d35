//! What is believed about stores: copies, unverified stores, and clones of a data directory.

mod clones;
mod copies;
mod restore;
mod unverified;

use std::fs;
use std::path::{Path, PathBuf};

use lattice_backend::backend::{Direction, Result, Row, Rows, Span};
use lattice_backend::engine::Engine;
use lattice_backend::machine::{
    DataRead, DataWrite, History, Invalid, Logic, MachineError, StateMachine,
};
use lattice_backend::op::OpView;
use lattice_kvstore::{Command, KvMachine, KvRefusal, Payload};
use lattice_meta::SchemaVersion;
use lattice_node::{Access, Node, Registry};
use lattice_registry::{EngineOpener, TypedStore};
use redb::{Database, ReadableDatabase, TableDefinition};
use serde_json::Value;

use crate::lattice;

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

fn state_db(dir: &Path, id: &str) -> PathBuf {
    dir.join("stores").join(id).join("state.db")
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

/// Logic that claims to be that of key-value stores, and writes another value than the op has. Its
/// rows and its state hash match each other.
struct Liar {
    machine: KvMachine,
    logic: Logic,
}

#[derive(Debug, Clone)]
struct Lied(Engine<Liar>);

impl TypedStore for Lied {
    type Machine = Liar;

    fn from_engine(engine: Engine<Liar>) -> Self {
        Self(engine)
    }

    fn engine(&self) -> &Engine<Liar> {
        &self.0
    }
}

/// Writes `forged` where the op says `honest`.
struct Forging<'a>(&'a mut dyn DataWrite);

impl DataRead for Forging<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.0.get(key)
    }

    fn range(&self, span: Span<'_>, direction: Direction) -> Result<Rows<'_>> {
        self.0.range(span, direction)
    }
}

impl DataWrite for Forging<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let mut value = value.to_vec();
        let found = value.windows(6).position(|part| part == b"honest");
        if let Some(at) = found {
            value[at..at + 6].copy_from_slice(b"forged");
        }
        self.0.put(key, &value)
    }

    fn remove(&mut self, key: &[u8]) -> Result<()> {
        self.0.remove(key)
    }
}

impl StateMachine for Liar {
    type Command = Command;
    type Refusal = KvRefusal;
    type Payload<'a> = Payload<'a>;

    fn logic(&self) -> &Logic {
        &self.logic
    }

    fn decode<'a>(&self, payload: &'a [u8]) -> Result<Payload<'a>, Invalid> {
        self.machine.decode(payload)
    }

    fn prepare(
        &self,
        command: &Command,
        data: &dyn DataRead,
        history: &dyn History,
    ) -> Result<Vec<u8>, MachineError<KvRefusal>> {
        self.machine.prepare(command, data, history)
    }

    fn apply(
        &self,
        op: &OpView<'_>,
        payload: Payload<'_>,
        data: &mut dyn DataWrite,
        history: &dyn History,
    ) -> Result<()> {
        self.machine.apply(op, payload, &mut Forging(data), history)
    }

    fn elements(
        &self,
        schema: SchemaVersion,
        row: Row<'_>,
        history: &dyn History,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<()> {
        self.machine.elements(schema, row, history, each)
    }
}

/// Makes a store with one key in a data directory. The op says `honest`, and the row `forged`; the
/// quick verification finds nothing. Returns the store's id.
fn with_forged_row(dir: &Path) -> String {
    let machine = || Liar {
        machine: KvMachine::new(),
        logic: KvMachine::new().logic().clone(),
    };
    let mut registry = Registry::new();
    let opener = EngineOpener::<Lied>::new(machine);
    registry
        .register(lattice_kvstore::store_type(), opener)
        .unwrap();
    let node = Node::builder(dir).registry(registry).open().unwrap();
    let id = node
        .manager()
        .create(&lattice_kvstore::store_type())
        .unwrap();
    let store = node.manager().open(id, Access::ReadWrite).unwrap();
    let mut command = Command::new();
    command.put("key", "honest");
    let lied = store.downcast_ref::<Lied>().unwrap();
    lied.0.append(command).unwrap();
    node.manager().close_all().unwrap();
    id.to_string()
}

/// Copies the file of a store elsewhere, as a program that knows nothing of stores does.
fn copy_raw(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(from, to).unwrap();
}
