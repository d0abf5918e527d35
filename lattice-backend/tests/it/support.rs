//! Stores to test with, hand-made ops, and a check of everything that a store reports about itself.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use lattice_backend::backend::{Direction, EVERYTHING, MemoryBackend, StateBackend};
use lattice_backend::clock::ManualClock;
use lattice_backend::engine::Engine;
use lattice_backend::engine::ingest::{Authors, IngestReport, Outcome};
use lattice_backend::engine::open::{OpenError, OpenRequest};
use lattice_backend::machine::DataRead;
use lattice_backend::op::{
    ApplyIndex, BranchTips, Op, OpDraft, OpHasher, OpKind, OpRef, SecretKey,
};
use lattice_backend::redb::RedbBackend;
use lattice_backend::state::{Accumulator, ElementHasher};
use lattice_backend::storage::MemoryDisk;
use lattice_meta::{Genesis, Hlc, Nonce, OpId, PubKey};

use crate::registers::{self, Command, Registers};

/// The time of the tests, in milliseconds since the Unix epoch.
pub(crate) const NOW_MS: u64 = 1_700_000_000_000;
pub(crate) const MINUTE_MS: u64 = 60_000;

pub(crate) type Store = Engine<Registers>;

pub(crate) fn secret(seed: u8) -> Arc<SecretKey> {
    Arc::new(SecretKey::from_bytes(&[seed; 32]))
}

/// The author of a replica, unless a test names another.
pub(crate) fn owner() -> Arc<SecretKey> {
    secret(1)
}

pub(crate) fn genesis() -> Genesis {
    Genesis::new(
        Registers::store_type(),
        owner().public(),
        Nonce::from_bytes([9; 16]),
        Hlc::from_parts(NOW_MS, 0).unwrap(),
        None,
    )
}

pub(crate) fn hasher() -> OpHasher {
    OpHasher::new(&genesis().hash())
}

/// A location with one store.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub(crate) backend: Arc<dyn StateBackend>,
    pub(crate) path: PathBuf,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) machine: Registers,
}

impl Site {
    pub(crate) fn new(backend: impl StateBackend + 'static, path: impl Into<PathBuf>) -> Self {
        let site = Self {
            backend: Arc::new(backend),
            path: path.into(),
            clock: Arc::new(ManualClock::new(NOW_MS)),
            machine: Registers::default(),
        };
        Engine::create(&*site.backend, &site.path, &genesis(), &site.machine).unwrap();
        site
    }

    pub(crate) fn memory() -> Self {
        Self::new(MemoryBackend::new(), "state.db")
    }

    /// The redb backend on a disk in memory.
    pub(crate) fn redb() -> (Self, MemoryDisk) {
        let disk = MemoryDisk::new();
        let site = Self::new(RedbBackend::on_disk(disk.clone()), "state.db");
        (site, disk)
    }

    pub(crate) fn request(&self) -> OpenRequest {
        let mut request = OpenRequest::new(Arc::clone(&self.backend), &self.path);
        request.clock = self.clock.clone();
        request
    }

    pub(crate) fn try_open(&self, request: OpenRequest) -> Result<Store, OpenError> {
        Engine::open(request, self.machine.clone())
    }

    /// Opens the store to write as its owner.
    pub(crate) fn open(&self) -> Store {
        self.open_as(owner())
    }

    pub(crate) fn open_as(&self, identity: Arc<SecretKey>) -> Store {
        self.try_open(self.request().identity(identity)).unwrap()
    }
}

/// A store in memory, open to write as this author.
pub(crate) fn replica(seed: u8) -> Store {
    Site::memory().open_as(secret(seed))
}

/// A hand-made op: after `prev` and `deps`, this many milliseconds after [`NOW_MS`].
pub(crate) fn op(
    author: &SecretKey,
    prev: Option<&Op>,
    deps: &[&Op],
    after_ms: u64,
    payload: &[u8],
) -> Op {
    let hlc = Hlc::from_parts(NOW_MS + after_ms, 0).unwrap();
    dated(author, prev, deps, hlc, payload)
}

pub(crate) fn dated(
    author: &SecretKey,
    prev: Option<&Op>,
    deps: &[&Op],
    hlc: Hlc,
    payload: &[u8],
) -> Op {
    let mut deps: Vec<OpRef> = deps.iter().map(|op| op.reference()).collect();
    deps.sort_unstable();
    let draft = OpDraft {
        kind: OpKind::Application,
        seq: prev.map_or(0, |prev| prev.reference().seq + 1),
        prev: prev.map_or(OpId::ZERO, |prev| prev.reference().id),
        hlc,
        deps,
        payload,
    };
    draft.sign(&hasher(), author).unwrap()
}

/// A chain of ops of one author.
pub(crate) fn chain(author: &SecretKey, length: usize) -> Vec<Op> {
    let mut ops = Vec::<Op>::new();
    for after_ms in (0_u64..).take(length) {
        let payload = registers::payload(b"chain", &after_ms.to_le_bytes());
        ops.push(op(author, ops.last(), &[], after_ms, &payload));
    }
    ops
}

/// Ops from a source that does not fail.
pub(crate) fn given(
    ops: impl IntoIterator<Item = Vec<u8>>,
) -> impl Iterator<Item = Result<Vec<u8>, Infallible>> {
    ops.into_iter().map(Ok)
}

pub(crate) fn bytes_of(ops: &[impl Borrow<Op>]) -> impl Iterator<Item = Vec<u8>> {
    ops.iter().map(|op| op.borrow().bytes().to_vec())
}

pub(crate) fn ingest(store: &Store, ops: &[&Op]) -> IngestReport {
    ingest_from(store, ops, &Authors::Any)
}

pub(crate) fn ingest_from(store: &Store, ops: &[&Op], whose: &Authors) -> IngestReport {
    let report = store.ingest(given(bytes_of(ops)), whose).unwrap();
    assert_eq!(report.outcomes.len(), ops.len());
    for ((id, _), op) in report.outcomes.iter().zip(ops) {
        assert_eq!(*id, Some(op.reference().id));
    }
    report
}

pub(crate) fn outcomes(report: &IngestReport) -> Vec<Outcome> {
    report
        .outcomes
        .iter()
        .map(|(_, outcome)| outcome.clone())
        .collect()
}

pub(crate) fn at(index: u64) -> ApplyIndex {
    ApplyIndex::new(index)
}

pub(crate) fn applied(index: u64) -> Outcome {
    let index = at(index);
    Outcome::Applied { index }
}

/// Sends everything that `to` lacks from `from`.
pub(crate) fn pull(from: &Store, to: &Store) -> IngestReport {
    let ops = from.ops_after(&to.branch_tips().unwrap()).unwrap();
    to.ingest(ops, &Authors::Any).unwrap()
}

pub(crate) fn append(store: &Store, key: &str, value: impl AsRef<[u8]>) -> Op {
    let receipt = store.append(Command::set(key, value)).unwrap();
    let op = store.op_at(receipt.index).unwrap().unwrap();
    assert_eq!((op.reference(), op.hlc()), (receipt.op, receipt.hlc));
    op
}

pub(crate) fn get(store: &Store, key: &str) -> Option<Vec<u8>> {
    registers::read(&store.snapshot().unwrap(), key.as_bytes())
}

pub(crate) fn history(store: &Store) -> Vec<Op> {
    let count = store.op_count().unwrap();
    (0..count)
        .map(|index| store.op_at(at(index)).unwrap().unwrap())
        .collect()
}

/// Reads the whole history and the whole state, and compares everything that the store keeps beside
/// them: state hash, frontier, tips, branches, forks.
pub(crate) fn assert_whole(store: &Store) {
    let ops = history(store);
    let count = u64::try_from(ops.len()).unwrap();
    assert_eq!(store.op_at(at(count)).unwrap(), None);
    assert!(store.effect_at(at(count)).unwrap().is_none());
    let mut named = BTreeSet::new();
    let mut followed = BTreeSet::new();
    let mut tips = BTreeMap::<PubKey, (u64, OpId)>::new();
    let mut children = BTreeMap::<(PubKey, u64, Option<OpId>), BTreeSet<OpRef>>::new();
    let mut seen = BTreeMap::<OpRef, Hlc>::new();
    for op in &ops {
        op.verify().unwrap();
        let own = op.reference();
        assert!(seen.insert(own, op.hlc()).is_none(), "{own} is there twice");
        for parent in op.parents() {
            assert!(seen[&parent] < op.hlc(), "{own} is not after {parent}");
            named.insert(parent);
        }
        followed.extend(op.prev());
        let tip = tips.entry(own.author).or_insert((own.seq, own.id));
        *tip = (*tip).max((own.seq, own.id));
        children
            .entry((own.author, own.seq, op.prev().map(|prev| prev.id)))
            .or_default()
            .insert(own);
    }
    let all: BTreeSet<OpRef> = seen.into_keys().collect();
    let frontier: Vec<OpRef> = all.difference(&named).copied().collect();
    assert_eq!(store.frontier().unwrap(), frontier);
    let ends: Vec<OpRef> = all.difference(&followed).copied().collect();
    let told = store.branch_tips().unwrap();
    assert_eq!(told.tips, ends);
    let earlier: BTreeSet<OpRef> = told.earlier.iter().copied().collect();
    assert!(told.earlier.is_sorted_by(|a, b| a < b) && earlier.is_subset(&all));
    let info = store.info().unwrap();
    let tip_ids = tips
        .iter()
        .map(|(author, (_, id))| (*author, *id))
        .collect();
    assert_eq!(info.tips, tip_ids);
    let forks: BTreeMap<_, BTreeSet<OpRef>> = store
        .forks()
        .unwrap()
        .into_iter()
        .map(|fork| ((fork.author, fork.seq), fork.ops.into_iter().collect()))
        .collect();
    // An author forks where several of its ops follow the same op.
    let mut expected = BTreeMap::<_, BTreeSet<OpRef>>::new();
    for ((author, seq, _), ops) in children {
        if ops.len() > 1 {
            expected.entry((author, seq)).or_default().extend(ops);
        }
    }
    assert_eq!(forks, expected);
    assert_eq!(rescan(store), store.state_hash().unwrap());
    assert_eq!(
        store
            .ops_after(&store.branch_tips().unwrap())
            .unwrap()
            .len(),
        0
    );
    assert_eq!(
        store.ops_after(&BranchTips::default()).unwrap().len(),
        ops.len()
    );
}

/// Computes the state hash by a scan of the state.
pub(crate) fn rescan(store: &Store) -> lattice_meta::StateHash {
    let snapshot = store.snapshot().unwrap();
    let (mut sum, leaf_hasher) = (Accumulator::default(), ElementHasher::default());
    let mut rows = snapshot.range(EVERYTHING, Direction::Forward).unwrap();
    while let Some(row) = rows.next().unwrap() {
        sum.insert(&leaf_hasher, row.key, row.value);
    }
    assert_eq!(snapshot.element_count().unwrap(), sum.element_count());
    sum.state_hash(&store.genesis().hash())
}

/// Checks what replicas of one history must agree on.
pub(crate) fn assert_converged(stores: &[&Store]) {
    for store in stores {
        assert_whole(store);
        assert_eq!(store.state_hash().unwrap(), stores[0].state_hash().unwrap());
        assert_eq!(store.frontier().unwrap(), stores[0].frontier().unwrap());
        assert_eq!(
            store.branch_tips().unwrap().tips,
            stores[0].branch_tips().unwrap().tips
        );
        assert_eq!(store.info().unwrap(), stores[0].info().unwrap());
    }
}
