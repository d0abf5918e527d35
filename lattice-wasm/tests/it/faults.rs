//! Modules that fail in a store: the op is held or refused, and the store continues to work.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use lattice_backend::backend::{BackendError, MemoryBackend, OpenOptions, StateBackend};
use lattice_backend::clock::ManualClock;
use lattice_backend::engine::Engine;
use lattice_backend::engine::ingest::{Authors, Outcome};
use lattice_backend::engine::open::{LogicPolicy, OpenError, OpenRequest};
use lattice_backend::engine::read::{HeldReason, MethodError};
use lattice_backend::engine::verify::Depth;
use lattice_backend::engine::write::AppendError;
use lattice_backend::machine::manifest::{Elements, Manifest};
use lattice_backend::machine::{Args, Limit, LogicFault, MethodCall, StateMachine, Value};
use lattice_backend::op::{Op, OpDraft, OpHasher, OpKind, SecretKey};
use lattice_backend::progress::ProgressSink;
use lattice_backend::redb::RedbBackend;
use lattice_backend::storage::MemoryDisk;
use lattice_meta::{Genesis, Hlc, Nonce, OpId};
use lattice_wasm::{WasmCommand, WasmMachine, WasmRefusal};

use crate::guest::{apply, coded, fault, machine, manifest, methods};

const NOW_MS: u64 = 1_700_000_000_000;

type Store = Engine<WasmMachine>;

fn secret(seed: u8) -> Arc<SecretKey> {
    Arc::new(SecretKey::from_bytes(&[seed; 32]))
}

fn genesis() -> Genesis {
    Genesis::new(
        manifest().store_type,
        secret(1).public(),
        Nonce::from_bytes([9; 16]),
        Hlc::from_parts(NOW_MS, 0).unwrap(),
        None,
    )
}

/// A hand-made op, this many milliseconds after the creation of the store.
fn op(seed: u8, prev: Option<&Op>, after_ms: u64, payload: &[u8]) -> Op {
    let draft = OpDraft {
        kind: OpKind::Application,
        seq: prev.map_or(0, |prev| prev.reference().seq + 1),
        prev: prev.map_or(OpId::ZERO, |prev| prev.reference().id),
        hlc: Hlc::from_parts(NOW_MS + after_ms, 0).unwrap(),
        deps: Vec::new(),
        payload,
    };
    let hasher = OpHasher::new(&genesis().hash());
    draft.sign(&hasher, &secret(seed)).unwrap()
}

/// A location with a store.
struct Place {
    backend: Arc<dyn StateBackend>,
    path: PathBuf,
}

impl Place {
    fn new(backend: impl StateBackend + 'static, machine: &WasmMachine) -> Self {
        let (backend, path) = (Arc::new(backend), PathBuf::from("state.db"));
        Engine::create(&*backend, &path, &genesis(), machine).unwrap();
        Self { backend, path }
    }

    fn memory(machine: &WasmMachine) -> Self {
        Self::new(MemoryBackend::new(), machine)
    }

    fn redb(machine: &WasmMachine) -> Self {
        Self::new(RedbBackend::on_disk(MemoryDisk::new()), machine)
    }

    fn request(&self) -> OpenRequest {
        let mut request = OpenRequest::new(Arc::clone(&self.backend), &self.path);
        request.clock = Arc::new(ManualClock::new(NOW_MS + 1000));
        request.identity(secret(1))
    }

    fn open(&self, machine: &WasmMachine) -> Store {
        Engine::open(self.request(), machine.clone()).unwrap()
    }
}

fn take(store: &Store, ops: &[&Op]) -> Vec<Outcome> {
    let given = ops
        .iter()
        .map(|op| Ok::<_, Infallible>(op.bytes().to_vec()));
    let report = store.ingest(given, &Authors::Any).unwrap();
    report
        .outcomes
        .into_iter()
        .map(|(_, outcome)| outcome)
        .collect()
}

/// A store in memory that has ingested these ops.
fn with(machine: &WasmMachine, ops: &[&Op]) -> Store {
    let store = Place::memory(machine).open(machine);
    take(&store, ops);
    store
}

/// A module that makes every call of the host that it may. It counts its calls, and if the payload
/// is `T`, a count and a kind of fault, it fails before the call with this count. A fixed module
/// does not fail.
fn steps(fault: &str) -> WasmMachine {
    let body = format!(
        r#"
    (data (i32.const 256) "told to \1b[31mfal")
    (global $n (mut i32) (i32.const 0))
    ;; The payload.
    (global $p (mut i32) (i32.const 0))
    (func $fault (param $kind i32) {fault})
    (func $step
        (global.set $n (i32.add (global.get $n) (i32.const 1)))
        (if (i32.and
                (i32.eq (i32.load8_u (global.get $p)) (i32.const 84))
                (i32.eq (i32.load8_u offset=1 (global.get $p)) (global.get $n)))
            (then (call $fault (i32.load8_u offset=2 (global.get $p))))))
    (func $is (param $at i32) (param $byte i32) (result i32)
        (i32.eq (i32.load8_u (local.get $at)) (local.get $byte)))

    (func (export "lattice1_decode") (param $at i32) (param $len i32) (result i64)
        (if (call $is (local.get $at) (i32.const 68)) (then (call $fault (i32.const 0))))
        ;; One that begins with `I` is invalid.
        (if (call $is (local.get $at) (i32.const 73)) (then (return (i64.const 0x10000000010))))
        (i64.const 0))

    (func (export "lattice1_apply") (param $at i32) (param $len i32)
        (local $key i32)
        (local.set $key (i32.add (local.get $at) (i32.const 16)))
        (global.set $p (i32.add (local.get $at) (i32.const 88)))
        ;; A row that remains of code that fails, if anything does.
        (call $step) (call $put (local.get $key) (i32.const 9) (local.get $at) (local.get $len))
        (call $step) (drop (call $get (local.get $key) (i32.const 9) (i32.const 0x10000)
            (i32.const 0)))
        (call $step) (call $take (i32.const 0x10000))
        (call $step) (drop (call $scan (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 0) (i32.const 0x10000) (i32.const 0x1000)))
        (call $step) (drop (call $count))
        (call $step) (drop (call $number (local.get $key) (i32.const 0x10000)))
        (call $step) (call $stamp (i64.load (local.get $at)) (i32.const 0x10000))
        (call $step) (drop (call $op (i64.load (local.get $at)) (i32.const 0x10000)
            (i32.const 0x1000)))
        (call $step) (call $log (i32.const 0) (i32.const 256) (i32.const 9))
        (call $step) (call $remove (local.get $key) (i32.const 9))
        (call $step) (call $put (local.get $key) (i32.const 72)
            (global.get $p) (i32.sub (local.get $len) (i32.const 88)))
        (call $step))

    (func (export "lattice1_settle") (param $kind i32) (param $at i32) (param $len i32)
        (local $key i32)
        (local.set $key (i32.add (local.get $at) (i32.const 15)))
        (call $step) (drop (call $get (local.get $key) (i32.const 73) (i32.const 0) (i32.const 0)))
        (call $step) (call $put (local.get $key) (i32.const 73) (i32.const 0) (i32.const 0))
        (call $step))

    (func (export "lattice1_elements") (param $schema i64) (param $at i32) (param $len i32)
        (local $row i32) (local $key i32) (local $value i32) (local $end i32)
        (local.set $end (i32.add (local.get $at) (local.get $len)))
        (global.set $n (i32.const 100))
        (loop $rows
            (local.set $key (i32.add (local.get $at) (i32.const 8)))
            (local.set $value (i32.add (local.get $key) (i32.load (local.get $at))))
            ;; An empty value is no payload: the byte after it is of the next row.
            (if (i32.load offset=4 (local.get $at))
                (then (global.set $p (local.get $value)) (global.set $n (i32.const 100)))
                (else (global.set $p (i32.const 0))))
            (call $step) (drop (call $count))
            (call $step)
            (call $element (local.get $row) (local.get $key) (i32.load (local.get $at))
                (local.get $value) (i32.load offset=4 (local.get $at)))
            (call $step)
            (local.set $at (i32.add (local.get $value) (i32.load offset=4 (local.get $at))))
            (local.set $row (i32.add (local.get $row) (i32.const 1)))
            (br_if $rows (i32.lt_u (local.get $at) (local.get $end)))))

    ;; The arguments: a record of `arg`, or of nothing. The payload is what `arg` is.
    (func (export "lattice1_prepare") (param $method i32) (param $at i32) (param $len i32)
            (result i64)
        (if (call $is (i32.add (local.get $at) (i32.const 8)) (i32.const 80))
            (then (call $fault (i32.const 0))))
        (i32.store8 (i32.add (local.get $at) (i32.const 7)) (i32.const 0))
        (i64.or
            (i64.shl (i64.extend_i32_u (i32.add (local.get $at) (i32.const 7))) (i64.const 32))
            (i64.extend_i32_u (i32.sub (local.get $len) (i32.const 7)))))

    (func (export "lattice1_query") (param $method i32) (param $at i32) (param $len i32)
            (result i64)
        (if (call $is (i32.add (local.get $at) (i32.const 8)) (i32.const 81))
            (then (call $fault (i32.const 0))))
        (i64.const 0x1000000000002))

    (func (export "lattice1_describe") (param $at i32) (param $len i32) (result i64)
        (call $fault (i32.const 0))
        (i64.const 0x10000000007))
    "#
    );
    let manifest = Manifest {
        elements: Elements::Code,
        ..methods()
    };
    machine(&manifest, &body)
}

/// The kinds of faults: a message, a trapping instruction, gas, an address.
const FAULTS: &str = "(block (block (block (block (br_table 0 1 2 3 (local.get $kind)))
        (call $fail (i32.const 256) (i32.const 16)))
        (unreachable))
        (loop (br 0)))
        (drop (call $get (i32.const -1) (i32.const 9) (i32.const 0) (i32.const 0)))";

const TOLD: &str = "told to \\u{1b}[31mfal";

fn failing() -> WasmMachine {
    steps(FAULTS)
}

fn fixed(equal_to: &[&str]) -> WasmMachine {
    WasmMachine::new(steps("").code().clone(), equal_to).unwrap()
}

fn version(machine: &WasmMachine) -> String {
    machine.code().cid().to_string()
}

/// The counts at which an op fails: those of `apply` and `settle`, and those of `elements`.
const COUNTS: [u8; 18] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 101, 102, 103,
];

fn is_message(fault: &LogicFault, kind: u8) -> bool {
    match (fault, kind) {
        (LogicFault::Trap { message }, 0) => message == TOLD,
        (LogicFault::Trap { message }, 1) => message.contains("unreachable"),
        (LogicFault::Limit { limit, .. }, 2) => *limit == Limit::Gas,
        (LogicFault::Trap { message }, 3) => message.contains("beyond the memory"),
        _ => false,
    }
}

fn command(machine: &WasmMachine, payload: &[u8]) -> WasmCommand {
    let entry = &machine.methods()[0];
    let MethodCall::Command(command) = entry.call else {
        panic!("{} is a command", entry.method.name);
    };
    let args = Value::record([("arg", Value::Bytes(payload.to_vec()))]);
    command(machine, Args::new(&entry.method, args).unwrap()).unwrap()
}

#[test]
fn a_local_op_that_fails_at_any_call_is_refused() {
    let machine = failing();
    for place in [Place::memory(&machine), Place::redb(&machine)] {
        let store = place.open(&machine);
        store.append(command(&machine, b"first")).unwrap();
        let mut faults = 0;
        for count in COUNTS {
            for kind in [0, 1, 2, 3] {
                // Using up the gas takes long, so only a few counts are tested.
                if kind == 2 && ![3, 14, 102].contains(&count) {
                    continue;
                }
                let hash = store.state_hash().unwrap();
                let ops = store.op_count().unwrap();
                match store.append(command(&machine, &[b'T', count, kind])) {
                    Err(AppendError::Fault(fault)) => {
                        assert!(is_message(&fault, kind), "{count}, {kind}: {fault}");
                    }
                    other => panic!("{count}, {kind}: {other:?}"),
                }
                faults += 1;
                assert!(store.is_usable());
                assert_eq!(store.state_hash().unwrap(), hash);
                assert_eq!(store.op_count().unwrap(), ops);
                assert_eq!(store.held_ops().unwrap().count(), 0);
            }
            let next = store.append(command(&machine, &[count, 0, 0])).unwrap();
            assert_eq!(next.index.get() + 1, store.op_count().unwrap());
        }
        assert_eq!(faults, 3 * COUNTS.len() + 3);
        // The module makes no other calls.
        for count in [0, 16, 17, 100, 104] {
            store.append(command(&machine, &[b'T', count, 0])).unwrap();
        }
        let verified = store.verify(Depth::Full, &*place.backend, &ProgressSink::none());
        assert_eq!(verified.unwrap().findings, []);
    }
}

#[test]
fn a_payload_that_prepare_makes_and_decode_refuses_is_a_fault() {
    let machine = failing();
    let place = Place::redb(&machine);
    let store = place.open(&machine);
    let hash = store.state_hash().unwrap();
    match store.append(command(&machine, b"I am invalid")) {
        Err(AppendError::Fault(LogicFault::Trap { message })) => {
            let expected = format!("`decode` refuses the payload that is to be applied: {TOLD}");
            assert_eq!(message, expected);
        }
        other => panic!("{other:?}"),
    }
    assert!(store.is_usable());
    assert_eq!(store.op_count().unwrap(), 0);
    assert_eq!(store.state_hash().unwrap(), hash);
    // The same payload from another author is an op without effect.
    assert!(matches!(
        take(&store, &[&op(2, None, 0, b"I am invalid")])[..],
        [Outcome::Applied { .. }]
    ));
    assert_eq!(store.held_ops().unwrap().count(), 0);
    store.append(command(&machine, b"next")).unwrap();
    let verified = store.verify(Depth::Full, &*place.backend, &ProgressSink::none());
    assert_eq!(verified.unwrap().findings, []);
}

#[test]
fn an_op_of_another_that_fails_at_any_call_is_held_until_other_code_settles_it() {
    let (failing, equal, other) = (failing(), fixed(&[&version(&failing())]), fixed(&[]));
    for count in COUNTS {
        let bad = op(2, None, 0, &[b'T', count, 0]);
        let after = op(2, Some(&bad), 1, b"after");
        let free = op(3, None, 2, b"free");
        let ops = [&bad, &after, &free];
        let message = LogicFault::Trap {
            message: TOLD.into(),
        }
        .to_string();
        let never = with(&failing, &[&free]);
        let never = never.state_hash().unwrap();
        let direct = with(&other, &ops).state_hash().unwrap();
        for (place, fixed) in [
            (Place::memory(&failing), &other),
            (Place::redb(&failing), &equal),
        ] {
            let store = place.open(&failing);
            let outcomes = take(&store, &ops);
            let reasons = [
                HeldReason::Fault {
                    message: message.clone(),
                },
                HeldReason::Follows {
                    parent: bad.reference(),
                },
            ];
            for (outcome, reason) in outcomes.iter().zip(&reasons) {
                let reason = reason.clone();
                assert_eq!(*outcome, Outcome::Held { reason }, "{count}");
            }
            assert!(matches!(outcomes[2], Outcome::Applied { .. }));
            assert_eq!(store.state_hash().unwrap(), never);
            let held = store.held_ops().unwrap().map(Result::unwrap);
            let held: Vec<_> = held
                .map(|held| (held.op, held.logic, held.reason))
                .collect();
            let expected: Vec<_> = [&bad, &after]
                .into_iter()
                .zip(reasons)
                .map(|(op, reason)| (op.clone(), version(&failing), reason))
                .collect();
            assert_eq!(held, expected);
            // A second delivery is known. With fixed code, the store's own author writes again.
            assert_eq!(take(&store, &[&bad])[..], [Outcome::Known]);
            assert!(store.is_usable());
            store.close().unwrap();
            let store = place.open(fixed);
            assert_eq!(store.held_ops().unwrap().count(), 0);
            assert_eq!(store.op_count().unwrap(), 3);
            assert_eq!(store.state_hash().unwrap(), direct);
            let verified = store.verify(Depth::Full, &*place.backend, &ProgressSink::none());
            assert_eq!(verified.unwrap().findings, []);
            store.append(command(fixed, b"own")).unwrap();
        }
    }
}

#[test]
fn an_op_whose_payload_cannot_be_read_is_held() {
    let failing = failing();
    let bad = op(2, None, 0, b"D");
    let free = op(3, None, 2, b"free");
    let place = Place::redb(&failing);
    let store = place.open(&failing);
    let outcomes = take(&store, &[&bad, &free]);
    let Outcome::Held {
        reason: HeldReason::Fault { message },
    } = &outcomes[0]
    else {
        panic!("{outcomes:?}");
    };
    assert!(message.ends_with(TOLD), "{message}");
    match store.append(command(&failing, b"D")) {
        Err(AppendError::Fault(fault)) => assert!(is_message(&fault, 0), "{fault}"),
        other => panic!("{other:?}"),
    }
    store.close().unwrap();
    assert_eq!(place.open(&fixed(&[])).op_count().unwrap(), 2);
}

#[test]
fn a_call_that_fails_leaves_the_store_usable() {
    let failing = failing();
    let store = Place::redb(&failing).open(&failing);
    let arg = |bytes: &[u8]| Value::record([("arg", Value::Bytes(bytes.to_vec()))]);
    for _ in 0..2 {
        match store.call("ask", arg(b"Q")) {
            Err(MethodError::Backend(BackendError::Fault(fault))) => {
                assert!(is_message(&fault, 0), "{fault}");
            }
            other => panic!("{other:?}"),
        }
        match store.call("make", arg(b"P")) {
            Err(MethodError::Append(cause)) => {
                let cause = cause.downcast_ref::<AppendError<WasmRefusal>>();
                let Some(AppendError::Fault(fault)) = cause else {
                    panic!("{cause:?}");
                };
                assert!(is_message(fault, 0), "{fault}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(store.call("ask", arg(b"other")).unwrap(), Value::Null);
        store.call("make", arg(b"other")).unwrap();
        assert!(store.is_usable());
    }
    assert_eq!(store.op_count().unwrap(), 2);
    assert_eq!(failing.describe(b"any"), "3 bytes");
    assert_eq!(fixed(&[]).describe(b"any"), "told to");
}

/// A store refuses code that fails on an applied op.
#[test]
fn a_module_that_fails_on_an_applied_op_does_not_take_its_place() {
    let (old, new) = (fixed(&[]), failing());
    for count in [1, 15, 102] {
        let bad = op(2, None, 0, &[b'T', count, 0]);
        let place = Place::redb(&old);
        let store = place.open(&old);
        take(&store, &[&bad]);
        let hash = store.state_hash().unwrap();
        store.close().unwrap();
        let refused = Engine::open(place.request(), new.clone()).unwrap_err();
        let OpenError::History { faults, .. } = &refused else {
            panic!("{refused:?}");
        };
        assert!(faults[0].ends_with(TOLD), "{faults:?}");
        let mut request = place.request();
        (request.logic, request.options) = (LogicPolicy::Trust, OpenOptions::read_only());
        let reader = Engine::open(request, new.clone()).unwrap();
        let verified = reader.verify(Depth::Full, &*place.backend, &ProgressSink::none());
        match count {
            // The rows cannot be hashed.
            102 => assert!(is_message(&fault(verified), 0)),
            _ => assert_eq!(verified.unwrap().findings.len(), 1),
        }
        reader.close().unwrap();
        assert_eq!(place.open(&old).state_hash().unwrap(), hash);
    }
}

/// An unknown apply index is a storage error where the store's own rows contain it. A module that
/// makes one up must not be able to stop the store with it.
#[test]
fn a_made_up_index_does_not_stop_the_store() {
    for body in [
        "(call $stamp (i64.const -1) (i32.const 0))",
        "(drop (call $op (i64.const 77) (i32.const 0) (i32.const 0)))",
    ] {
        let machine = machine(&manifest(), &apply(body));
        let store = Place::redb(&machine).open(&machine);
        let outcomes = take(&store, &[&op(2, None, 0, b"p")]);
        assert!(
            matches!(outcomes[..], [Outcome::Held { .. }]),
            "{outcomes:?}"
        );
        assert!(store.is_usable());
    }
}

/// Endless work, in each part of an op, ends by a limit within a bounded time.
#[test]
fn floods_end_by_limits() {
    let element = "(call $element (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 0)
        (i32.const X))";
    let elements = |body: &str| {
        let body = format!(
            r#"{} (func (export "lattice1_elements") (param i64 i32 i32) {body})"#,
            apply("(call $put (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1))")
        );
        machine(&coded(), &body)
    };
    let count_up = "(i64.store (i32.const 0) (i64.add (i64.load (i32.const 0)) (i64.const 1)))";
    let apply_loop = |body: &str| {
        let memory = r#"(memory (export "memory") 256)"#;
        let body = format!("(loop {count_up} {body} (br 0))");
        machine(&manifest(), &format!("{memory} {}", apply(&body)))
    };
    for (name, machine, limits) in [
        (
            "writes",
            apply_loop("(call $put (i32.const 0) (i32.const 8) (i32.const 0) (i32.const 0))"),
            &[Limit::RowsWritten][..],
        ),
        (
            "long writes",
            apply_loop(
                "(call $put (i32.const 0) (i32.const 8) (i32.const 0) (i32.const 0x100000))",
            ),
            &[Limit::BytesWritten],
        ),
        (
            "removals",
            apply_loop("(call $remove (i32.const 0) (i32.const 8))"),
            &[Limit::RowsWritten],
        ),
        (
            "reads of nothing",
            apply_loop(
                "(drop (call $get (i32.const 0) (i32.const 8) (i32.const 0) (i32.const 0)))",
            ),
            &[Limit::Gas, Limit::Calls],
        ),
        (
            "reads of a row",
            apply_loop(
                "(call $put (i32.const 8) (i32.const 8) (i32.const 0) (i32.const 8))
                 (loop (drop (call $get (i32.const 8) (i32.const 8) (i32.const 0) (i32.const 0)))
                    (br 0))",
            ),
            &[Limit::Gas, Limit::Calls],
        ),
        (
            "ranges",
            apply_loop(
                "(drop (call $scan (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                    (i32.const 0) (i32.const 0x8000) (i32.const 0x8000)))",
            ),
            &[Limit::Gas, Limit::Calls, Limit::RowsRead],
        ),
        (
            "ranges over what was written",
            apply_loop(
                "(call $put (i32.const 0) (i32.const 8) (i32.const 0) (i32.const 0))
                 (drop (call $scan (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                    (i32.const 0) (i32.const 0x8000) (i32.const 0x8000)))",
            ),
            &[Limit::Gas, Limit::Calls, Limit::RowsRead],
        ),
        (
            "history",
            apply_loop("(call $stamp (i64.const 0) (i32.const 0x8000))"),
            &[Limit::Gas, Limit::Calls],
        ),
        (
            "elements",
            elements(&format!(
                "(loop {count_up} {} (br 0))",
                element.replace('X', "8")
            )),
            &[Limit::Gas],
        ),
        (
            "long elements",
            elements(&format!(
                "(loop {count_up} {} (br 0))",
                element.replace('X', "0x20000")
            )),
            &[Limit::Gas],
        ),
    ] {
        let begin = Instant::now();
        let store = Place::redb(&machine).open(&machine);
        let bad = op(2, None, 0, b"p");
        let outcomes = take(&store, &[&bad, &op(3, None, 0, b"p")]);
        let Outcome::Held {
            reason: HeldReason::Fault { message },
        } = &outcomes[0]
        else {
            panic!("{name}: {outcomes:?}");
        };
        println!("{name:30} {:>10.1?}  {message}", begin.elapsed() / 2);
        let is_limit = limits
            .iter()
            .any(|limit| message.ends_with(&limit.to_string()));
        let is_elements = name == "elements" && message.contains("65536 elements");
        assert!(is_limit || is_elements, "{name}: {message}");
        assert!(store.is_usable());
        assert_eq!(store.op_count().unwrap(), 0);
    }
}
