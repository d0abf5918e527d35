//! Stores on real backends.

use lattice_backend::progress::ProgressSink;
use std::path::PathBuf;
use std::sync::Arc;

use lattice_backend::backend::{MemoryBackend, StateBackend};
use lattice_backend::clock::ManualClock;
use lattice_backend::engine::Engine;
use lattice_backend::engine::ingest::{Authors, IngestReport};
use lattice_backend::engine::open::OpenRequest;
use lattice_backend::op::{Op, OpDraft, OpKind, OpRef, SecretKey};
use lattice_backend::redb::RedbBackend;
use lattice_kvstore::{KvMachine, KvStore, store_type};
use lattice_meta::{Genesis, Hlc, Nonce, OpId};
use lattice_registry::TypedStore;

use super::bytes::{TestWrite, payload};

/// Initial time of the clocks of these tests, in milliseconds.
pub(crate) const NOW_MS: u64 = 1_800_000_000_000;

/// The backend of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum On {
    Memory,
    Redb,
}

impl On {
    pub(crate) const EACH: [Self; 2] = [Self::Memory, Self::Redb];
}

/// A store on a backend of its own, with a clock that the test sets.
pub(crate) struct Replica {
    pub(crate) kv: KvStore,
    pub(crate) clock: Arc<ManualClock>,
    backend: Arc<dyn StateBackend>,
    path: PathBuf,
    author: u8,
    _dir: Option<tempfile::TempDir>,
}

pub(crate) fn genesis() -> Genesis {
    let owner = SecretKey::from_bytes(&[1; 32]).public();
    Genesis::new(
        store_type(),
        owner,
        Nonce::from_bytes([1; 16]),
        Hlc::ZERO,
        None,
    )
}

impl Replica {
    /// A store that is writable as its owner.
    pub(crate) fn new(on: On) -> Self {
        Self::of(&genesis(), on, 1)
    }

    /// A replica of the store with this genesis, written as the author with this number.
    pub(crate) fn of(genesis: &Genesis, on: On, author: u8) -> Self {
        let (backend, path, dir): (Arc<dyn StateBackend>, PathBuf, _) = match on {
            On::Memory => (Arc::new(MemoryBackend::new()), "kv".into(), None),
            On::Redb => {
                let dir = tempfile::tempdir().unwrap();
                let path = dir.path().join("state.db");
                (Arc::new(RedbBackend::on_files()), path, Some(dir))
            }
        };
        Engine::create(&*backend, &path, genesis, &KvMachine::new()).unwrap();
        let clock = Arc::new(ManualClock::new(NOW_MS));
        let kv = open(&backend, &path, author, &clock);
        Self {
            kv,
            clock,
            backend,
            path,
            author,
            _dir: dir,
        }
    }

    /// Closes the store and opens it again.
    pub(crate) fn reopen(&mut self) {
        self.kv.close().unwrap();
        self.kv = open(&self.backend, &self.path, self.author, &self.clock);
    }

    /// A copy of the current store, which continues as the same author.
    pub(crate) fn restored_copy(&self) -> Self {
        let backend: Arc<dyn StateBackend> = Arc::clone(&self.backend);
        let count = self.kv.op_count().unwrap();
        let path = PathBuf::from(format!("{}-{count}-{:p}", self.path.display(), self));
        let path = (0..)
            .map(|nth| PathBuf::from(format!("{}-{nth}", path.display())))
            .find(|path| backend.peek_info(path).is_err())
            .unwrap();
        backend
            .backup(&self.path, &path, &mut |_| Ok(()), &ProgressSink::none())
            .unwrap();
        let clock = Arc::new(ManualClock::new(NOW_MS));
        Self {
            kv: open(&backend, &path, self.author, &clock),
            clock,
            backend,
            path,
            author: self.author,
            _dir: None,
        }
    }

    /// Ingests all ops that the other replica has and this one lacks.
    pub(crate) fn pull(&self, other: &Self) -> IngestReport {
        let ops = other.kv.ops_after(&self.kv.branch_tips().unwrap()).unwrap();
        let report = self.kv.engine().ingest(ops, &Authors::Any).unwrap();
        assert!(report.is_complete(), "{report:?}");
        report
    }

    /// Ingests these ops.
    pub(crate) fn take(&self, ops: impl IntoIterator<Item = Vec<u8>>) -> IngestReport {
        let mut ops = ops.into_iter().map(Ok::<_, std::convert::Infallible>);
        self.kv.ingest(&mut ops, &Authors::Any).unwrap()
    }

    /// The first op of an author whose secret is derived from this number.
    pub(crate) fn foreign(&self, author: u32, deps: &[OpRef], writes: &[TestWrite]) -> Op {
        let mut secret = [0xfe; 32];
        secret[..4].copy_from_slice(&author.to_le_bytes());
        let draft = OpDraft {
            kind: OpKind::Application,
            seq: 0,
            prev: OpId::ZERO,
            hlc: Hlc::from_parts(NOW_MS, 1000).unwrap(),
            deps: deps.to_vec(),
            payload: &payload(writes),
        };
        draft
            .sign(self.kv.engine().hasher(), &SecretKey::from_bytes(&secret))
            .unwrap()
    }
}

fn open(
    backend: &Arc<dyn StateBackend>,
    path: &std::path::Path,
    author: u8,
    clock: &Arc<ManualClock>,
) -> KvStore {
    let mut request = OpenRequest::new(Arc::clone(backend), path)
        .identity(Arc::new(SecretKey::from_bytes(&[author; 32])));
    request.clock = clock.clone();
    KvStore::from_engine(Engine::open(request, KvMachine::new()).unwrap())
}
