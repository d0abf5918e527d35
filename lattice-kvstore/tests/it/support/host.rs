//! A host of the state machine: rows in a map, and the applied ops.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Bound;

use lattice_backend::backend::{Direction, Result, Row, RowCursor, Span};
use lattice_backend::machine::{
    Args, CallError, DataRead, DataWrite, History, MachineError, MethodCall, StateMachine, Value,
};
use lattice_backend::op::{ApplyIndex, OpKind, OpRef, OpView, Stamp};
use lattice_kvstore::{Command, KvMachine, KvRefusal, SCHEMA_VERSION};
use lattice_meta::Hlc;

use super::Rows;
use super::bytes::{TestWrite, payload};

/// An op as the state machine sees it.
#[derive(Debug, Clone)]
pub(crate) struct TestOp {
    pub(crate) kind: OpKind,
    pub(crate) reference: OpRef,
    pub(crate) hlc: u64,
    pub(crate) payload: Vec<u8>,
}

impl TestOp {
    /// An op with a valid payload.
    pub(crate) fn new(reference: OpRef, hlc: u64, writes: &[TestWrite]) -> Self {
        Self {
            kind: OpKind::Application,
            reference,
            hlc,
            payload: payload(writes),
        }
    }
}

/// What the state machine read and wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Rows looked up by key, found or not.
    pub(crate) gets: u32,
    pub(crate) ranges: u32,
    /// Rows that ranges returned.
    pub(crate) ranged: u32,
    pub(crate) puts: u32,
    pub(crate) removes: u32,
    /// Bytes of the rows that were found: of values, and in ranges of keys, too.
    pub(crate) read_bytes: usize,
    /// Bytes of the keys and values that were put, and of the keys that were removed.
    pub(crate) written_bytes: usize,
}

impl Cost {
    /// Rows looked up or read, written or removed.
    pub(crate) fn rows(&self) -> u32 {
        self.gets + self.ranged + self.puts + self.removes
    }
}

/// One replica.
#[derive(Debug)]
pub(crate) struct Host {
    machine: KvMachine,
    data: Data,
    applied: Applied,
}

#[derive(Debug, Default)]
struct Applied {
    ops: Vec<(Stamp, Vec<u8>)>,
    indexes: BTreeMap<OpRef, ApplyIndex>,
    asked: Cell<u32>,
}

#[derive(Debug, Default)]
struct Data {
    rows: Rows,
    cost: Cell<Cost>,
}

impl Host {
    pub(crate) fn new() -> Self {
        Self {
            machine: KvMachine::new(),
            data: Data::default(),
            applied: Applied::default(),
        }
    }

    pub(crate) fn rows(&self) -> &Rows {
        &self.data.rows
    }

    /// The elements of the state: the same for every order of ops.
    pub(crate) fn elements(&self) -> Rows {
        let mut elements = Rows::new();
        for (key, value) in self.rows() {
            let mut take = |key: &[u8], value: &[u8]| {
                assert_eq!(elements.insert(key.to_vec(), value.to_vec()), None);
            };
            let row = Row { key, value };
            self.machine
                .elements(SCHEMA_VERSION, row, &self.applied, &mut take)
                .unwrap();
        }
        elements
    }

    fn view<'a>(&self, op: &'a TestOp) -> OpView<'a> {
        OpView {
            index: ApplyIndex::new(u64::try_from(self.applied.ops.len()).unwrap()),
            reference: op.reference,
            hlc: Hlc::from_u64(op.hlc),
            payload: &op.payload,
        }
    }

    /// Records an op as the engine does; returns whether its payload is valid.
    pub(crate) fn record(&mut self, op: &TestOp) -> bool {
        let view = self.view(op);
        let payload = match op.kind {
            OpKind::Application => self.machine.decode(&op.payload).ok(),
            _ => None,
        };
        let is_valid = payload.is_some();
        self.machine
            .run(op.kind, &view, payload, &mut self.data, &self.applied)
            .unwrap();
        let before = self.applied.indexes.insert(op.reference, view.index);
        assert_eq!(before, None, "no op is recorded twice");
        let stamp = Stamp {
            hlc: view.hlc,
            op: op.reference,
        };
        self.applied.ops.push((stamp, op.payload.clone()));
        is_valid
    }

    /// Prepares a command and records its op.
    pub(crate) fn run(
        &mut self,
        reference: OpRef,
        hlc: u64,
        command: &Command,
    ) -> std::result::Result<Vec<u8>, KvRefusal> {
        let payload = self.prepare(command)?;
        let op = TestOp {
            kind: OpKind::Application,
            reference,
            hlc,
            payload,
        };
        assert!(self.record(&op), "what is prepared is valid");
        Ok(op.payload)
    }

    pub(crate) fn prepare(&self, command: &Command) -> std::result::Result<Vec<u8>, KvRefusal> {
        let prepared = self.machine.prepare(command, &self.data, &self.applied);
        prepared.map_err(refusal)
    }

    /// Calls a query by name.
    pub(crate) fn query<'a>(
        &self,
        method: &str,
        args: impl IntoIterator<Item = (&'a str, Value)>,
    ) -> Value {
        self.try_query(method, args).unwrap()
    }

    /// Calls a query that may refuse these arguments.
    pub(crate) fn try_query<'a>(
        &self,
        method: &str,
        args: impl IntoIterator<Item = (&'a str, Value)>,
    ) -> std::result::Result<Value, CallError> {
        let mut methods = self.machine.methods().iter();
        let entry = methods.find(|entry| entry.method.name == method).unwrap();
        let MethodCall::Query(query) = entry.call else {
            panic!("{method} is not a query");
        };
        let args = args
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        let args = Value::Record(args).to_bytes();
        let args = Args::new(&entry.method, &args)?;
        query(&self.machine, args, &self.data, &self.applied).map_err(refusal)
    }

    /// The cost since the last call.
    pub(crate) fn take_cost(&self) -> Cost {
        self.data.cost.take()
    }

    /// How often history was queried since the last call.
    pub(crate) fn take_asked(&self) -> u32 {
        self.applied.asked.take()
    }

    /// Only applies an op's payload, to measure its cost.
    pub(crate) fn apply_only(&mut self, op: &TestOp) {
        let view = self.view(op);
        let payload = self.machine.decode(&op.payload).unwrap();
        self.machine
            .apply(&view, payload, &mut self.data, &self.applied)
            .unwrap();
    }
}

/// Unwraps a refusal; rows in a map cannot fail.
fn refusal<R: std::fmt::Debug>(error: MachineError<R>) -> R {
    match error {
        MachineError::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

impl Data {
    fn count(&self, count: impl FnOnce(&mut Cost)) {
        count_in(&self.cost, count);
    }
}

impl Applied {
    fn at(&self, index: ApplyIndex) -> &(Stamp, Vec<u8>) {
        &self.ops[usize::try_from(index.get()).unwrap()]
    }
}

impl History for Applied {
    fn count(&self) -> Result<u64> {
        Ok(u64::try_from(self.ops.len()).unwrap())
    }

    fn index_of(&self, op: &OpRef) -> Result<Option<ApplyIndex>> {
        self.asked.set(self.asked.get() + 1);
        Ok(self.indexes.get(op).copied())
    }

    fn stamp(&self, index: ApplyIndex) -> Result<Stamp> {
        Ok(self.at(index).0)
    }

    fn show(&self, index: ApplyIndex, see: &mut dyn FnMut(&OpView<'_>)) -> Result<()> {
        let (stamp, payload) = self.at(index);
        see(&OpView {
            index,
            reference: stamp.op,
            hlc: stamp.hlc,
            payload,
        });
        Ok(())
    }
}

impl DataRead for Data {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let found = self.rows.get(key);
        self.count(|cost| {
            cost.gets += 1;
            cost.read_bytes += found.map_or(0, Vec::len);
        });
        Ok(found.cloned())
    }

    fn range(
        &self,
        span: Span<'_>,
        direction: Direction,
    ) -> Result<lattice_backend::backend::Rows<'_>> {
        self.count(|cost| cost.ranges += 1);
        let empty = match span {
            (Bound::Included(a), Bound::Included(b)) => a > b,
            (Bound::Included(a) | Bound::Excluded(a), Bound::Excluded(b))
            | (Bound::Excluded(a), Bound::Included(b)) => a >= b,
            _ => false,
        };
        let rows: Box<dyn Iterator<Item = (&Vec<u8>, &Vec<u8>)>> = if empty {
            Box::new(std::iter::empty())
        } else {
            let range = self.rows.range::<[u8], _>(span);
            match direction {
                Direction::Forward => Box::new(range),
                Direction::Backward => Box::new(range.rev()),
            }
        };
        let cost = &self.cost;
        Ok(Box::new(Cursor { rows, cost }))
    }
}

impl DataWrite for Data {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.count(|cost| {
            cost.puts += 1;
            cost.written_bytes += key.len() + value.len();
        });
        self.rows.insert(key.to_vec(), value.to_vec());
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) -> Result<()> {
        self.count(|cost| {
            cost.removes += 1;
            cost.written_bytes += key.len();
        });
        self.rows.remove(key);
        Ok(())
    }
}

fn count_in(cost: &Cell<Cost>, count: impl FnOnce(&mut Cost)) {
    let mut counted = cost.get();
    count(&mut counted);
    cost.set(counted);
}

struct Cursor<'a> {
    rows: Box<dyn Iterator<Item = (&'a Vec<u8>, &'a Vec<u8>)> + 'a>,
    cost: &'a Cell<Cost>,
}

impl RowCursor for Cursor<'_> {
    fn next(&mut self) -> Result<Option<Row<'_>>> {
        let row = self.rows.next().map(|(key, value)| Row { key, value });
        if let Some(row) = row {
            count_in(self.cost, |cost| {
                cost.ranged += 1;
                cost.read_bytes += row.key.len() + row.value.len();
            });
        }
        Ok(row)
    }
}

/// Rows in a readable form for failure messages.
pub(crate) fn shown(rows: &Rows) -> BTreeMap<String, String> {
    let show = |bytes: &Vec<u8>| bytes.escape_ascii().to_string();
    rows.iter()
        .map(|(key, value)| (show(key), show(value)))
        .collect()
}
