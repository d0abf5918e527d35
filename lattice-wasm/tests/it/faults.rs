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
use lattice_backend::engine::verify::{Depth, Finding};
use lattice_backend::engine::write::AppendError;
use lattice_backend::machine::{Limit, LogicFault, StateMachine, Value};
use lattice_backend::op::{Op, OpDraft, OpHasher, OpKind, SecretKey};
use lattice_backend::progress::ProgressSink;
use lattice_backend::redb::RedbBackend;
use lattice_backend::storage::MemoryDisk;
use lattice_meta::{Genesis, Hlc, Nonce, OpId};
use lattice_wasm::{WasmMachine, WasmRefusal};

use crate::failing::*;
use crate::guest::{apply, coded, fault, machine, manifest};

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
fn a_prepared_payload_that_decode_refuses_is_a_fault() {
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
fn a_received_op_that_fails_at_any_call_is_held_until_other_code_settles_it() {
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
fn a_module_that_fails_on_an_applied_op_does_not_replace_the_old_one() {
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
            _ => {
                let found = verified.unwrap().findings;
                let kinds: Vec<_> = found.iter().map(Finding::kind).collect();
                assert_eq!(kinds, ["logic", "op"]);
            }
        }
        reader.close().unwrap();
        assert_eq!(place.open(&old).state_hash().unwrap(), hash);
    }
}

/// An unknown apply index is a storage error where the store's own rows contain it. A module that
/// makes one up must not be able to stop the store with it.
#[test]
fn an_invented_apply_index_does_not_stop_the_store() {
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
fn floods_are_stopped_by_limits() {
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
