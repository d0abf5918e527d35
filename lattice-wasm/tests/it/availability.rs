//! Imports in the calls of the host where they are available, and in the others.

use lattice_backend::backend::Result;
use lattice_backend::machine::{MachineError, StateMachine, Step, Value};
use lattice_backend::op::{ApplyIndex, OpKind, OpView};
use lattice_meta::{Hlc, SchemaVersion};
use lattice_wasm::{WasmMachine, WasmPayload};

use crate::guest::*;

/// The calls of the host that run a module.
const CALLS: [&str; 9] = [
    "decode", "apply", "settle", "elements", "prepare", "query", "describe", "migrate", "convert",
];

/// The calls in which each import is available.
const AVAILABLE: [(&str, &str, &[&str]); 13] = [
    (
        "get",
        "(drop (call $get (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 9)))",
        &["apply", "settle", "prepare", "query", "migrate"],
    ),
    (
        "scan",
        "(drop (call $scan (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 0) (i32.const 9)))",
        &["apply", "settle", "prepare", "query", "migrate"],
    ),
    (
        "put",
        "(call $put (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1))",
        &["apply", "settle", "migrate"],
    ),
    (
        "remove",
        "(call $remove (i32.const 0) (i32.const 1))",
        &["apply", "settle", "migrate"],
    ),
    (
        "count",
        "(drop (call $count))",
        &["apply", "elements", "prepare", "query", "migrate"],
    ),
    (
        "number",
        "(drop (call $number (i32.const 0) (i32.const 0)))",
        &["apply", "elements", "prepare", "query", "migrate"],
    ),
    (
        "stamp",
        "(call $stamp (i64.const 1) (i32.const 0))",
        &["apply", "elements", "prepare", "query", "migrate"],
    ),
    (
        "op",
        "(drop (call $op (i64.const 1) (i32.const 0) (i32.const 90)))",
        &["apply", "elements", "prepare", "query", "migrate"],
    ),
    (
        "element",
        "(call $element (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1))",
        &["elements"],
    ),
    (
        "hash",
        "(call $hash (i32.const 0) (i32.const 9) (i32.const 32))",
        &CALLS,
    ),
    (
        "log",
        "(call $log (i32.const 0) (i32.const 0) (i32.const 1))",
        &CALLS,
    ),
    // These end every call, with a different message.
    ("take", "(call $take (i32.const 0))", &[]),
    ("fail", "(call $fail (i32.const 0) (i32.const 0))", &[]),
];

/// A module with all exports, one of which has this body.
fn only(export: &str, body: &str) -> WasmMachine {
    let mut manifest = methods();
    manifest.elements = coded().elements;
    manifest.schemas = SchemaVersion::new(1)..=SchemaVersion::new(2);
    manifest.converts = vec![OLD.parse().unwrap()];
    let functions = [
        ("decode", "(param i32 i32) (result i64)", "(i64.const 0)"),
        ("apply", "(param i32 i32)", ""),
        ("settle", "(param i32 i32 i32)", ""),
        ("elements", "(param i64 i32 i32)", ""),
        (
            "prepare",
            "(param i32 i32 i32) (result i64)",
            "(i64.const 0xea6000000001)",
        ),
        (
            "query",
            "(param i32 i32 i32) (result i64)",
            "(i64.const 0xea6000000002)",
        ),
        ("describe", "(param i32 i32) (result i64)", "(i64.const 0)"),
        ("migrate", "(param i64)", ""),
        (
            "convert",
            "(param i32 i32) (result i64)",
            "(i64.const 0xee4800000010)",
        ),
    ];
    // The answers are at 60,000: byte 0 and nothing, or the value null; and at 61,000 a conversion
    // that has ended, `{calls: [], next: null}`.
    let mut text = String::from(r#"(data (i32.const 61000) "\07\02\05calls\06\00\04next\00")"#);
    for (name, signature, result) in functions {
        let body = if name == export { body } else { "" };
        text.push_str(&format!(
            r#"(func (export "lattice1_{name}") {signature} {body} {result})"#
        ));
    }
    machine(&manifest, &text)
}

/// Makes one of the calls.
fn enter(machine: &WasmMachine, call: &str) -> Result<()> {
    let backend = |error| match error {
        MachineError::Backend(error) => error,
        other => panic!("{other}"),
    };
    match call {
        "decode" => match machine.decode(b"p").unwrap() {
            WasmPayload::Failed(error) => Err(error),
            _ => Ok(()),
        },
        "apply" | "settle" => run(machine, b"p").map(drop),
        "elements" => elements(machine, 3).map(drop),
        "prepare" => make(machine).map(drop).map_err(backend),
        "query" => ask(machine).map(drop).map_err(backend),
        "migrate" => {
            let mut rows = MapRows::default();
            machine.migrate(SchemaVersion::new(1), &mut rows, &Ops::new(3))
        }
        "convert" => machine.convert(step()).map(drop),
        other => panic!("{other}"),
    }
}

/// The type from which the modules of these tests convert stores.
const OLD: &str = "org.example.old";

fn step() -> Step {
    Step {
        from: OLD.parse().unwrap(),
        state: Value::Null,
        result: Value::Null,
    }
}

#[test]
fn imports_where_they_are_not_available() {
    for (name, body, available) in AVAILABLE {
        for call in CALLS {
            let machine = only(call, body);
            if call == "describe" {
                // A failed description is the length of the payload.
                let is_there = available.contains(&call);
                let expected = if is_there { "" } else { "1 bytes" };
                assert_eq!(machine.describe(b"p"), expected, "{name}");
                continue;
            }
            let ended = enter(&machine, call);
            let expected = match name {
                "take" => "`take` has nothing to give".into(),
                "fail" => String::new(),
                _ => format!("`{name}` is not available in this call"),
            };
            match available.contains(&call) {
                true => ended.unwrap(),
                false => assert_eq!(trapped(ended), expected, "{name} in {call}"),
            }
            // The other calls of this module succeed.
            for other in CALLS.into_iter().filter(|other| *other != "describe") {
                let is_same = other == call
                    || [other, call] == ["apply", "settle"]
                    || [other, call] == ["settle", "apply"]
                    || (call == "decode" && ["apply", "settle"].contains(&other));
                if !is_same {
                    enter(&machine, other).unwrap();
                }
            }
        }
    }
}

/// The host settles a merge, and an op with an invalid payload, without applying them: no export of
/// the module sees history then, whichever function of the machine the host calls.
#[test]
fn settling_alone_sees_no_history() {
    let machine = machine(
        &manifest(),
        r#"(func (export "lattice1_alloc") (param i32) (result i32)
               (drop (call $count)) (i32.const 0x20000))
           (func (export "lattice1_settle") (param i32 i32 i32))"#,
    );
    let history = Ops::new(3);
    let op = OpView {
        index: ApplyIndex::new(3),
        reference: op_ref(3),
        hlc: Hlc::from_u64(1),
        payload: b"",
    };
    let mut rows = MapRows::default();
    let run = machine.run(OpKind::Merge, &op, None, &mut rows, &history);
    let settled = machine.settle(OpKind::Merge, &op, &mut rows);
    assert_eq!(trapped(run), trapped(settled));
}

/// A payload that the module has made itself is read in the instance that applies the op. `decode`
/// sees as little there as elsewhere.
#[test]
fn own_payloads_are_read_without_rows_and_history() {
    for (name, body, available) in AVAILABLE {
        let machine = only("decode", body);
        let payload = machine.decode_own(b"p").unwrap();
        let history = Ops::new(3);
        let op = OpView {
            index: ApplyIndex::new(3),
            reference: op_ref(3),
            hlc: Hlc::from_u64(1),
            payload: b"p",
        };
        let mut rows = MapRows([(vec![0], vec![5; 300])].into());
        let before = rows.0.clone();
        let ended = machine.run(OpKind::Application, &op, Some(payload), &mut rows, &history);
        match (name, available.contains(&"decode")) {
            (_, true) => ended.unwrap(),
            ("take", _) => assert_eq!(trapped(ended), "`take` has nothing to give"),
            ("fail", _) => assert_eq!(trapped(ended), ""),
            (name, _) => {
                let expected = format!("`{name}` is not available in this call");
                assert_eq!(trapped(ended), expected);
            }
        }
        assert_eq!(rows.0, before, "{name}");
    }
}
