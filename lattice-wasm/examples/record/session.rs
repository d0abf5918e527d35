//! A recorded history of one module: replicas that write independently, exchange ops, and ingest
//! hostile ones. The calls of the first replica are recorded.

use std::fmt;
use std::sync::Arc;

use lattice_backend::backend::{BackendError, Direction, EVERYTHING};
use lattice_backend::clock::ManualClock;
use lattice_backend::conformance::Rng;
use lattice_backend::engine::write::AppendError;
use lattice_backend::machine::{
    Args, CallError, DataRead, MachineError, MethodCall, MethodEntry, StateMachine, Step, Value,
};
use lattice_backend::op::{Op, OpKind, SecretKey};
use lattice_meta::{Genesis, Hlc, Nonce};
use lattice_wasm::{Code, WasmMachine, WasmPayload, WasmRefusal};

use crate::Done;
use crate::replica::Replica;
use crate::tape::{Field, Outcome, Tape};

const SEED: u64 = 0x6f72_6163_6c65;
const STEPS: usize = 1_000;
const REPLICAS: usize = 3;
const BEGINNING_MS: u64 = 1_700_000_000_000;

pub(crate) type Call = (&'static str, Value);
/// Makes a call, which may refer to ops.
pub(crate) type Calls = fn(&mut Rng, &[Op]) -> Call;

/// Makes a payload, which may refer to ops.
pub(crate) type Payloads = fn(&mut Rng, &[Op]) -> Vec<u8>;

/// A module, with its calls and payloads.
pub(crate) struct Subject<'a> {
    pub(crate) name: &'static str,
    pub(crate) wasm: &'a [u8],
    pub(crate) command: Calls,
    pub(crate) query: Calls,
    /// Payloads that `command` does not make; without it, existing payloads are copied and damaged.
    pub(crate) payload: Option<Payloads>,
}

/// Statistics of a recording.
pub(crate) struct Counts {
    ops: usize,
    invalid: usize,
    forks: usize,
    rows: usize,
    elements: usize,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ops ({} invalid, {} forks of authors), {} rows, {} elements",
            self.ops, self.invalid, self.forks, self.rows, self.elements
        )
    }
}

pub(crate) struct Session<'a> {
    subject: &'a Subject<'a>,
    machine: WasmMachine,
    rng: Rng,
    clock: Arc<ManualClock>,
    now_ms: u64,
    authors: Vec<Arc<SecretKey>>,
    replicas: Vec<Replica>,
    tape: Tape,
    recorded: usize,
    invalid: usize,
}

fn kind_number(kind: OpKind) -> u64 {
    u64::from(kind == OpKind::Merge)
}

impl<'a> Session<'a> {
    pub(crate) fn new(subject: &'a Subject<'a>) -> Done<Self> {
        let machine = WasmMachine::new(Code::new(subject.wasm)?, &[])?;
        let author = |nth| Arc::new(SecretKey::from_bytes(&[nth; 32]));
        // The last author has no replica.
        let authors: Vec<_> = (1..=u8::try_from(REPLICAS + 1)?).map(author).collect();
        let clock = Arc::new(ManualClock::new(BEGINNING_MS));
        let genesis = Genesis::new(
            machine.logic().store_type().clone(),
            authors[0].public(),
            Nonce::from_bytes([1; 16]),
            Hlc::ZERO,
            None,
        );
        let replica = |author| Replica::new(&machine, &genesis, author, &clock);
        let replicas = authors[..REPLICAS].iter().map(replica);
        let replicas = replicas.collect::<Done<_>>()?;
        let mut tape = Tape::default();
        let module = format!("{}.wasm", subject.name);
        tape.line("module", &[("file", Field::Name(&module))]);
        Ok(Self {
            subject,
            rng: Rng::new(SEED),
            now_ms: BEGINNING_MS,
            recorded: 0,
            invalid: 0,
            machine,
            clock,
            authors,
            replicas,
            tape,
        })
    }

    /// A random history of commands, exchanges, forged ops and queries.
    pub(crate) fn play(&mut self) -> Done<()> {
        for _ in 0..STEPS {
            self.now_ms += [0, 0, 1, 1000][self.rng.below(4)];
            self.clock.set(self.now_ms);
            let at = self.rng.below(REPLICAS);
            match self.rng.below(16) {
                0..=7 => self.command(at)?,
                8..=9 => self.forge(at)?,
                10..=12 => {
                    let from = self.rng.below(REPLICAS);
                    let most = 1 + self.rng.below(40);
                    self.replicas[at].pull(&self.replicas[from], most)?;
                    self.catch_up(at)?;
                }
                13 => self.decode()?,
                _ => self.query()?,
            }
        }
        for from in 1..REPLICAS {
            self.replicas[0].pull(&self.replicas[from], usize::MAX)?;
        }
        self.catch_up(0)?;
        for _ in 0..50 {
            self.query()?;
        }
        Ok(())
    }

    /// Forged ops of authors of their own, and queries.
    pub(crate) fn probe(&mut self) -> Done<()> {
        for nth in 0..STEPS {
            let [low, high] = u16::try_from(nth)?.to_le_bytes();
            let mut secret = [9; 32];
            (secret[0], secret[1]) = (low, high);
            let secret = SecretKey::from_bytes(&secret);
            let kind = match self.rng.one_in(20) {
                true => OpKind::Merge,
                false => OpKind::Application,
            };
            let payload = self.payload(kind);
            let op = self.replicas[0].forge(&mut self.rng, &secret, kind, &payload)?;
            let report = self.replicas[0].take(&op)?;
            if report.held() > 0 {
                self.op("fault", &op);
            }
            self.catch_up(0)?;
            self.query()?;
        }
        Ok(())
    }

    fn payload(&mut self, kind: OpKind) -> Vec<u8> {
        let any = self.rng.below(REPLICAS);
        let known = &self.replicas[any].ops;
        match (kind, self.subject.payload) {
            (OpKind::Merge, _) => Vec::new(),
            (_, Some(payload)) => payload(&mut self.rng, &self.replicas[0].ops),
            _ => {
                let payload = self.rng.pick(known).map_or(&[][..], Op::payload);
                damaged(&mut self.rng, payload.to_vec())
            }
        }
    }

    fn forge(&mut self, at: usize) -> Done<()> {
        let kind = match self.rng.one_in(6) {
            true => OpKind::Merge,
            false => OpKind::Application,
        };
        let payload = self.payload(kind);
        // Any author except that of the recorded replica, most often the one without a replica.
        let author = [1, 2, 3, 3][self.rng.below(4)];
        let author = self.authors[author].clone();
        let op = self.replicas[at].forge(&mut self.rng, &author, kind, &payload)?;
        self.replicas[at].take(&op)?;
        self.catch_up(at)
    }

    fn decode(&mut self) -> Done<()> {
        let payload = self.payload(OpKind::Application);
        let invalid = self.verdict(&payload);
        let described = self.machine.describe(&payload);
        self.tape.line(
            "decode",
            &[
                ("payload", Field::Hex(&payload)),
                ("invalid", hex_or_null(invalid.as_deref())),
                ("described", Field::Hex(described.as_bytes())),
            ],
        );
        Ok(())
    }

    /// Why a payload is invalid.
    fn verdict(&self, payload: &[u8]) -> Option<String> {
        let decoded = self.machine.decode(payload);
        decoded.err().map(|invalid| invalid.reason().to_owned())
    }

    /// Records the ops applied since the last call.
    fn catch_up(&mut self, at: usize) -> Done<()> {
        self.replicas[at].read_ops()?;
        if at == 0 {
            for nth in self.recorded..self.replicas[0].ops.len() {
                let op = self.replicas[0].ops[nth].clone();
                self.op("op", &op);
                self.recorded += 1;
            }
        }
        Ok(())
    }

    fn op(&mut self, line: &str, op: &Op) {
        let hlc = op.hlc().to_u64().to_le_bytes();
        let stamp = [&hlc[..], &op.reference().to_key()].concat();
        let is_application = op.kind() == OpKind::Application;
        let decoded = is_application.then(|| self.machine.decode(op.payload()));
        let mut fields = vec![
            ("index", Field::Number(index(self.recorded))),
            ("kind", Field::Number(kind_number(op.kind()))),
            ("stamp", Field::Hex(&stamp)),
            ("payload", Field::Hex(op.payload())),
        ];
        let mut invalid = None;
        match decoded {
            None => {}
            Some(Ok(WasmPayload::Failed(_))) => fields.push(("decode_fault", Field::Number(1))),
            Some(Ok(_)) => {}
            Some(Err(found)) => invalid = Some(found.reason().to_owned()),
        }
        self.invalid += usize::from(invalid.is_some());
        fields.push(("invalid", hex_or_null(invalid.as_deref())));
        let described = self.machine.describe(op.payload());
        if is_application {
            fields.push(("described", Field::Hex(described.as_bytes())));
        }
        self.tape.line(line, &fields);
    }

    /// Executes a command on a replica. A command of the first replica is recorded.
    fn command(&mut self, at: usize) -> Done<()> {
        let (name, args) = (self.subject.command)(&mut self.rng, &self.replicas[at].ops);
        let (number, entry) = method(&self.machine, name)?;
        let MethodCall::Command(command) = entry.call else {
            return Err(format!("{name} is no command").into());
        };
        let args = args.to_bytes();
        let args = Args::new(&entry.method, &args)?;
        let input = args.to_bytes();
        let command = command(&self.machine, args)?;
        let outcome = match self.replicas[at].engine.append(command) {
            Ok(receipt) => {
                let op = self.replicas[at].engine.op_at(receipt.index)?;
                Outcome::Answer(op.ok_or("an op was appended")?.payload().to_vec())
            }
            Err(AppendError::Refused(WasmRefusal::Refused { message })) => {
                Outcome::Refused(String::new(), message)
            }
            Err(AppendError::Refused(WasmRefusal::Argument(error))) => refused(error)?,
            Err(error) => return Err(error.into()),
        };
        if at == 0 {
            self.tape.call("prepare", number, &input, &outcome);
        }
        self.catch_up(at)
    }

    fn query(&mut self) -> Done<()> {
        let (name, args) = (self.subject.query)(&mut self.rng, &self.replicas[0].ops);
        let (number, entry) = method(&self.machine, name)?;
        let MethodCall::Query(query) = entry.call else {
            return Err(format!("{name} is no query").into());
        };
        let args = args.to_bytes();
        let args = Args::new(&entry.method, &args)?;
        let input = args.to_bytes();
        let snapshot = self.replicas[0].engine.snapshot()?;
        let outcome = match query(&self.machine, args, &snapshot, &snapshot.history()) {
            Ok(answer) => Outcome::Answer(answer.to_bytes()),
            Err(MachineError::Refused(error)) => refused(error)?,
            Err(MachineError::Backend(BackendError::Fault(_))) => Outcome::Fault,
            Err(error) => return Err(error.into()),
        };
        self.tape.call("query", number, &input, &outcome);
        Ok(())
    }

    /// Converts the store of another session, and records the steps.
    pub(crate) fn convert(&mut self, old: &Session<'_>) -> Done<()> {
        let (mut state, mut result) = (Value::Null, Value::Null);
        while let Some(answer) = self.convert_step(old, state, result)? {
            (state, result) = answer;
        }
        Ok(())
    }

    /// Makes one step; returns state and result for the next one.
    pub(crate) fn convert_step(
        &mut self,
        old: &Session<'_>,
        state: Value,
        result: Value,
    ) -> Done<Option<(Value, Value)>> {
        let from = old.machine.logic().store_type().clone();
        let step = Step {
            from,
            state,
            result,
        };
        let input = Value::from(step.clone()).to_bytes();
        let (outcome, next) = match self.machine.convert(step) {
            Ok(conversion) => {
                let next = conversion.next.clone();
                (Outcome::Answer(Value::from(conversion).to_bytes()), next)
            }
            Err(BackendError::Fault(_)) => (Outcome::Fault, None),
            Err(error) => return Err(error.into()),
        };
        self.tape.call("convert", 0, &input, &outcome);
        let Some(next) = next else { return Ok(None) };
        let result = old.replicas[0].engine.call(&next.method, next.args)?;
        Ok(Some((next.state, result)))
    }

    /// Records rows and elements; returns all lines.
    pub(crate) fn finish(mut self) -> Done<(String, Counts)> {
        let engine = &self.replicas[0].engine;
        let snapshot = engine.snapshot()?;
        let mut rows = 0;
        let mut cursor = snapshot.range(EVERYTHING, Direction::Forward)?;
        while let Some(row) = cursor.next()? {
            let (key, value) = (Field::Hex(row.key), Field::Hex(row.value));
            self.tape.line("row", &[("key", key), ("value", value)]);
            rows += 1;
        }
        let mut elements = 0;
        let mut each = |_: usize, key: &[u8], value: &[u8]| {
            let (key, value) = (Field::Hex(key), Field::Hex(value));
            self.tape.line("element", &[("key", key), ("value", value)]);
            elements += 1;
        };
        let mut cursor = snapshot.range(EVERYTHING, Direction::Forward)?;
        let (schema, history) = (engine.schema_version(), snapshot.history());
        self.machine
            .elements_of(schema, &mut *cursor, &history, &mut each)?;
        // The state hash covers this many elements.
        if index(elements) != snapshot.element_count()? {
            return Err(format!("{elements} elements, other than the state hash has").into());
        }
        let counts = Counts {
            ops: self.recorded,
            invalid: self.invalid,
            forks: engine.forks()?.len(),
            rows,
            elements,
        };
        self.tape.line(
            "end",
            &[
                ("ops", Field::Number(index(counts.ops))),
                ("rows", Field::Number(index(rows))),
                ("elements", Field::Number(index(elements))),
            ],
        );
        Ok((self.tape.finish(), counts))
    }
}

fn index(place: usize) -> u64 {
    u64::try_from(place).expect("it is a place in memory")
}

fn hex_or_null(text: Option<&str>) -> Field<'_> {
    text.map_or(Field::Null, |text| Field::Hex(text.as_bytes()))
}

fn method<'m>(machine: &'m WasmMachine, name: &str) -> Done<(u64, &'m MethodEntry<WasmMachine>)> {
    let mut entries = (0..).zip(machine.methods());
    let found = entries.find(|(_, entry)| entry.method.name == name);
    Ok(found.ok_or_else(|| format!("no method {name}"))?)
}

fn refused(error: CallError) -> Done<Outcome> {
    match error {
        CallError::Argument { param, reason, .. } => Ok(Outcome::Refused(param, reason)),
        error => Err(error.into()),
    }
}

/// A payload unchanged, truncated, lengthened, or with a flipped bit; or empty, or random bytes.
fn damaged(rng: &mut Rng, mut payload: Vec<u8>) -> Vec<u8> {
    match rng.below(8) {
        0 => {
            let len = rng.below(64);
            rng.bytes(len)
        }
        1 => {
            payload.truncate(rng.below(payload.len() + 1));
            payload
        }
        2 => {
            let more = 1 + rng.below(9);
            payload.extend(rng.bytes(more));
            payload
        }
        3..=5 => {
            let place = rng.below(payload.len());
            if let Some(byte) = payload.get_mut(place) {
                *byte ^= 1 << rng.below(8);
            }
            payload
        }
        _ => payload,
    }
}
