//! What the host passes to a module, what the module reads through its imports, and its answers.

use std::collections::BTreeMap;
use std::fmt::Write;

use lattice_backend::backend::{BackendError, Direction, Result, Row, RowCursor, Rows, Span};
use lattice_backend::machine::{
    Args, CallError, DataRead, DataWrite, History, MachineError, MethodCall, StateMachine, Value,
};
use lattice_backend::op::{ApplyIndex, OpRef, OpView, Stamp};
use lattice_meta::{Hlc, OpId, PubKey, SchemaVersion};
use lattice_wasm::{Code, WasmMachine, WasmPayload, WasmRefusal};

use super::{field, fields};

const HLC: u64 = 1_700_000_000_123 << 16 | 7;

fn bytes_from(first: u8) -> [u8; 32] {
    std::array::from_fn(|at| first + u8::try_from(at).unwrap())
}

fn current(payload: &[u8]) -> OpView<'_> {
    OpView {
        index: ApplyIndex::new((1 << 33) + 5),
        hlc: Hlc::from_u64(HLC),
        reference: OpRef {
            author: PubKey::from_bytes(bytes_from(0)),
            seq: (1 << 40) + 1,
            id: OpId::from_bytes(bytes_from(0xc0)),
        },
        payload,
    }
}

/// A history of one op.
struct Past;

impl Past {
    fn stamp() -> Stamp {
        Stamp {
            hlc: Hlc::from_u64(HLC - 1),
            op: OpRef {
                author: PubKey::from_bytes(bytes_from(32)),
                seq: 0,
                id: OpId::from_bytes(bytes_from(0x80)),
            },
        }
    }
}

impl History for Past {
    fn count(&self) -> Result<u64> {
        Ok(1)
    }

    fn index_of(&self, op: &OpRef) -> Result<Option<ApplyIndex>> {
        Ok((*op == Self::stamp().op).then_some(ApplyIndex::FIRST))
    }

    fn stamp(&self, index: ApplyIndex) -> Result<Stamp> {
        assert_eq!(index, ApplyIndex::FIRST);
        Ok(Self::stamp())
    }

    fn show(&self, index: ApplyIndex, see: &mut dyn FnMut(&OpView<'_>)) -> Result<()> {
        let Stamp { hlc, op: reference } = self.stamp(index)?;
        let payload = b"past payload";
        see(&OpView {
            index,
            hlc,
            reference,
            payload,
        });
        Ok(())
    }
}

/// The rows that a module reads, and the rows that it writes.
#[derive(Default)]
struct Data {
    rows: Vec<(&'static [u8], Vec<u8>)>,
    written: BTreeMap<Vec<u8>, Vec<u8>>,
}

struct Cursor(Vec<(&'static [u8], Vec<u8>)>, Vec<u8>);

impl RowCursor for Cursor {
    fn next(&mut self) -> Result<Option<Row<'_>>> {
        let row = self.0.pop().map(|(key, value)| {
            self.1 = value;
            (key, &self.1)
        });
        Ok(row.map(|(key, value)| Row { key, value }))
    }
}

impl DataRead for Data {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let found = self.rows.iter().find(|(known, _)| *known == key);
        Ok(found.map(|(_, value)| value.clone()))
    }

    fn range(&self, _: Span<'_>, direction: Direction) -> Result<Rows<'_>> {
        let mut rows = self.rows.clone();
        if direction == Direction::Forward {
            rows.reverse();
        }
        Ok(Box::new(Cursor(rows, Vec::new())))
    }
}

impl DataWrite for Data {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.written.insert(key.to_vec(), value.to_vec());
        Ok(())
    }

    fn remove(&mut self, _: &[u8]) -> Result<()> {
        unreachable!("the module removes nothing")
    }
}

fn rows() -> Data {
    Data {
        rows: vec![
            (b"", b"value".to_vec()),
            (b"a", Vec::new()),
            (b"key", vec![0; 300]),
        ],
        ..Data::default()
    }
}

/// Bytes as a string of the text format.
fn escaped(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "\\{byte:02x}").unwrap();
        text
    })
}

/// A module that returns its inputs: `apply` writes them to rows, `elements` makes elements of
/// them, and `prepare` makes a payload of them. If there is an answer, `prepare` and `query` return
/// that instead.
fn echo(answer: Option<&[u8]>) -> WasmMachine {
    let mut manifest = field("manifest.txt", "full");
    // Turns the method that is a stream into a query, since a module cannot have streams.
    let stream = manifest.windows(6).position(|bytes| bytes == b"follow");
    let kind = stream.unwrap() - 9;
    manifest[kind] = 1;
    let has_answer = u8::from(answer.is_some());
    let answer = answer.unwrap_or(&[]);
    let (manifest, len, answer) = (escaped(&manifest), answer.len(), escaped(answer));
    let text = format!(
        r#"(module
            (import "lattice1" "put" (func $put (param i32 i32 i32 i32)))
            (import "lattice1" "scan"
                (func $scan (param i32 i32 i32 i32 i32 i32 i32) (result i64)))
            (import "lattice1" "stamp" (func $stamp (param i64 i32)))
            (import "lattice1" "op" (func $op (param i64 i32 i32) (result i64)))
            (import "lattice1" "number" (func $number (param i32 i32) (result i32)))
            (import "lattice1" "element" (func $element (param i32 i32 i32 i32 i32)))
            (memory (export "memory") 1)
            (data (i32.const 16) "op")
            (data (i32.const 32) "page")
            (data (i32.const 48) "page_backward")
            (data (i32.const 64) "stamp")
            (data (i32.const 80) "past")
            (data (i32.const 96) "number")
            (data (i32.const 4096) "{answer}")
            (func (export "lattice1_alloc") (param i32) (result i32) (i32.const 1025))
            (func (export "lattice1_decode") (param i32 i32) (result i64) (i64.const 0))
            (func $page (param $flags i32) (param $name i32) (param $len i32)
                (call $put (local.get $name) (local.get $len) (i32.const 8192)
                    (i32.wrap_i64 (call $scan (local.get $flags) (i32.const 0) (i32.const 0)
                        (i32.const 0) (i32.const 0) (i32.const 8192) (i32.const 8192)))))
            (func (export "lattice1_apply") (param i32 i32)
                (call $put (i32.const 16) (i32.const 2) (local.get 0) (local.get 1))
                (call $page (i32.const 0) (i32.const 32) (i32.const 4))
                (call $page (i32.const 16) (i32.const 48) (i32.const 13))
                (call $stamp (i64.const 0) (i32.const 8192))
                (call $put (i32.const 64) (i32.const 5) (i32.const 8192) (i32.const 80))
                (i32.store (i32.const 8280)
                    (call $number (i32.const 8200) (i32.const 8272)))
                (call $put (i32.const 96) (i32.const 6) (i32.const 8272) (i32.const 12))
                (call $put (i32.const 80) (i32.const 4) (i32.const 8192)
                    (i32.wrap_i64 (call $op (i64.const 0) (i32.const 8192) (i32.const 8192)))))
            (func (export "lattice1_elements") (param i64 i32 i32)
                (call $element (i32.const 0) (i32.const 32) (i32.const 4)
                    (local.get 1) (local.get 2)))
            (func (export "lattice1_migrate") (param i64))
            (func (export "lattice1_convert") (param i32 i32) (result i64) (i64.const 0))
            (func $answer (result i64)
                (i64.or (i64.shl (i64.const 4096) (i64.const 32)) (i64.const {len})))
            (func (export "lattice1_prepare") (param i32 i32 i32) (result i64)
                (if (i32.eqz (i32.const {has_answer}))
                    (then (return (i64.or (i64.shl (i64.const 1024) (i64.const 32))
                        (i64.extend_i32_u (i32.add (local.get 2) (i32.const 1)))))))
                (call $answer))
            (func (export "lattice1_query") (param i32 i32 i32) (result i64) (call $answer))
            (@custom "lattice.store" "{manifest}"))"#
    );
    let wasm = wat::parse_str(text).unwrap();
    WasmMachine::new(Code::new(&wasm).unwrap(), &[]).unwrap()
}

fn apply(payload: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut data = rows();
    let valid = WasmPayload::Valid(payload);
    let machine = echo(None);
    machine
        .apply(&current(payload), valid, &mut data, &Past)
        .unwrap();
    data.written
}

#[test]
fn golden_inputs_and_what_imports_give() {
    let written = apply(b"payload");
    for name in ["op", "page", "page_backward", "stamp", "past"] {
        let expected = field("calls.txt", name);
        assert_eq!(written[name.as_bytes()], expected, "{name}");
    }
    // The apply index, and the flag that the op is applied.
    assert_eq!(
        written[&b"number"[..]],
        [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]
    );
    assert_eq!(
        apply(b"")[&b"op"[..]],
        field("calls.txt", "op_without_payload")
    );
}

#[test]
fn golden_page_of_elements() {
    let (data, mut found) = (rows(), Vec::new());
    let mut cursor = data
        .range(
            (std::ops::Bound::Unbounded, std::ops::Bound::Unbounded),
            Direction::Forward,
        )
        .unwrap();
    let mut each = |row: usize, _: &[u8], value: &[u8]| found.push((row, value.to_vec()));
    echo(None)
        .elements_of(SchemaVersion::new(2), &mut *cursor, &Past, &mut each)
        .unwrap();
    assert_eq!(found, [(0, field("calls.txt", "page"))]);
}

fn prepare(
    answer: Option<&[u8]>,
    args: Value,
) -> std::result::Result<Vec<u8>, MachineError<WasmRefusal>> {
    let machine = echo(answer);
    let entry = &machine.methods()[0];
    let MethodCall::Command(command) = entry.call else {
        panic!("`do` is a command");
    };
    let args = args.to_bytes();
    let args = Args::new(&entry.method, &args).unwrap();
    let command = command(&machine, args).unwrap();
    machine.prepare(&command, &Data::default(), &Past)
}

fn required() -> [(&'static str, Value); 3] {
    [
        ("bool", Value::Bool(true)),
        ("bytes", Value::Text("as text".into())),
        ("list", Value::List(vec![Value::Null])),
    ]
}

fn query(answer: &[u8]) -> std::result::Result<Value, MachineError<CallError>> {
    let machine = echo(Some(answer));
    let entry = &machine.methods()[1];
    let MethodCall::Query(query) = entry.call else {
        panic!("`ask` is a query");
    };
    let args = Value::Null.to_bytes();
    let args = Args::new(&entry.method, &args).unwrap();
    query(&machine, args, &Data::default(), &Past)
}

#[test]
fn golden_arguments() {
    let [one, two, three] = required();
    // A null argument is equivalent to a missing one.
    let integer = ("integer", Value::Integer(i128::MIN));
    let args = Value::record([one, two, three, integer, ("text", Value::Null)]);
    assert_eq!(
        prepare(None, args).unwrap(),
        field("calls.txt", "arguments")
    );
}

fn is_fault<R>(error: &MachineError<R>) -> bool {
    matches!(error, MachineError::Backend(BackendError::Fault(_)))
}

#[test]
fn golden_answers() {
    for (name, answer) in fields("answers.txt") {
        let argument = |method: &str, param: &str, reason: &str| CallError::Argument {
            method: method.into(),
            param: param.into(),
            reason: reason.into(),
        };
        if name.starts_with("query_") {
            match (name.as_str(), query(&answer)) {
                ("query_done", Ok(value)) => {
                    assert_eq!(value, Value::List(vec![Value::Integer(5)]));
                }
                ("query_refused", Err(MachineError::Refused(error))) => {
                    assert_eq!(error, argument("ask", "", "not now"));
                }
                ("query_argument", Err(MachineError::Refused(error))) => {
                    assert_eq!(error, argument("ask", "from", "too late"));
                }
                ("query_done" | "query_refused" | "query_argument", other) => {
                    panic!("{name}: {other:?}");
                }
                (_, Err(error)) if is_fault(&error) => {}
                (_, other) => panic!("{name}: {other:?}"),
            }
            continue;
        }
        match (
            name.as_str(),
            prepare(Some(&answer), Value::record(required())),
        ) {
            ("command_done", Ok(payload)) => assert_eq!(payload, b"payload"),
            ("command_empty_payload", Ok(payload)) => assert!(payload.is_empty()),
            ("command_refused", Err(MachineError::Refused(refusal))) => {
                let message = "nö\\n".into();
                assert_eq!(refusal, WasmRefusal::Refused { message });
            }
            ("command_argument", Err(MachineError::Refused(refusal))) => {
                let expected = argument("do", "integer", "too small\\u{0}");
                assert_eq!(refusal, WasmRefusal::Argument(expected));
            }
            ("command_argument_alone", Err(MachineError::Refused(refusal))) => {
                let expected = argument("do", "", "no reason");
                assert_eq!(refusal, WasmRefusal::Argument(expected));
            }
            ("command_nothing" | "command_tag_3", Err(error)) if is_fault(&error) => {}
            (_, other) => panic!("{name}: {other:?}"),
        }
    }
}
