//! A `data` table without a store, ops without signatures, and whole replicas.

use std::collections::{BTreeMap, btree_map};
use std::fmt::Debug;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lattice_backend::{
    Authors, BackendError, DataRead, DataWrite, Direction, Effect, Engine, History, IngestReport,
    ManualClock, MemoryBackend, OpRef, OpView, OpenOptions, OpenRequest, RedbBackend, Row,
    RowCursor, Rows, SecretKey, Span, StateBackend, StateMachine,
};
use lattice_logstore::{Entry, LogMachine, LogStore, Selection, store_type};
use lattice_meta::{Genesis, Hlc, Nonce, OpId, PubKey};
use lattice_registry::{StoreHandle, TypedStore};

/// Rows in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MapData(pub(crate) BTreeMap<Vec<u8>, Vec<u8>>);

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
            // A `BTreeMap` panics where a span is merely empty.
            (Bound::Included(start) | Bound::Excluded(start), Bound::Excluded(end))
                if start >= end =>
            {
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

struct NoHistory;

impl History for NoHistory {
    fn is_applied(&self, _op: &OpRef) -> Result<bool, BackendError> {
        panic!("a log asks nothing of history")
    }
}

/// What a log sees of an op.
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

/// Applies an op as the host does: what a void one wrote is dropped.
pub(crate) fn apply(data: &mut MapData, op: &OpView<'_>) -> Effect {
    let mut staged = data.clone();
    let effect = LogMachine::new()
        .apply(op, &mut staged, &NoHistory)
        .unwrap();
    if effect == Effect::Applied {
        *data = staged;
    }
    effect
}

/// Milliseconds at which the clocks of these tests stand at first.
pub(crate) const NOW_MS: u64 = 1_800_000_000_000;

/// A log on an engine of its own, with a clock that a test sets.
pub(crate) struct Replica {
    pub(crate) log: LogStore,
    pub(crate) clock: Arc<ManualClock>,
    backend: Arc<dyn StateBackend>,
    path: PathBuf,
    secret: [u8; 32],
    /// Removed when the last of its replicas is dropped.
    _dir: Option<Arc<tempfile::TempDir>>,
}

/// Which engine a replica is on.
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

    /// Takes what the other one has and this one has not.
    pub(crate) fn pull(&self, from: &Self) -> IngestReport {
        let known = self.log.leaves().unwrap();
        let mut ops = from.log.ops_after(&known).unwrap().map(Result::unwrap);
        self.log.ingest(&mut ops, &Authors::Any).unwrap()
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
