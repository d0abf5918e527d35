//! The same networks over real stores: engines in memory, through the methods that a host uses.

mod machine;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lattice_backend::backend::{MemoryBackend, StateBackend};
use lattice_backend::clock::ManualClock;
use lattice_backend::engine::Engine;
use lattice_backend::engine::ingest::{Authors, Outcome, Rejection};
use lattice_backend::engine::open::OpenRequest;
use lattice_backend::engine::read::{self, PeerRow};
use lattice_backend::engine::write::AppendError;
use lattice_backend::op::{
    ApplyIndex, Lacking, Op, OpOrder, OpRef, OpsEnd, ReplicaView, SecretKey,
};
use lattice_backend::progress::ProgressSink;
use lattice_kvstore::Command;
use lattice_meta::{Genesis, Hlc, Nonce, PubKey, StateHash};
use lattice_sync::host::{Ingested, Standing};
use lattice_sync::wire::{Cursor, Tip, Token};

use crate::sim::disk::{Disk, Fate};
use crate::sim::engine::machine::{Machine, POISON};
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

/// The ops that engines have held.
static HELD: AtomicU64 = AtomicU64::new(0);

/// A store, and where it is.
struct EngineStore {
    backend: MemoryBackend,
    path: PathBuf,
    clock: Arc<ManualClock>,
    node: usize,
    machine: Machine,
    engine: Engine<Machine>,
    /// Whether its author writes poisoned ops now and then.
    writes_poison: bool,
    copies: Cell<u64>,
    writes: u64,
    deferred_ms: u64,
    /// When deferred ops can be applied.
    due: BTreeSet<u64>,
    is_corrupt: bool,
    /// The ops of the engine, read once: the checks ask for them all the time.
    order: Vec<OpRef>,
    held: Vec<OpRef>,
    ops: BTreeMap<OpRef, Op>,
    end: OpsEnd,
}

fn open(
    backend: &MemoryBackend,
    path: &Path,
    clock: &Arc<ManualClock>,
    node: usize,
    machine: Machine,
) -> Engine<Machine> {
    let mut request = OpenRequest::new(Arc::new(backend.clone()), path);
    request.clock = clock.clone();
    request.identity = Some(secret(node));
    Engine::open(request, machine).unwrap()
}

/// The bytes of a row about a peer.
fn to_row(cursor: &Cursor) -> Vec<u8> {
    [&cursor.upto.to_le_bytes()[..], &cursor.token.0].concat()
}

fn from_row(row: &[u8]) -> Cursor {
    let (upto, token) = row.split_first_chunk().unwrap();
    Cursor {
        upto: u64::from_le_bytes(*upto),
        token: Token(token.try_into().unwrap()),
    }
}

impl EngineStore {
    fn new(node: usize, schedule: &Schedule) -> Self {
        let (backend, path) = (MemoryBackend::new(), PathBuf::from("state.db"));
        let machine = Machine {
            is_old: schedule.old.contains(&node),
        };
        Engine::create(&backend, &path, &genesis(), &machine).unwrap();
        let clock = Arc::new(ManualClock::new(EPOCH_MS));
        Self {
            engine: open(&backend, &path, &clock, node, machine),
            backend,
            path,
            clock,
            node,
            machine,
            writes_poison: schedule.poison.contains(&node),
            copies: Cell::new(0),
            writes: 0,
            deferred_ms: 0,
            due: BTreeSet::new(),
            is_corrupt: false,
            order: Vec::new(),
            held: Vec::new(),
            ops: BTreeMap::new(),
            end: OpsEnd::default(),
        }
    }

    /// Reads what the engine has applied and held.
    fn refresh(&mut self) {
        self.end = self.engine.ops_end().unwrap();
        for index in self.order.len() as u64..self.end.applied {
            let op = self.engine.op_at(ApplyIndex::new(index)).unwrap().unwrap();
            self.order.push(op.reference());
            self.ops.insert(op.reference(), op);
        }
        for held in self.engine.held_ops().unwrap().skip(self.held.len()) {
            let op = held.unwrap().op;
            self.held.push(op.reference());
            self.ops.insert(op.reference(), op);
        }
    }
}

impl Disk for EngineStore {
    fn view(&self) -> ReplicaView {
        let mut view = self.engine.replica_view().unwrap();
        let mut state = *view.state.as_bytes();
        state[0] ^= u8::from(self.is_corrupt);
        view.state = StateHash::from_bytes(state);
        view
    }

    fn place(&self) -> OpsEnd {
        self.engine.ops_end().unwrap()
    }

    fn visible(&self) -> OpsEnd {
        self.place()
    }

    fn tips_since(&self, from: u64) -> Vec<Tip> {
        let (tips, end) = self.engine.tips_since(from).unwrap();
        assert_eq!(end, self.end);
        let tip = |tip: read::SinceTip| Tip {
            op: tip.op,
            after: tip.after,
        };
        tips.into_iter().map(tip).collect()
    }

    fn weigh(&self, tips: &[OpRef]) -> (Vec<Standing>, Vec<OpRef>) {
        let here = self.engine.has_ops(tips).unwrap();
        let lacking = tips.iter().zip(&here).filter(|(_, here)| !**here);
        let authors: BTreeSet<PubKey> = lacking.map(|(tip, _)| tip.author).collect();
        let standing = here.into_iter().map(|here| match here {
            true => Standing::Here,
            false => Standing::Lacking,
        });
        let known = self.engine.tips_of(&authors).unwrap();
        let known: BTreeSet<OpRef> = known.iter().copied().collect();
        (standing.collect(), known.into_iter().collect())
    }

    fn plan(&self, lacking: &Lacking, until: OpsEnd) -> Vec<OpRef> {
        let mut ops = self.engine.ops_lacking(lacking, until).unwrap();
        let (count, mut names) = (ops.len(), Vec::new());
        while let Some(slice) = ops.next_slice(500).unwrap() {
            names.extend(slice.into_iter().map(|(op, _)| op));
        }
        assert_eq!(names.len(), count);
        names
    }

    fn bytes(&self, op: &OpRef) -> Vec<u8> {
        self.ops[op].bytes().to_vec()
    }

    fn read(&self, order: OpOrder, from: u64, until: u64, max: usize) -> (Vec<OpRef>, u64) {
        let slice = self.engine.op_slice(order, from..until, max).unwrap();
        (
            slice.ops.into_iter().map(|(op, _)| op).collect(),
            slice.next,
        )
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
        let row = note.map(|(peer, row)| (peer, to_row(&row)));
        let row = row.as_ref().map(|(peer, row)| (peer, &row[..]));
        let (found, noted) = self.engine.ingest_noted(given, &Authors::Any, row).unwrap();
        let mut report = Ingested {
            noted,
            ..Ingested::default()
        };
        let numbers: BTreeMap<_, u64> = found.held_numbers.iter().copied().collect();
        let mut fates = Vec::new();
        for (name, (id, outcome)) in names.into_iter().zip(&found.outcomes) {
            let fate = match outcome {
                Outcome::Applied { index } => {
                    report.applied.push(index.get());
                    Fate::Arrived
                }
                Outcome::Held { .. } => {
                    report.held.push(numbers[&id.unwrap()]);
                    HELD.fetch_add(1, Ordering::Relaxed);
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
        self.refresh();
        report.place = self.place();
        (report, fates)
    }

    fn row(&self, peer: &PubKey, row: PeerRow) -> Option<Cursor> {
        let row = self.engine.peer_row(peer, row).unwrap();
        row.map(|row| from_row(&row))
    }

    fn set_served(&mut self, peer: &PubKey, served: Cursor) {
        let row = to_row(&served);
        self.engine
            .set_peer_row(peer, PeerRow::Served, &row)
            .unwrap();
    }

    fn write(&mut self, now_ms: u64) {
        self.clock.set(now_ms);
        self.writes += 1;
        let mut command = Command::new();
        command.put(
            format!("key {}", self.writes % 5),
            match self.writes_poison && self.writes % 3 == 1 {
                true => format!("{POISON} {} of {}", self.writes, self.node),
                false => format!("{} of {}", self.writes, self.node),
            },
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
        self.engine = open(
            &self.backend,
            &self.path,
            &self.clock,
            self.node,
            self.machine,
        );
        (self.order, self.held, self.ops) = (Vec::new(), Vec::new(), BTreeMap::new());
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
            engine: open(&self.backend, &path, &self.clock, self.node, self.machine),
            backend: self.backend.clone(),
            path,
            clock: Arc::clone(&self.clock),
            node: self.node,
            machine: self.machine,
            writes_poison: self.writes_poison,
            copies: Cell::new(0),
            // Not what was written before: a fork has other values.
            writes: self.writes + 1000,
            deferred_ms: self.deferred_ms,
            due: BTreeSet::new(),
            is_corrupt: self.is_corrupt,
            order: self.order.clone(),
            held: self.held.clone(),
            ops: self.ops.clone(),
            end: self.end,
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
        self.order.iter().chain(&self.held).copied().collect()
    }

    fn parents(&self, op: &OpRef) -> Vec<OpRef> {
        self.ops[op].parents().collect()
    }

    fn latest_ms(&self) -> u64 {
        let ops = self.ops.values().map(|op| op.hlc().ms());
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
        let disks = (0..schedule.nodes)
            .map(|node| Box::new(EngineStore::new(node, &schedule)) as Box<dyn Disk>);
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
    let held = HELD.load(Ordering::Relaxed);
    println!("{held} ops were held");
    assert!(held >= many, "only {held} ops were held");
}
