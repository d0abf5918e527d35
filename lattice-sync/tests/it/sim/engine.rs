//! The same networks over real stores: engines of `core:kvstore` in memory.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lattice_backend::backend::{MemoryBackend, StateBackend};
use lattice_backend::clock::ManualClock;
use lattice_backend::engine::Engine;
use lattice_backend::engine::ingest::{Authors, Outcome, Rejection};
use lattice_backend::engine::open::OpenRequest;
use lattice_backend::engine::write::AppendError;
use lattice_backend::op::{ApplyIndex, BranchTips, Op, OpRef, SecretKey};
use lattice_backend::progress::ProgressSink;
use lattice_kvstore::{Command, KvMachine};
use lattice_meta::{Genesis, Hlc, Nonce, PubKey, StateHash};
use lattice_sync::host::{Has, Ingested, Lacking, Order, Place, Standing, View};
use lattice_sync::wire::{Cursor, Tip};

use crate::sim::disk::{Disk, Fate, Rows, tips_of};
use crate::sim::schedule::{Action, Schedule};
use crate::sim::world::EPOCH_MS;
use crate::sim::{number_of, run};

fn secret(node: usize) -> Arc<SecretKey> {
    Arc::new(SecretKey::from_bytes(
        &[u8::try_from(node).unwrap() + 1; 32],
    ))
}

fn genesis() -> Genesis {
    let created = Hlc::from_parts(EPOCH_MS - 1, 0).unwrap();
    let owner = secret(0).public();
    Genesis::new(
        lattice_kvstore::store_type(),
        owner,
        Nonce::from_bytes([9; 16]),
        created,
        None,
    )
}

/// A store, and the rows that it will keep about peers.
struct EngineStore {
    backend: MemoryBackend,
    path: PathBuf,
    clock: Arc<ManualClock>,
    node: usize,
    engine: Engine<KvMachine>,
    copies: Cell<u64>,
    writes: u64,
    rows: Rows,
    deferred_ms: u64,
    /// When deferred ops can be applied.
    due: BTreeSet<u64>,
    is_corrupt: bool,
    /// The ops of the engine, read once: the checks ask for them all the time.
    order: Vec<OpRef>,
    ops: BTreeMap<OpRef, Op>,
}

fn open(
    backend: &MemoryBackend,
    path: &Path,
    clock: &Arc<ManualClock>,
    node: usize,
) -> Engine<KvMachine> {
    let mut request = OpenRequest::new(Arc::new(backend.clone()), path);
    request.clock = clock.clone();
    request.identity = Some(secret(node));
    Engine::open(request, KvMachine::new()).unwrap()
}

impl EngineStore {
    fn new(node: usize) -> Self {
        let (backend, path) = (MemoryBackend::new(), PathBuf::from("state.db"));
        Engine::create(&backend, &path, &genesis(), &KvMachine::new()).unwrap();
        let clock = Arc::new(ManualClock::new(EPOCH_MS));
        Self {
            engine: open(&backend, &path, &clock, node),
            backend,
            path,
            clock,
            node,
            copies: Cell::new(0),
            writes: 0,
            rows: Rows::default(),
            deferred_ms: 0,
            due: BTreeSet::new(),
            is_corrupt: false,
            order: Vec::new(),
            ops: BTreeMap::new(),
        }
    }

    fn count(&self) -> u64 {
        self.order.len() as u64
    }

    /// Reads what the engine has applied.
    fn refresh(&mut self) {
        for index in self.count()..self.engine.op_count().unwrap() {
            let op = self.engine.op_at(ApplyIndex::new(index)).unwrap().unwrap();
            self.order.push(op.reference());
            self.ops.insert(op.reference(), op);
        }
    }

    fn at(&self, index: u64) -> Op {
        self.ops[&self.order[index as usize]].clone()
    }
}

impl Disk for EngineStore {
    fn view(&self) -> View {
        let mut state = *self.engine.state_hash().unwrap().as_bytes();
        state[0] ^= u8::from(self.is_corrupt);
        View {
            place: self.place(),
            held: 0,
            tips: self.engine.branch_tips().unwrap().tips.into(),
            state: StateHash::from_bytes(state),
        }
    }

    fn place(&self) -> Place {
        let (applied, held) = (self.count(), 0);
        Place { applied, held }
    }

    fn visible(&self) -> Place {
        self.place()
    }

    fn tips_since(&self, from: u64) -> Vec<Tip> {
        let new = (from..self.count()).map(|index| self.at(index).reference());
        tips_of(new, self.engine.branch_tips().unwrap().tips)
    }

    fn weigh(&self, tips: &[OpRef]) -> (Vec<Standing>, Vec<OpRef>) {
        let standing = |tip: &OpRef| match self.has(tip) {
            true => Standing::Here,
            false => Standing::Lacking,
        };
        let standing: Vec<Standing> = tips.iter().map(standing).collect();
        let lacking = tips
            .iter()
            .zip(&standing)
            .filter(|(_, found)| **found != Standing::Here);
        let authors: BTreeSet<PubKey> = lacking.map(|(tip, _)| tip.author).collect();
        let known = self.engine.branch_tips().unwrap();
        let known = known.iter().filter(|op| authors.contains(&op.author));
        let known: BTreeSet<OpRef> = known.copied().collect();
        (standing, known.into_iter().collect())
    }

    fn plan(&self, lacking: &Lacking, until: Place) -> Vec<OpRef> {
        let mut known = Vec::new();
        let mut before = BTreeMap::new();
        if let Lacking::Of(lacks) = lacking {
            for lack in lacks {
                let from = match &lack.has {
                    Has::Before(index) => *index,
                    Has::Ops(ops) => {
                        known.extend(ops);
                        0
                    }
                };
                before.insert(lack.author, from);
            }
        }
        let missing = self.engine.ops_after(&BranchTips::from(known)).unwrap();
        let missing = missing.map(|op| self.name(&op.unwrap()).unwrap());
        let missing: BTreeSet<OpRef> = missing.collect();
        let indexes = 0..until.applied;
        let ops = indexes.map(|index| (index, self.at(index).reference()));
        let is_lacking = |(index, op): &(u64, OpRef)| {
            let from = before.get(&op.author);
            *lacking == Lacking::All
                || from.is_some_and(|from| index >= from) && missing.contains(op)
        };
        ops.filter(is_lacking).map(|(_, op)| op).collect()
    }

    fn bytes(&self, op: &OpRef) -> Vec<u8> {
        self.ops[op].bytes().to_vec()
    }

    fn read(&self, order: Order, from: u64, until: u64, max: usize) -> (Vec<OpRef>, u64) {
        assert_eq!(order, Order::Applied, "nothing is held");
        let (mut ops, mut bytes) = (Vec::new(), 0);
        for index in from..until {
            let op = self.at(index);
            bytes += op.bytes().len();
            if !ops.is_empty() && bytes > max {
                return (ops, index);
            }
            ops.push(op.reference());
        }
        (ops, until)
    }

    fn ingest(
        &mut self,
        ops: Vec<Vec<u8>>,
        note: Option<(PubKey, Cursor)>,
        now_ms: u64,
    ) -> (Ingested, Vec<(OpRef, Fate)>) {
        self.clock.set(now_ms);
        let names: Vec<Option<OpRef>> = ops.iter().map(|op| self.name(op)).collect();
        let given = ops.into_iter().map(Ok::<_, std::convert::Infallible>);
        let found = self.engine.ingest(given, &Authors::Any).unwrap();
        let mut report = Ingested::default();
        let mut fates = Vec::new();
        for (name, (_, outcome)) in names.into_iter().zip(&found.outcomes) {
            let fate = match outcome {
                Outcome::Applied { index } => {
                    report.applied.push(index.get());
                    Fate::Arrived
                }
                Outcome::Known => {
                    report.known += 1;
                    Fate::Known
                }
                Outcome::Waiting { .. } => {
                    report.waiting += 1;
                    Fate::Not
                }
                Outcome::Deferred { until_ms } => {
                    report.later += 1;
                    self.due.insert(*until_ms);
                    self.deferred_ms = self.deferred_ms.max(until_ms + 10 * 60_000);
                    Fate::Not
                }
                Outcome::Rejected(Rejection::NoRoom | Rejection::FarAhead { .. }) => {
                    report.later += 1;
                    Fate::Not
                }
                Outcome::Rejected(_) => {
                    report.invalid += 1;
                    Fate::Not
                }
                other => panic!("{other:?}"),
            };
            fates.extend(name.map(|name| (name, fate)));
        }
        self.due.retain(|due| *due > now_ms);
        report.due_ms = self.due.first().map(|due| due - now_ms);
        report.released = found.released.len() as u64;
        if let Some((peer, row)) = note.filter(|_| found.is_complete()) {
            self.rows.mine.insert(peer, row);
            report.noted = true;
        }
        self.refresh();
        report.place = self.place();
        (report, fates)
    }

    fn rows(&self) -> &Rows {
        &self.rows
    }

    fn rows_mut(&mut self) -> &mut Rows {
        &mut self.rows
    }

    fn write(&mut self, now_ms: u64) {
        self.clock.set(now_ms);
        self.writes += 1;
        let mut command = Command::new();
        command.put(
            format!("key {}", self.writes % 5),
            format!("{} of {}", self.writes, self.node),
        );
        match self.engine.append(command) {
            // A clock that is too far behind writes nothing.
            Ok(_) | Err(AppendError::ClockBehind { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        self.refresh();
    }

    fn sync(&mut self) {}

    fn crash(&mut self) {
        self.engine.close().unwrap();
        self.due.clear();
        self.engine = open(&self.backend, &self.path, &self.clock, self.node);
        (self.order, self.ops) = (Vec::new(), BTreeMap::new());
        self.refresh();
    }

    fn copy(&self) -> Box<dyn Disk> {
        self.copies.set(self.copies.get() + 1);
        let shown = self.path.display();
        let path = PathBuf::from(format!("{shown}-{}", self.copies.get()));
        let as_it_is = &mut |_: &mut dyn lattice_backend::backend::WriteTx| Ok(());
        let none = ProgressSink::none();
        self.backend
            .backup(&self.path, &path, as_it_is, &none)
            .unwrap();
        Box::new(Self {
            engine: open(&self.backend, &path, &self.clock, self.node),
            backend: self.backend.clone(),
            path,
            clock: Arc::clone(&self.clock),
            node: self.node,
            copies: Cell::new(0),
            // Not what was written before: a fork has other values.
            writes: self.writes + 1000,
            rows: self.rows.clone(),
            deferred_ms: self.deferred_ms,
            due: BTreeSet::new(),
            is_corrupt: self.is_corrupt,
            order: self.order.clone(),
            ops: self.ops.clone(),
        })
    }

    fn name(&self, bytes: &[u8]) -> Option<OpRef> {
        let op = Op::decode(bytes.to_vec(), self.engine.hasher()).ok()?;
        Some(op.reference())
    }

    fn has(&self, op: &OpRef) -> bool {
        self.ops.contains_key(op)
    }

    fn refuses(&self, _: &PubKey) -> bool {
        false
    }

    fn all(&self) -> Vec<OpRef> {
        self.order.clone()
    }

    fn parents(&self, op: &OpRef) -> Vec<OpRef> {
        self.ops[op].parents().collect()
    }

    fn latest_ms(&self) -> u64 {
        let ops = (0..self.count()).map(|index| self.at(index).hlc().ms());
        ops.max().unwrap_or(0).max(self.deferred_ms)
    }

    fn corrupt(&mut self) {
        self.is_corrupt = true;
    }

    fn is_corrupt(&self) -> bool {
        self.is_corrupt
    }
}

/// A schedule without what only the sets of ops can do.
fn schedule(seed: u64) -> Schedule {
    let mut schedule = Schedule::new(seed, None);
    schedule.refuses.clear();
    schedule.old.clear();
    schedule.poison.clear();
    schedule.strangers = 0;
    // Hostile peers send ops of the sets.
    schedule
        .actions
        .retain(|(_, action)| !matches!(action, Action::Hostile { .. }));
    schedule
}

#[test]
fn engines_end_equal() {
    let many = number_of("LATTICE_SYNC_ENGINES").unwrap_or(300);
    let one = |seed| {
        let schedule = schedule(seed);
        let disks =
            (0..schedule.nodes).map(|node| Box::new(EngineStore::new(node)) as Box<dyn Disk>);
        let failure = run(&schedule, disks.collect()).err()?;
        Some(format!(
            "seed {seed} fails over engines: {failure}\n{schedule:#?}"
        ))
    };
    let failures: Vec<String> = std::thread::scope(|scope| {
        let half = |first: u64| (first..many).step_by(2).find_map(one);
        let halves = [scope.spawn(move || half(0)), scope.spawn(move || half(1))];
        halves
            .into_iter()
            .filter_map(|half| half.join().unwrap())
            .collect()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
