//! A `data` table without a store, ops without signatures, and whole replicas.

use std::collections::{BTreeMap, btree_map};
use std::fmt::Debug;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lattice_backend::backend::{
    BackendError, Direction, MemoryBackend, OpenOptions, Row, RowCursor, Rows, Span, StateBackend,
};
use lattice_backend::clock::ManualClock;
use lattice_backend::engine::Engine;
use lattice_backend::engine::ingest::{Authors, IngestReport};
use lattice_backend::engine::open::OpenRequest;
use lattice_backend::machine::{
    Args, CallError, DataRead, DataWrite, History, MachineError, MethodCall, StateMachine, Value,
};
use lattice_backend::op::{ApplyIndex, OpKind, OpRef, OpView, SecretKey, Stamp};
use lattice_backend::redb::RedbBackend;
use lattice_logstore::{Entry, LogMachine, LogStore, SCHEMA_VERSION, Selection, store_type};
use lattice_meta::{Genesis, Hlc, Nonce, OpId, PubKey};
use lattice_registry::TypedStore;

/// Rows in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MapData(pub(crate) BTreeMap<Vec<u8>, Vec<u8>>);

/// Ops in memory; the position of an op is its apply index.
#[derive(Debug, Clone, Default)]
pub(crate) struct Past(Vec<(Stamp, Vec<u8>)>);

/// A state and the history that it was computed from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Host {
    pub(crate) data: MapData,
    pub(crate) past: Past,
}

impl Host {
    /// Applies an op as the engine does; returns whether its payload is valid.
    pub(crate) fn apply(&mut self, op: &OpView<'_>) -> bool {
        let index = ApplyIndex::new(self.past.count().unwrap());
        let op = OpView { index, ..*op };
        let machine = LogMachine::new();
        let entries = machine.decode(op.payload).ok();
        let is_valid = entries.is_some();
        machine
            .run(
                OpKind::Application,
                &op,
                entries,
                &mut self.data,
                &self.past,
            )
            .unwrap();
        self.record(&op);
        is_valid
    }

    /// Records an op without applying it.
    pub(crate) fn record(&mut self, op: &OpView<'_>) {
        let stamp = Stamp {
            hlc: op.hlc,
            op: op.reference,
        };
        self.past.0.push((stamp, op.payload.to_vec()));
    }

    /// The elements of the state.
    pub(crate) fn elements(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut elements = Vec::new();
        let mut take = |key: &[u8], value: &[u8]| elements.push((key.to_vec(), value.to_vec()));
        for (key, value) in &self.data.0 {
            LogMachine::new()
                .elements(SCHEMA_VERSION, Row { key, value }, &self.past, &mut take)
                .unwrap();
        }
        elements
    }

    pub(crate) fn query(
        &self,
        method: &str,
        args: Value,
    ) -> Result<Value, MachineError<CallError>> {
        let machine = LogMachine::new();
        let mut methods = machine.methods().iter();
        let entry = methods.find(|entry| entry.method.name == method).unwrap();
        let MethodCall::Query(query) = entry.call else {
            panic!("{method} is not a query");
        };
        let args = args.to_bytes();
        let args = Args::new(&entry.method, &args)?;
        query(&machine, args, &self.data, &self.past)
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
        let rows = match span {
            // `BTreeMap::range` panics on a span that is merely empty.
            (Bound::Included(start) | Bound::Excluded(start), Bound::Excluded(end))
                if start >= end =>
            {
                btree_map::Range::default()
            }
            (Bound::Included(start), Bound::Included(end)) if start > end => {
                btree_map::Range::default()
            }
            span => self.0.range::<[u8], _>(span),
        };
        Ok(Box::new(MapCursor { rows, direction }))
    }
}

impl DataWrite for MapData {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), BackendError> {
        self.0.insert(key.to_vec(), value.to_vec());
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) -> Result<(), BackendError> {
        self.0.remove(key);
        Ok(())
    }
}

impl Past {
    fn at(&self, index: ApplyIndex) -> Result<&(Stamp, Vec<u8>), BackendError> {
        let place = usize::try_from(index.get()).unwrap();
        self.0.get(place).ok_or_else(|| BackendError::Damaged {
            detail: format!("no op {index}"),
        })
    }
}

impl History for Past {
    fn count(&self) -> Result<u64, BackendError> {
        Ok(u64::try_from(self.0.len()).unwrap())
    }

    fn index_of(&self, _: &OpRef) -> Result<Option<ApplyIndex>, BackendError> {
        panic!("a log does not ask for apply indexes")
    }

    fn stamp(&self, index: ApplyIndex) -> Result<Stamp, BackendError> {
        Ok(self.at(index)?.0)
    }

    fn show(
        &self,
        index: ApplyIndex,
        see: &mut dyn FnMut(&OpView<'_>),
    ) -> Result<(), BackendError> {
        let (stamp, payload) = self.at(index)?;
        see(&OpView {
            index,
            reference: stamp.op,
            hlc: stamp.hlc,
            payload,
        });
        Ok(())
    }
}

/// The fields of an op that a log sees.
#[derive(Debug, Clone)]
pub(crate) struct FakeOp {
    pub(crate) author: u8,
    pub(crate) hlc: u64,
    pub(crate) id: [u8; 32],
    pub(crate) payload: Vec<u8>,
}

impl FakeOp {
    pub(crate) fn author(&self) -> PubKey {
        PubKey::from_bytes([self.author; 32])
    }

    pub(crate) fn view(&self) -> OpView<'_> {
        OpView {
            index: ApplyIndex::FIRST,
            reference: OpRef {
                author: self.author(),
                seq: 0,
                id: OpId::from_bytes(self.id),
            },
            hlc: Hlc::from_u64(self.hlc),
            payload: &self.payload,
        }
    }
}

/// Initial time of the clocks of these tests, in milliseconds.
pub(crate) const NOW_MS: u64 = 1_800_000_000_000;

/// A log on a backend of its own, with a clock that the test sets.
pub(crate) struct Replica {
    pub(crate) log: LogStore,
    pub(crate) clock: Arc<ManualClock>,
    backend: Arc<dyn StateBackend>,
    path: PathBuf,
    secret: [u8; 32],
    /// Removed when the last replica in it is dropped.
    _dir: Option<Arc<tempfile::TempDir>>,
}

/// The backend of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum On {
    Memory,
    Redb,
}

impl On {
    pub(crate) const ALL: [Self; 2] = [Self::Memory, Self::Redb];
}

/// The genesis of a log whose owner has the secret key of one repeated byte.
pub(crate) fn genesis(owner: u8) -> Genesis {
    let owner = SecretKey::from_bytes(&[owner; 32]).public();
    Genesis::new(
        store_type(),
        owner,
        Nonce::from_bytes([9; 16]),
        Hlc::ZERO,
        None,
    )
}

impl Replica {
    /// A new replica of a log, whose author has the secret key of one repeated byte.
    pub(crate) fn of(genesis: &Genesis, on: On, author: u8) -> Self {
        let (backend, path, dir): (Arc<dyn StateBackend>, PathBuf, _) = match on {
            On::Memory => (Arc::new(MemoryBackend::new()), "log".into(), None),
            On::Redb => {
                let dir = tempfile::tempdir().unwrap();
                let path = dir.path().join("state.db");
                (Arc::new(RedbBackend::on_files()), path, Some(Arc::new(dir)))
            }
        };
        Engine::create(&*backend, &path, genesis, &LogMachine::new()).unwrap();
        let clock = Arc::new(ManualClock::new(NOW_MS));
        let secret = [author; 32];
        let log = open(&backend, &path, &clock, secret, OpenOptions::read_write());
        Self {
            log,
            clock,
            backend,
            path,
            secret,
            _dir: dir,
        }
    }

    /// A log with one author.
    pub(crate) fn new(on: On) -> Self {
        Self::of(&genesis(1), on, 1)
    }

    /// The same store, closed and opened again.
    pub(crate) fn reopened(self, options: OpenOptions) -> Self {
        self.log.close().unwrap();
        let log = open(&self.backend, &self.path, &self.clock, self.secret, options);
        Self { log, ..self }
    }

    /// Ingests the ops that the other replica has and this one lacks.
    pub(crate) fn pull(&self, from: &Self) -> IngestReport {
        let known = self.log.branch_tips().unwrap();
        let ops = from.log.ops_after(&known).unwrap();
        self.log.engine().ingest(ops, &Authors::Any).unwrap()
    }

    pub(crate) fn contents(&self) -> Vec<Vec<u8>> {
        contents(self.log.read(Selection::all()).unwrap())
    }
}

pub(crate) fn contents<E: Debug>(entries: impl Iterator<Item = Result<Entry, E>>) -> Vec<Vec<u8>> {
    entries.map(|entry| entry.unwrap().content).collect()
}

fn open(
    backend: &Arc<dyn StateBackend>,
    path: &Path,
    clock: &Arc<ManualClock>,
    secret: [u8; 32],
    options: OpenOptions,
) -> LogStore {
    let identity = Arc::new(SecretKey::from_bytes(&secret));
    let mut request = OpenRequest::new(Arc::clone(backend), path).identity(identity);
    request.clock = Arc::<ManualClock>::clone(clock);
    request.options = options;
    LogStore::from_engine(Engine::open(request, LogMachine::new()).unwrap())
}
