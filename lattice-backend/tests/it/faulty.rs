//! A state machine that stores every valid payload, and whose code faults on the kinds of payloads
//! that its version is set to fault on. Other versions apply them.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lattice_backend::backend::{Direction, EVERYTHING, MemoryBackend, Result, Row, StateBackend};
use lattice_backend::clock::ManualClock;
use lattice_backend::engine::Engine;
use lattice_backend::engine::ingest::{Authors, IngestReport, Outcome};
use lattice_backend::engine::open::{OpenError, OpenRequest};
use lattice_backend::engine::read::HeldOp;
use lattice_backend::machine::{
    Args, CallError, DataRead, DataWrite, History, Invalid, Logic, MachineError, MethodEntry,
    StateMachine, Value, ValueType,
};
use lattice_backend::op::{Op, OpKind, OpRef, OpView};
use lattice_backend::redb::RedbBackend;
use lattice_backend::storage::MemoryDisk;
use lattice_meta::SchemaVersion;

use crate::registers::Registers;
use crate::support::{NOW_MS, bytes_of, genesis, given, secret};

/// The first byte of a payload selects what faulting code does with it.
pub(crate) const PLAIN: u8 = b'.';
pub(crate) const INVALID: u8 = b'!';
pub(crate) const DECODE: u8 = b'D';
pub(crate) const APPLY: u8 = b'A';
pub(crate) const SETTLE: u8 = b'S';
pub(crate) const ELEMENTS: u8 = b'E';
/// Kinds on which faulting code panics.
pub(crate) const PANICS: [u8; 4] = [DECODE, APPLY, SETTLE, ELEMENTS];
pub(crate) const GETS: u8 = b'g';
pub(crate) const SHOWS: u8 = b'h';
pub(crate) const RANGES: u8 = b'r';
pub(crate) const SCANS: u8 = b's';
pub(crate) const PUTS: u8 = b'p';
pub(crate) const REMOVES: u8 = b'x';
pub(crate) const LONG_PUTS: u8 = b'l';
pub(crate) const HISTORY: u8 = b'c';
/// Writes a row for each byte of the payload.
pub(crate) const FILL: u8 = b'F';
/// Rewrites every row.
pub(crate) const REWRITE: u8 = b'R';
/// A command on which faulting code panics in `prepare`.
pub(crate) const PREPARE: u8 = b'P';

pub(crate) const MESSAGE: &str = "told to panic";
pub(crate) const V1: &str = "faulty/1";

/// Panics without the message that the panic hook prints.
fn panic_quietly() -> ! {
    std::panic::resume_unwind(Box::new(MESSAGE))
}

/// Counts calls of the code, of all versions.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(crate) decode: AtomicU64,
    pub(crate) apply: AtomicU64,
}

#[derive(Debug, Clone)]
pub(crate) struct Faulty {
    logic: Logic,
    /// Kinds of payloads on which this version faults.
    faults: Vec<u8>,
    pub(crate) calls: Arc<Calls>,
}

#[derive(Debug, thiserror::Error)]
#[error("refused by name")]
pub(crate) struct Refused;

impl Faulty {
    pub(crate) fn version(version: &str, faults: &[u8]) -> Self {
        let store_type = Registers::store_type();
        Self {
            logic: Logic::new(store_type.as_str(), version).unwrap(),
            faults: faults.to_vec(),
            calls: Arc::default(),
        }
    }

    /// The first version, which faults on every kind.
    pub(crate) fn v1() -> Self {
        let loops = [
            GETS, SHOWS, RANGES, SCANS, PUTS, REMOVES, LONG_PUTS, HISTORY,
        ];
        Self::version(V1, &[&PANICS[..], &loops, &[PREPARE]].concat())
    }

    /// A version that applies all kinds.
    pub(crate) fn v2() -> Self {
        Self::version("faulty/2", &[])
    }

    pub(crate) fn equal_to(self, version: &str) -> Self {
        let logic = self.logic.equal_to(version).unwrap();
        Self { logic, ..self }
    }

    fn faults_on(&self, kind: u8) -> bool {
        self.faults.contains(&kind)
    }

    pub(crate) fn applied(&self) -> u64 {
        self.calls.apply.load(Ordering::SeqCst)
    }

    pub(crate) fn decoded(&self) -> u64 {
        self.calls.decode.load(Ordering::SeqCst)
    }
}

const METHODS: &[MethodEntry<Faulty>] = &[
    MethodEntry::command("panic_early", "Panics.", &[], panic_early),
    MethodEntry::command("panic_late", "Panics.", &[], panic_late),
    MethodEntry::query("panic_query", "Panics.", &[], ValueType::Null, panic_query),
];

impl StateMachine for Faulty {
    type Command = Vec<u8>;
    type Refusal = Refused;
    type Payload<'a> = &'a [u8];

    fn logic(&self) -> &Logic {
        &self.logic
    }

    fn decode<'a>(&self, payload: &'a [u8]) -> std::result::Result<&'a [u8], Invalid> {
        self.calls.decode.fetch_add(1, Ordering::SeqCst);
        match payload.first() {
            None | Some(&INVALID) => Err(Invalid::new("told to be invalid")),
            Some(&DECODE) if self.faults_on(DECODE) => panic_quietly(),
            Some(_) => Ok(payload),
        }
    }

    fn methods(&self) -> &[MethodEntry<Self>] {
        METHODS
    }

    fn prepare(
        &self,
        command: &Vec<u8>,
        _: &dyn DataRead,
        _: &dyn History,
    ) -> std::result::Result<Vec<u8>, MachineError<Refused>> {
        match command.first() {
            Some(&PREPARE) if self.faults_on(PREPARE) => panic_quietly(),
            None => Err(MachineError::Refused(Refused)),
            Some(_) => Ok(command.clone()),
        }
    }

    fn apply(
        &self,
        op: &OpView<'_>,
        payload: &[u8],
        data: &mut dyn DataWrite,
        history: &dyn History,
    ) -> Result<()> {
        self.calls.apply.fetch_add(1, Ordering::SeqCst);
        // Nothing of a faulting call remains.
        data.put(b"scratch", payload)?;
        if self.faults_on(payload[0]) {
            fault(payload[0], data, history)?;
        }
        data.remove(b"scratch")?;
        match payload[0] {
            FILL => {
                for nth in 0..payload.len() {
                    data.put(&[b"fill/", &nth.to_be_bytes()[..]].concat(), b"1")?;
                }
            }
            REWRITE => {
                let mut keys = Vec::new();
                let mut rows = data.range(EVERYTHING, Direction::Forward)?;
                while let Some(row) = rows.next()? {
                    keys.push(row.key.to_vec());
                }
                drop(rows);
                for key in keys {
                    data.put(&key, b"2")?;
                }
            }
            _ => {}
        }
        let id = op.reference.id;
        data.put(&[b"op/", &id.as_bytes()[..]].concat(), payload)
    }

    fn settle(&self, kind: OpKind, op: &OpView<'_>, data: &mut dyn DataWrite) -> Result<()> {
        if kind == OpKind::Application
            && op.payload.first() == Some(&SETTLE)
            && self.faults_on(SETTLE)
        {
            panic_quietly();
        }
        data.put(&settled(&op.reference), b"")
    }

    fn elements(
        &self,
        _: SchemaVersion,
        row: Row<'_>,
        _: &dyn History,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<()> {
        each(row.key, row.value);
        if row.value.first() == Some(&ELEMENTS) && self.faults_on(ELEMENTS) {
            panic_quietly();
        }
        Ok(())
    }
}

/// The key of the row that `settle` writes for an op.
pub(crate) fn settled(op: &OpRef) -> Vec<u8> {
    [b"settled/", &op.id.as_bytes()[..]].concat()
}

/// Does the work of this kind that ends in a fault.
fn fault(kind: u8, data: &mut dyn DataWrite, history: &dyn History) -> Result<()> {
    match kind {
        APPLY => panic_quietly(),
        GETS => loop {
            data.get(b"none")?;
        },
        SHOWS => loop {
            data.show(b"scratch", &mut |_| ())?;
        },
        RANGES => loop {
            drop(data.range(EVERYTHING, Direction::Forward)?);
        },
        SCANS => loop {
            let mut rows = data.range(EVERYTHING, Direction::Backward)?;
            while rows.next()?.is_some() {}
        },
        PUTS => loop {
            data.put(b"one", b"row")?;
        },
        REMOVES => loop {
            data.remove(b"none")?;
        },
        LONG_PUTS => loop {
            data.put(b"long", &[0; 1 << 20])?;
        },
        HISTORY => loop {
            history.count()?;
        },
        _ => Ok(()),
    }
}

fn panic_early(_: &Faulty, _: Args<'_>) -> std::result::Result<Vec<u8>, CallError> {
    panic_quietly()
}

fn panic_late(_: &Faulty, _: Args<'_>) -> std::result::Result<Vec<u8>, CallError> {
    Ok(vec![APPLY])
}

fn panic_query(
    _: &Faulty,
    _: Args<'_>,
    _: &dyn DataRead,
    _: &dyn History,
) -> std::result::Result<Value, MachineError<CallError>> {
    panic_quietly()
}

pub(crate) type Store = Engine<Faulty>;

/// A location with a store of this type.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) backend: Arc<dyn StateBackend>,
    pub(crate) path: PathBuf,
}

impl Place {
    fn new(backend: impl StateBackend + 'static, path: impl Into<PathBuf>) -> Self {
        let (backend, path) = (Arc::new(backend), path.into());
        Engine::create(&*backend, &path, &genesis(), &Faulty::v1()).unwrap();
        Self { backend, path }
    }

    pub(crate) fn memory() -> Self {
        Self::new(MemoryBackend::new(), "state.db")
    }

    pub(crate) fn redb() -> Self {
        Self::new(RedbBackend::on_disk(MemoryDisk::new()), "state.db")
    }

    pub(crate) fn on_files(dir: &tempfile::TempDir) -> Self {
        Self::new(RedbBackend::on_files(), dir.path().join("state.db"))
    }

    pub(crate) fn request(&self) -> OpenRequest {
        let mut request = OpenRequest::new(Arc::clone(&self.backend), &self.path);
        request.clock = Arc::new(ManualClock::new(NOW_MS + 1000));
        request.identity(secret(1))
    }

    pub(crate) fn try_open(&self, machine: &Faulty) -> std::result::Result<Store, OpenError> {
        Engine::open(self.request(), machine.clone())
    }

    pub(crate) fn open(&self, machine: &Faulty) -> Store {
        self.try_open(machine).unwrap()
    }

    /// Opens the store to write as another author.
    pub(crate) fn open_as(&self, machine: &Faulty, seed: u8) -> Store {
        let request = self.request().identity(secret(seed));
        Engine::open(request, machine.clone()).unwrap()
    }
}

/// A store in memory that has ingested these ops.
pub(crate) fn with(machine: &Faulty, ops: &[&Op]) -> Store {
    let store = Place::memory().open(machine);
    take(&store, ops);
    store
}

pub(crate) fn report_of(store: &Store, ops: &[&Op]) -> IngestReport {
    store.ingest(given(bytes_of(ops)), &Authors::Any).unwrap()
}

pub(crate) fn take(store: &Store, ops: &[&Op]) -> Vec<Outcome> {
    let report = report_of(store, ops);
    let outcomes = report.outcomes.into_iter();
    outcomes.map(|(_, outcome)| outcome).collect()
}

/// Sends everything that `to` lacks from `from`; returns how many ops were sent.
pub(crate) fn pull(from: &Store, to: &Store) -> usize {
    let ops = from.ops_after(&to.branch_tips().unwrap()).unwrap();
    let sent = ops.len();
    assert!(to.ingest(ops, &Authors::Any).unwrap().is_complete());
    sent
}

pub(crate) fn held(store: &Store) -> Vec<HeldOp> {
    store
        .held_ops()
        .unwrap()
        .map(std::result::Result::unwrap)
        .collect()
}

pub(crate) fn names<'a>(ops: impl IntoIterator<Item = &'a Op>) -> Vec<OpRef> {
    ops.into_iter().map(Op::reference).collect()
}

pub(crate) fn held_names(store: &Store) -> Vec<OpRef> {
    names(held(store).iter().map(|held| &held.op))
}
