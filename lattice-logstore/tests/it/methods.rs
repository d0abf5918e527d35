//! Calls by name.

use lattice_backend::machine::{
    Args, CallError, MachineError, MethodCall, MethodKind, StateMachine, Value,
};
use lattice_logstore::{Append, LogMachine, encode_payload};

use crate::selection::positions_of;
use crate::support::{FakeOp, Host};

fn command(method: &str, fields: Value) -> Result<Append, CallError> {
    let machine = LogMachine::new();
    let mut methods = machine.methods().iter();
    let entry = methods.find(|entry| entry.method.name == method).unwrap();
    let MethodCall::Command(command) = entry.call else {
        panic!("{method} is not a command");
    };
    command(&machine, Args::new(&entry.method, &fields.to_bytes())?)
}

fn bytes(content: &[u8]) -> Value {
    Value::Bytes(content.to_vec())
}

/// A log of 1,200 entries in one op.
fn long_log() -> Host {
    let payload = encode_payload(&vec![b"x"; 1200]).unwrap();
    let mut host = Host::default();
    host.apply(
        &FakeOp {
            author: 1,
            hlc: 1 << 16,
            id: [1; 32],
            payload,
        }
        .view(),
    );
    host
}

fn ask(method: &str, fields: Value, host: &Host) -> Result<Value, CallError> {
    host.query(method, fields).map_err(|error| match error {
        MachineError::Refused(error) => error,
        other => panic!("{other}"),
    })
}

#[test]
fn methods_are_described() {
    let machine = LogMachine::new();
    let described: Vec<_> = machine
        .methods()
        .iter()
        .map(|entry| (&*entry.method.name, entry.method.kind))
        .collect();
    let expected = [
        ("append", MethodKind::Command),
        ("append_many", MethodKind::Command),
        ("read", MethodKind::Query),
        ("tail", MethodKind::Query),
        ("len", MethodKind::Query),
    ];
    assert_eq!(described, expected);
    for entry in machine.methods() {
        assert!(!entry.method.doc.is_empty());
        assert!(
            entry
                .method
                .params
                .iter()
                .all(|param| !param.doc.is_empty())
        );
    }
}

#[test]
fn commands_accept_bytes_and_texts() {
    let one = |content: &[u8]| Append {
        entries: vec![content.to_vec()],
    };
    for (content, expected) in [
        (bytes(b"\xff"), one(b"\xff")),
        (Value::Text("ö".into()), one("ö".as_bytes())),
    ] {
        assert_eq!(
            command("append", Value::record([("content", content)])),
            Ok(expected)
        );
    }
    let empty = command("append", Value::record([("content", bytes(b""))]));
    assert_eq!(empty, Ok(one(b"")));
    let many = Value::List(vec![bytes(b"a"), Value::Text("b".into()), bytes(b"")]);
    let expected = Append {
        entries: vec![b"a".to_vec(), b"b".to_vec(), Vec::new()],
    };
    assert_eq!(
        command("append_many", Value::record([("entries", many)])),
        Ok(expected)
    );
}

#[test]
fn wrong_arguments_are_named() {
    let refusal = command("append", Value::Null).unwrap_err();
    assert!(
        matches!(&refusal, CallError::MissingParam { param, .. } if param == "content"),
        "{refusal:?}"
    );
    let mixed = Value::List(vec![bytes(b"a"), Value::Bool(true)]);
    let refusal = command("append_many", Value::record([("entries", mixed)])).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "method `append_many`, parameter `entries`: expected bytes or text at 1, found bool"
    );
    let data = Host::default();
    for param in ["from", "after", "before"] {
        let asked = Value::record([(param, Value::Text("yesterday".into()))]);
        let refusal = ask("read", asked, &data).unwrap_err();
        assert!(
            matches!(&refusal, CallError::Argument { param: named, .. } if *named == param),
            "{refusal:?}"
        );
    }
    for param in ["from_ms", "until_ms", "limit"] {
        let asked = Value::record([(param, Value::Integer(-1))]);
        let refusal = ask("read", asked, &data).unwrap_err();
        assert!(matches!(refusal, CallError::Argument { .. }), "{refusal:?}");
    }
    let asked = Value::record([("n", Value::Integer(1 << 64))]);
    assert!(matches!(
        ask("tail", asked, &data),
        Err(CallError::Argument { .. })
    ));
}

#[test]
fn an_entry_is_a_record() {
    let mut host = Host::default();
    let payload = encode_payload(&[&b"zero"[..], b"\xff"]).unwrap();
    let op = FakeOp {
        author: 0xaa,
        hlc: 5 << 16 | 3,
        id: [0xbb; 32],
        payload,
    };
    host.apply(&op.view());
    let answer = ask("tail", Value::record([("n", 1_u64.into())]), &host).unwrap();
    let entry = Value::record([
        (
            "position",
            Value::Text(format!("0000000000050003-{}-1", "bb".repeat(32))),
        ),
        ("time_ms", 5_u64.into()),
        ("author", Value::Text("aa".repeat(32))),
        ("op", Value::Text("bb".repeat(32))),
        ("index", 1_u64.into()),
        ("content", bytes(b"\xff")),
    ]);
    assert_eq!(answer, Value::List(vec![entry]));
}

#[test]
fn a_caller_can_limit_the_length_of_a_result() {
    let data = long_log();
    let count = |method, fields| positions_of(&ask(method, fields, &data).unwrap()).len();
    assert_eq!(count("read", Value::Null), 1000);
    assert_eq!(
        count("read", Value::record([("limit", 5000_u64.into())])),
        1200
    );
    assert_eq!(count("tail", Value::Null), 10);
    assert_eq!(count("tail", Value::record([("n", 0_u64.into())])), 0);
    assert_eq!(ask("len", Value::Null, &data), Ok(1200_u64.into()));
}

#[test]
fn a_long_log_is_read_in_pages_by_position() {
    let data = long_log();
    let first = positions_of(&ask("read", Value::Null, &data).unwrap());
    let after = Value::record([("after", Value::Text(first[999].to_string()))]);
    let second = positions_of(&ask("read", after, &data).unwrap());
    assert_eq!(second.len(), 200);
    assert!(first.iter().chain(&second).is_sorted());
}
