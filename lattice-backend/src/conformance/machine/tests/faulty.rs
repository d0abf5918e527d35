//! A state machine with last-writer-wins registers, by timestamp and id, and the faults that it can
//! have.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::ThreadId;

use lattice_meta::SchemaVersion;

use crate::backend::{Direction, EVERYTHING, Result, Row, RowCursor};
use crate::machine::{
    DataRead, DataWrite, History, Invalid, Logic, MachineError, MethodEntry, StateMachine, Value,
    ValueType,
};
use crate::op::{OpKind, OpView};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    LastArrivalWins,
    IndexInElement,
    EqualKeys,
    ElementsFromElsewhere,
    /// Rows hold the number of payloads decoded before the op was applied.
    RowsOfTransaction,
    HiddenState,
    HiddenStateOfSettle,
    RunDiffers,
    ElementsOfDiffers,
    ValidityByThread,
    DecodePanics,
    TwoLines,
    PanicsOnMark,
    LoopsOnMark,
    ReadsAllForEachRow,
    AsksForAllOps,
    EqualMethods,
    MethodPanics,
    PreparesInvalid,
    MigrationLoses,
}

#[derive(Clone)]
pub(super) struct Registers {
    logic: Logic,
    fault: Fault,
    methods: Arc<[MethodEntry<Self>]>,
    made_on: ThreadId,
    decoded: Arc<AtomicU64>,
    applied: Arc<AtomicU64>,
}

/// A register's name and value.
type Write<'a> = (u8, &'a [u8]);

fn write(payload: &[u8]) -> Option<Write<'_>> {
    let (name, value) = payload.split_first()?;
    (name.is_ascii_lowercase() && value.len() == 1).then_some((*name, value))
}

fn get() -> MethodEntry<Registers> {
    MethodEntry::query(
        "get",
        "Reads a register",
        &[],
        ValueType::Null,
        |machine, _, _, _| {
            assert_ne!(machine.fault, Fault::MethodPanics, "a query panics");
            Ok(Value::Null)
        },
    )
}

impl Registers {
    pub(super) fn new(fault: Fault) -> Self {
        let count = if fault == Fault::EqualMethods { 2 } else { 1 };
        Self {
            logic: Logic::new("org.example.registers", "registers/1").unwrap(),
            fault,
            methods: (0..count).map(|_| get()).collect(),
            made_on: std::thread::current().id(),
            decoded: Arc::default(),
            applied: Arc::default(),
        }
    }

    pub(super) fn second_schema(mut self) -> Self {
        let (first, second) = (SchemaVersion::new(1), SchemaVersion::new(2));
        self.logic = self.logic.schemas(first..=second);
        self
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn is_marked(name: u8) -> bool {
        name == b'p'
    }
}

impl StateMachine for Registers {
    type Command = Vec<u8>;
    type Refusal = Infallible;
    type Payload<'a> = Write<'a>;

    fn logic(&self) -> &Logic {
        &self.logic
    }

    fn decode<'a>(&self, payload: &'a [u8]) -> Result<Write<'a>, Invalid> {
        self.decoded.fetch_add(1, Ordering::SeqCst);
        if self.has(Fault::DecodePanics) {
            assert!(!payload.is_empty(), "short");
        }
        let is_elsewhere = std::thread::current().id() != self.made_on;
        if self.has(Fault::ValidityByThread) && is_elsewhere {
            return Err(Invalid::new("it is not on its thread"));
        }
        write(payload).ok_or(Invalid::new("expected a letter and a byte"))
    }

    fn prepare(
        &self,
        command: &Vec<u8>,
        _: &dyn DataRead,
        _: &dyn History,
    ) -> Result<Vec<u8>, MachineError<Infallible>> {
        Ok(match self.fault {
            Fault::PreparesInvalid => vec![0],
            _ => command.clone(),
        })
    }

    fn apply(
        &self,
        op: &OpView<'_>,
        (name, value): Write<'_>,
        data: &mut dyn DataWrite,
        history: &dyn History,
    ) -> Result<()> {
        let before = data.get(&[name])?;
        match self.fault {
            Fault::PanicsOnMark if Self::is_marked(name) => panic!("marked"),
            Fault::LoopsOnMark if Self::is_marked(name) => loop {
                data.get(b"")?;
            },
            Fault::ReadsAllForEachRow => {
                for _ in 0..history.count()? {
                    let mut rows = data.range(EVERYTHING, Direction::Forward)?;
                    while rows.next()?.is_some() {}
                }
            }
            Fault::AsksForAllOps => {
                for index in 0..history.count()? {
                    history.stamp(crate::op::ApplyIndex::new(index))?;
                }
            }
            _ => {}
        }
        let rank = [
            &op.hlc.to_u64().to_be_bytes(),
            &op.reference.id.as_bytes()[..],
        ]
        .concat();
        let mut row = [&rank, value].concat();
        match self.fault {
            Fault::IndexInElement => row.extend(op.index.get().to_be_bytes()),
            Fault::RowsOfTransaction => {
                let ahead = self.decoded.swap(0, Ordering::SeqCst) > 1;
                row.push(u8::from(ahead));
            }
            Fault::HiddenState => {
                let nth = self.applied.fetch_add(1, Ordering::SeqCst);
                row.push(u8::try_from(nth.min(2)).unwrap());
            }
            _ => {}
        }
        let wins = before.is_none_or(|before| before[..40] < rank[..]);
        if wins || self.has(Fault::LastArrivalWins) {
            data.put(&[name], &row)?;
        }
        Ok(())
    }

    fn settle(&self, _: OpKind, op: &OpView<'_>, data: &mut dyn DataWrite) -> Result<()> {
        if self.has(Fault::HiddenStateOfSettle) {
            let nth = self.applied.fetch_add(1, Ordering::SeqCst).min(1);
            let key = [b"op ", &op.reference.to_key()[..]].concat();
            data.put(&key, &nth.to_be_bytes())?;
        }
        Ok(())
    }

    fn elements(
        &self,
        _: SchemaVersion,
        row: Row<'_>,
        history: &dyn History,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<()> {
        match self.fault {
            Fault::EqualKeys => each(b"all", row.value),
            Fault::ElementsFromElsewhere => each(row.key, &history.count()?.to_be_bytes()),
            _ => each(row.key, row.value),
        }
        Ok(())
    }

    fn describe(&self, payload: &[u8]) -> String {
        let separator = if self.has(Fault::TwoLines) { '\n' } else { ' ' };
        format!("register{separator}{}", payload.escape_ascii())
    }

    fn methods(&self) -> &[MethodEntry<Self>] {
        &self.methods
    }

    fn migrate(&self, _: SchemaVersion, data: &mut dyn DataWrite, _: &dyn History) -> Result<()> {
        if self.has(Fault::MigrationLoses) {
            for name in b'a'..=b'c' {
                data.remove(&[name])?;
            }
        }
        Ok(())
    }

    fn run(
        &self,
        kind: OpKind,
        op: &OpView<'_>,
        payload: Option<Write<'_>>,
        data: &mut dyn DataWrite,
        history: &dyn History,
    ) -> Result<()> {
        if self.has(Fault::RunDiffers) {
            data.put(b"ran", b"")?;
        }
        if let Some(payload) = payload {
            self.apply(op, payload, data, history)?;
        }
        self.settle(kind, op, data)
    }

    fn elements_of(
        &self,
        schema: SchemaVersion,
        rows: &mut dyn RowCursor,
        history: &dyn History,
        each: &mut dyn FnMut(usize, &[u8], &[u8]),
    ) -> Result<()> {
        let mut place = 0;
        while let Some(row) = rows.next()? {
            let mut each = |key: &[u8], value: &[u8]| each(place, key, value);
            match self.fault {
                Fault::ElementsOfDiffers => each(row.key, b"other"),
                _ => self.elements(schema, row, history, &mut each)?,
            }
            place += 1;
        }
        Ok(())
    }
}
