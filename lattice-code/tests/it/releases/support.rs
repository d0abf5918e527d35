//! Releases for tests, a `data` table without a store, and whole replicas.

use std::collections::{BTreeMap, btree_map};
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use lattice_backend::backend::{
    BackendError, Direction, MemoryBackend, Row, RowCursor, Rows, Span, StateBackend,
};
use lattice_backend::clock::ManualClock;
use lattice_backend::engine::Engine;
use lattice_backend::engine::ingest::{Authors, IngestReport};
use lattice_backend::engine::open::OpenRequest;
use lattice_backend::machine::{
    Args, CallError, DataRead, DataWrite, History, MachineError, MethodCall, StateMachine, Value,
};
use lattice_backend::op::{ApplyIndex, OpRef, OpView, SecretKey, Stamp};
use lattice_backend::redb::RedbBackend;
use lattice_code::releases::{
    Publish, ReleaseCommand, ReleaseMachine, ReleaseStore, Withdraw, store_type,
};
use lattice_meta::{Cid, Genesis, Hlc, Nonce, OpId, PubKey};
use lattice_registry::{StoreHandle, TypedStore};

pub(super) const CHAT: &str = "org.example.chat";
/// It has the name of [`CHAT`] as a prefix.
pub(super) const CHAT_V2: &str = "org.example.chat.v2";

/// A release of a module of one repeated byte.
pub(super) fn publish(store_type: &str, release: u64, module: u8) -> Publish {
    Publish {
        store_type: store_type.parse().unwrap(),
        release,
        cid: cid(module),
        length: 1000,
        abi: 1,
        schemas: (1, 2),
        replaces: None,
        notes: format!("module {module}"),
    }
}

pub(super) fn withdraw(module: u8, reason: &str) -> Withdraw {
    Withdraw {
        cid: cid(module),
        reason: reason.into(),
    }
}

pub(super) fn cid(module: u8) -> Cid {
    Cid::of(&[module])
}

/// Rows in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct MapData(pub(super) BTreeMap<Vec<u8>, Vec<u8>>);

impl MapData {
    /// Applies a valid command of an author, as an op with an id of one repeated byte.
    pub(super) fn apply(&mut self, author: u8, hlc: u64, id: u8, command: ReleaseCommand) {
        let op = OpView {
            index: ApplyIndex::FIRST,
            reference: OpRef {
                author: PubKey::from_bytes([author; 32]),
                seq: 0,
                id: OpId::from_bytes([id; 32]),
            },
            hlc: Hlc::from_u64(hlc),
            payload: &[],
        };
        let machine = ReleaseMachine::new();
        machine.apply(&op, command, self, &NoHistory).unwrap();
    }

    pub(super) fn query(
        &self,
        method: &str,
        args: Value,
    ) -> Result<Value, MachineError<CallError>> {
        let machine = ReleaseMachine::new();
        let mut methods = machine.methods().iter();
        let entry = methods.find(|entry| entry.method.name == method).unwrap();
        let MethodCall::Query(query) = entry.call else {
            panic!("{method} is not a query");
        };
        query(
            &machine,
            Args::new(&entry.method, &args.to_bytes())?,
            self,
            &NoHistory,
        )
    }

    /// The answer of a query that must succeed.
    pub(super) fn list(&self, method: &str, args: Value) -> Vec<Value> {
        match self.query(method, args) {
            Ok(Value::List(values)) => values,
            other => panic!("{other:?}"),
        }
    }
}

struct MapCursor<'a> {
    rows: btree_map::Range<'a, Vec<u8>, Vec<u8>>,
    direction: Direction,
}

impl RowCursor for MapCursor<'_> {
    fn next(&mut self) -> Result<Option<Row<'_>>, BackendError> {
        let next = match self.direction {
            Direction::Forward => self.rows.next(),
            Direction::Backward => self.rows.next_back(),
        };
        Ok(next.map(|(key, value)| Row { key, value }))
    }
}

impl DataRead for MapData {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, BackendError> {
        Ok(self.0.get(key).cloned())
    }

    fn range(&self, span: Span<'_>, direction: Direction) -> Result<Rows<'_>, BackendError> {
        let rows = self.0.range::<[u8], _>(span);
        Ok(Box::new(MapCursor { rows, direction }))
    }
}

impl DataWrite for MapData {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), BackendError> {
        let old = self.0.insert(key.to_vec(), value.to_vec());
        assert_eq!(old, None, "a row was overwritten");
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) -> Result<(), BackendError> {
        panic!("a registry removes no row, and {key:?} was removed");
    }
}

/// A registry asks nothing about history.
pub(super) struct NoHistory;

impl History for NoHistory {
    fn count(&self) -> Result<u64, BackendError> {
        panic!("the count of ops was read")
    }

    fn index_of(&self, op: &OpRef) -> Result<Option<ApplyIndex>, BackendError> {
        panic!("the apply index of {op:?} was read")
    }

    fn stamp(&self, index: ApplyIndex) -> Result<Stamp, BackendError> {
        panic!("the stamp of {index} was read")
    }

    fn show(&self, index: ApplyIndex, _: &mut dyn FnMut(&OpView<'_>)) -> Result<(), BackendError> {
        panic!("op {index} was read")
    }
}

/// Initial time of the clocks of these tests, in milliseconds.
pub(super) const NOW_MS: u64 = 1_800_000_000_000;

/// The backend of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum On {
    Memory,
    Redb,
}

/// A registry on a backend of its own, with a clock that the test sets.
pub(super) struct Replica {
    pub(super) store: ReleaseStore,
    pub(super) clock: Arc<ManualClock>,
    _dir: Option<tempfile::TempDir>,
}

pub(super) fn key(author: u8) -> SecretKey {
    SecretKey::from_bytes(&[author; 32])
}

pub(super) fn genesis() -> Genesis {
    let nonce = Nonce::from_bytes([9; 16]);
    Genesis::new(store_type(), key(1).public(), nonce, Hlc::ZERO, None)
}

impl Replica {
    /// A new replica of a registry, whose author has the secret key of one repeated byte.
    pub(super) fn of(genesis: &Genesis, on: On, author: u8) -> Self {
        let (backend, path, dir): (Arc<dyn StateBackend>, PathBuf, _) = match on {
            On::Memory => (Arc::new(MemoryBackend::new()), "registry".into(), None),
            On::Redb => {
                let dir = tempfile::tempdir().unwrap();
                let path = dir.path().join("state.db");
                (Arc::new(RedbBackend::on_files()), path, Some(dir))
            }
        };
        Engine::create(&*backend, &path, genesis, &ReleaseMachine::new()).unwrap();
        let clock = Arc::new(ManualClock::new(NOW_MS));
        let mut request = OpenRequest::new(backend, &path).identity(Arc::new(key(author)));
        request.clock = Arc::<ManualClock>::clone(&clock);
        let engine = Engine::open(request, ReleaseMachine::new()).unwrap();
        Self {
            store: ReleaseStore::from_engine(engine),
            clock,
            _dir: dir,
        }
    }

    pub(super) fn new(on: On, author: u8) -> Self {
        Self::of(&genesis(), on, author)
    }

    /// Ingests the ops that the other replica has and this one lacks.
    pub(super) fn pull(&self, from: &Self) -> IngestReport {
        let known = self.store.branch_tips().unwrap();
        let ops = StoreHandle::ops_after(&from.store, &known).unwrap();
        self.store.engine().ingest(ops, &Authors::Any).unwrap()
    }

    /// Ingests ops in their encoded form.
    pub(super) fn take(&self, ops: impl IntoIterator<Item = Vec<u8>>) -> IngestReport {
        let ops = ops.into_iter().map(Ok::<_, Infallible>);
        self.store.engine().ingest(ops, &Authors::Any).unwrap()
    }
}
