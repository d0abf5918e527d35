//! Modules that tests write in text form, and a host for them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Bound;

use lattice_backend::backend::{
    BackendError, Direction, Result, Row, RowCursor, Rows, Span, Table,
};
use lattice_backend::machine::manifest::{ABI, Elements, Manifest, SECTION};
use lattice_backend::machine::{
    Args, DataRead, DataWrite, History, LogicFault, MachineError, Method, MethodCall, MethodKind,
    Param, StateMachine, Value, ValueType,
};
use lattice_backend::op::{ApplyIndex, OpKind, OpRef, OpView, Stamp};
use lattice_meta::{Hlc, OpId, PubKey, SchemaVersion};
use lattice_wasm::{Code, CodeError, WasmMachine};

/// The imports, under names that a body can call.
pub(crate) const IMPORTS: &str = r#"
    (import "lattice1" "get" (func $get (param i32 i32 i32 i32) (result i64)))
    (import "lattice1" "take" (func $take (param i32)))
    (import "lattice1" "put" (func $put (param i32 i32 i32 i32)))
    (import "lattice1" "remove" (func $remove (param i32 i32)))
    (import "lattice1" "scan" (func $scan (param i32 i32 i32 i32 i32 i32 i32) (result i64)))
    (import "lattice1" "count" (func $count (result i64)))
    (import "lattice1" "number" (func $number (param i32 i32) (result i32)))
    (import "lattice1" "stamp" (func $stamp (param i64 i32)))
    (import "lattice1" "op" (func $op (param i64 i32 i32) (result i64)))
    (import "lattice1" "hash" (func $hash (param i32 i32 i32)))
    (import "lattice1" "element" (func $element (param i32 i32 i32 i32 i32)))
    (import "lattice1" "fail" (func $fail (param i32 i32)))
    (import "lattice1" "log" (func $log (param i32 i32 i32)))
"#;

/// Default parts of a module: the text that shows that a body has a part of its own, and the part.
/// Memory has 4 pages; the host writes inputs to its second half.
const PARTS: [(&str, &str); 4] = [
    ("\"memory\"", r#"(memory (export "memory") 4)"#),
    (
        "lattice1_alloc",
        r#"(func (export "lattice1_alloc") (param i32) (result i32) (i32.const 0x20000))"#,
    ),
    (
        "lattice1_decode",
        r#"(func (export "lattice1_decode") (param i32 i32) (result i64) (i64.const 0))"#,
    ),
    (
        "lattice1_apply",
        r#"(func (export "lattice1_apply") (param i32 i32))"#,
    ),
];

/// A manifest of a store type without methods whose rows are its elements.
pub(crate) fn manifest() -> Manifest {
    let first = SchemaVersion::new(1);
    Manifest {
        abi: ABI,
        store_type: "org.example.hostile".parse().unwrap(),
        schemas: first..=first,
        elements: Elements::Rows,
        methods: Vec::new(),
        converts: Vec::new(),
    }
}

/// The same with a command `make` and a query `ask`, of one optional argument each.
pub(crate) fn methods() -> Manifest {
    let method = |name: &'static str, kind| Method {
        name: name.into(),
        kind,
        doc: "For tests.".into(),
        params: vec![Param::optional("arg", ValueType::Bytes, "anything")].into(),
        result: ValueType::Null,
    };
    Manifest {
        methods: vec![
            method("make", MethodKind::Command),
            method("ask", MethodKind::Query),
        ],
        ..manifest()
    }
}

/// The same with elements that the code computes.
pub(crate) fn coded() -> Manifest {
    Manifest {
        elements: Elements::Code,
        ..manifest()
    }
}

pub(crate) fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).unwrap();
        number >>= 7;
        bytes.push(low | if number > 0 { 0x80 } else { 0 });
        if number == 0 {
            return bytes;
        }
    }
}

/// A section of a module.
pub(crate) fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id][..], &leb(content.len()), content].concat()
}

/// A custom section.
pub(crate) fn custom(name: &str, content: &[u8]) -> Vec<u8> {
    let name_len = leb(name.len());
    section(0, &[&name_len, name.as_bytes(), content].concat())
}

/// A module with this text, a manifest, and nothing else.
pub(crate) fn bare(manifest: &Manifest, text: &str) -> Vec<u8> {
    let mut wasm = wat::parse_str(format!("(module {text})")).unwrap();
    wasm.extend(custom(SECTION, &manifest.encode()));
    wasm
}

/// A module: the imports, unless the body has its own, the body, and the parts that it lacks.
pub(crate) fn wasm(manifest: &Manifest, body: &str) -> Vec<u8> {
    let mut text = String::new();
    if !body.contains("(import") {
        text.push_str(IMPORTS);
    }
    text.push_str(body);
    for (name, part) in PARTS {
        if !body.contains(name) {
            text.push_str(part);
        }
    }
    bare(manifest, &text)
}

pub(crate) fn load(manifest: &Manifest, body: &str) -> Result<Code, CodeError> {
    Code::new(&wasm(manifest, body))
}

pub(crate) fn machine(manifest: &Manifest, body: &str) -> WasmMachine {
    WasmMachine::new(load(manifest, body).unwrap(), &[]).unwrap()
}

/// A module whose `apply` has this body.
pub(crate) fn applying(body: &str) -> WasmMachine {
    machine(&manifest(), &apply(body))
}

/// An `apply` with this body.
pub(crate) fn apply(body: &str) -> String {
    format!(r#"(func (export "lattice1_apply") (param $at i32) (param $len i32) {body})"#)
}

/// Rows in memory.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct MapRows(pub(crate) BTreeMap<Vec<u8>, Vec<u8>>);

struct Listed<'a>(Box<dyn Iterator<Item = (&'a Vec<u8>, &'a Vec<u8>)> + 'a>);

impl RowCursor for Listed<'_> {
    fn next(&mut self) -> Result<Option<Row<'_>>> {
        Ok(self.0.next().map(|(key, value)| Row { key, value }))
    }
}

impl DataRead for MapRows {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.0.get(key).cloned())
    }

    fn range(&self, (start, end): Span<'_>, direction: Direction) -> Result<Rows<'_>> {
        let is_empty = match (start, end) {
            (Bound::Included(a), Bound::Included(b)) => a > b,
            (Bound::Included(a) | Bound::Excluded(a), Bound::Included(b) | Bound::Excluded(b)) => {
                a >= b
            }
            _ => false,
        };
        if is_empty {
            return Ok(Box::new(Listed(Box::new(std::iter::empty()))));
        }
        let rows = self.0.range::<[u8], _>((start, end));
        Ok(Box::new(Listed(match direction {
            Direction::Forward => Box::new(rows),
            Direction::Backward => Box::new(rows.rev()),
        })))
    }
}

impl DataWrite for MapRows {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.0.insert(key.to_vec(), value.to_vec());
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) -> Result<()> {
        self.0.remove(key);
        Ok(())
    }
}

/// A reference to the op with this sequence number.
pub(crate) fn op_ref(seq: u64) -> OpRef {
    OpRef {
        author: PubKey::from_bytes([7; 32]),
        seq,
        id: OpId::from_bytes([u8::try_from(seq).unwrap(); 32]),
    }
}

/// A history of this many ops; the op that is being applied is the next one.
#[derive(Debug, Default)]
pub(crate) struct Ops {
    pub(crate) count: u64,
    pub(crate) payload: Vec<u8>,
    pub(crate) calls: Cell<u64>,
}

impl Ops {
    pub(crate) fn new(count: u64) -> Self {
        Self {
            count,
            ..Self::default()
        }
    }

    fn check(&self, index: ApplyIndex) -> Result<()> {
        match index.get() <= self.count {
            true => Ok(()),
            false => Err(BackendError::Row {
                table: Table::Data,
                expected: "the apply index of an op",
                found: index.get().to_string(),
            }),
        }
    }
}

impl History for Ops {
    fn count(&self) -> Result<u64> {
        self.calls.set(self.calls.get() + 1);
        Ok(self.count)
    }

    fn index_of(&self, op: &OpRef) -> Result<Option<ApplyIndex>> {
        let is_applied = op.seq < self.count && *op == op_ref(op.seq);
        Ok(is_applied.then(|| ApplyIndex::new(op.seq)))
    }

    fn stamp(&self, index: ApplyIndex) -> Result<Stamp> {
        self.check(index)?;
        Ok(Stamp {
            hlc: Hlc::from_u64(1),
            op: op_ref(index.get()),
        })
    }

    fn show(&self, index: ApplyIndex, see: &mut dyn FnMut(&OpView<'_>)) -> Result<()> {
        let Stamp { hlc, op: reference } = self.stamp(index)?;
        see(&OpView {
            index,
            reference,
            hlc,
            payload: &self.payload,
        });
        Ok(())
    }
}

/// Applies an op with this payload to rows, after the ops of a history.
pub(crate) fn run_on(
    machine: &WasmMachine,
    payload: &[u8],
    rows: &mut MapRows,
    history: &Ops,
) -> Result<()> {
    let view = OpView {
        index: ApplyIndex::new(history.count),
        reference: op_ref(history.count),
        hlc: Hlc::from_u64(1),
        payload,
    };
    let decoded = machine.decode(payload).ok();
    machine.run(OpKind::Application, &view, decoded, rows, history)
}

/// Applies an op to an empty state; returns the rows.
pub(crate) fn run(machine: &WasmMachine, payload: &[u8]) -> Result<MapRows> {
    let mut rows = MapRows::default();
    run_on(machine, payload, &mut rows, &Ops::new(3))?;
    Ok(rows)
}

/// The number of a row, and the key and the value of one of its elements.
pub(crate) type Element = (usize, Vec<u8>, Vec<u8>);

/// The elements of rows of one byte each.
pub(crate) fn elements(machine: &WasmMachine, rows: u8) -> Result<Vec<Element>> {
    let rows = MapRows((0..rows).map(|nth| (vec![nth], vec![nth])).collect());
    let mut cursor = rows.range(lattice_backend::backend::EVERYTHING, Direction::Forward)?;
    let mut found = Vec::new();
    let mut each = |row: usize, key: &[u8], value: &[u8]| {
        found.push((row, key.to_vec(), value.to_vec()));
    };
    machine.elements_of(SchemaVersion::new(1), &mut *cursor, &Ops::new(3), &mut each)?;
    Ok(found)
}

/// Calls the query `ask`.
pub(crate) fn ask(machine: &WasmMachine) -> std::result::Result<Value, MachineError<String>> {
    let entry = entry(machine, "ask");
    let MethodCall::Query(query) = entry.call else {
        panic!("{} is a query", entry.method.name);
    };
    let args = Value::Null.to_bytes();
    let args = Args::new(&entry.method, &args).unwrap();
    let answer = query(machine, args, &MapRows::default(), &Ops::new(3));
    answer.map_err(|error| match error {
        MachineError::Refused(error) => MachineError::Refused(error.to_string()),
        MachineError::Backend(error) => MachineError::Backend(error),
        error => panic!("{error:?}"),
    })
}

/// Calls the command `make`; returns the payload.
pub(crate) fn make(machine: &WasmMachine) -> std::result::Result<Vec<u8>, MachineError<String>> {
    let entry = entry(machine, "make");
    let MethodCall::Command(command) = entry.call else {
        panic!("{} is a command", entry.method.name);
    };
    let args = Value::Null.to_bytes();
    let args = Args::new(&entry.method, &args).unwrap();
    let command = command(machine, args).unwrap();
    let payload = machine.prepare(&command, &MapRows::default(), &Ops::new(3));
    payload.map_err(|error| match error {
        MachineError::Refused(error) => MachineError::Refused(error.to_string()),
        MachineError::Backend(error) => MachineError::Backend(error),
        error => panic!("{error:?}"),
    })
}

fn entry<'a>(
    machine: &'a WasmMachine,
    name: &str,
) -> &'a lattice_backend::machine::MethodEntry<WasmMachine> {
    let mut entries = machine.methods().iter();
    entries.find(|entry| entry.method.name == name).unwrap()
}

/// The fault of a call that must fault.
#[track_caller]
pub(crate) fn fault<T: std::fmt::Debug>(result: Result<T>) -> LogicFault {
    match result {
        Err(BackendError::Fault(fault)) => fault,
        other => panic!("expected a fault of the code, found {other:?}"),
    }
}

/// The message of a trap.
#[track_caller]
pub(crate) fn trapped<T: std::fmt::Debug>(result: Result<T>) -> String {
    match fault(result) {
        LogicFault::Trap { message } => message,
        other => panic!("expected a trap, found {other}"),
    }
}
