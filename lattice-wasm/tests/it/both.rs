//! A state machine natively and as a module, side by side: each call goes to both, and a difference
//! between their answers is a failure.

use std::collections::BTreeMap;
use std::ops::Bound;

use lattice_backend::backend::{Direction, Result, Row, RowCursor, Rows, Span};
use lattice_backend::machine::manifest::StoreCode;
use lattice_backend::machine::{
    Args, CallError, DataRead, DataWrite, History, Invalid, Logic, MachineError, MethodCall,
    MethodEntry, StateMachine, Value,
};
use lattice_backend::op::{OpKind, OpView};
use lattice_meta::{SchemaVersion, readable_start};
use lattice_wasm::{Code, WasmCommand, WasmMachine, WasmPayload, WasmRefusal};

pub(crate) struct Both<M: StoreCode> {
    native: M,
    wasm: WasmMachine,
    methods: Vec<MethodEntry<Self>>,
}

impl<M: StoreCode> Both<M> {
    pub(crate) fn new(native: M, code: &Code) -> Self {
        let wasm = WasmMachine::new(code.clone(), &[]).unwrap();
        let methods = M::METHODS.iter().map(|entry| MethodEntry {
            method: entry.method.clone(),
            call: match entry.call {
                MethodCall::Command(_) => MethodCall::Command(command),
                MethodCall::Query(_) => MethodCall::Query(query),
                MethodCall::Stream => MethodCall::Stream,
            },
        });
        Self {
            native,
            wasm,
            methods: methods.collect(),
        }
    }

    /// The command of a call by name.
    pub(crate) fn command(&self, name: &str, given: Value) -> BothCommand<M::Command> {
        let method = &self.pair(name).0.method;
        command(self, Args::new(method, &given.to_bytes()).unwrap()).unwrap()
    }

    fn pair(&self, name: &str) -> (&MethodEntry<M>, &MethodEntry<WasmMachine>) {
        let native = M::METHODS.iter().find(|entry| entry.method.name == name);
        let wasm = self
            .wasm
            .methods()
            .iter()
            .find(|entry| entry.method.name == name);
        let (native, wasm) = (native.unwrap(), wasm.unwrap());
        assert_eq!(native.method, wasm.method);
        (native, wasm)
    }
}

pub(crate) struct BothCommand<C> {
    pub(crate) native: C,
    pub(crate) wasm: WasmCommand,
}

fn args(args: Args<'_>) -> Value {
    args.into_record().unwrap()
}

fn command<M: StoreCode>(
    both: &Both<M>,
    given: Args<'_>,
) -> std::result::Result<BothCommand<M::Command>, CallError> {
    let (native, wasm) = both.pair(given.method());
    let given = args(given);
    let (MethodCall::Command(native_fn), MethodCall::Command(wasm_fn)) = (native.call, wasm.call)
    else {
        panic!("a command is a command in both");
    };
    let given = given.to_bytes();
    let wasm_args = Args::new(&wasm.method, &given).unwrap();
    let wasm = wasm_fn(&both.wasm, wasm_args).unwrap();
    let native = native_fn(&both.native, Args::new(&native.method, &given).unwrap())?;
    Ok(BothCommand { native, wasm })
}

fn query<M: StoreCode>(
    both: &Both<M>,
    given: Args<'_>,
    data: &dyn DataRead,
    history: &dyn History,
) -> std::result::Result<Value, MachineError<CallError>> {
    let (native, wasm) = both.pair(given.method());
    let given = args(given);
    let (MethodCall::Query(native_fn), MethodCall::Query(wasm_fn)) = (native.call, wasm.call)
    else {
        panic!("a query is a query in both");
    };
    let bytes = given.to_bytes();
    let wasm_args = Args::new(&wasm.method, &bytes).unwrap();
    let from_wasm = wasm_fn(&both.wasm, wasm_args, data, history);
    let native_args = Args::new(&native.method, &bytes).unwrap();
    let from_native = native_fn(&both.native, native_args, data, history);
    match (&from_native, &from_wasm) {
        (Ok(one), Ok(other)) => assert_eq!(one, other, "{}({given:?})", native.method.name),
        (Err(MachineError::Refused(one)), Err(MachineError::Refused(other))) => {
            assert_eq!(one, other, "{}({given:?})", native.method.name);
        }
        _ => panic!(
            "{}({given:?}): {from_native:?}, {from_wasm:?}",
            native.method.name
        ),
    }
    from_native
}

/// The writes, in order.
type Written = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// Rows over others, which stay unchanged.
struct Overlay<'a> {
    under: &'a dyn DataRead,
    rows: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    written: Written,
}

impl<'a> Overlay<'a> {
    fn new(under: &'a dyn DataRead) -> Self {
        Self {
            under,
            rows: BTreeMap::new(),
            written: Vec::new(),
        }
    }
}

struct Listed(std::vec::IntoIter<(Vec<u8>, Vec<u8>)>, (Vec<u8>, Vec<u8>));

impl RowCursor for Listed {
    fn next(&mut self) -> Result<Option<Row<'_>>> {
        Ok(self.0.next().map(|row| {
            self.1 = row;
            Row {
                key: &self.1.0,
                value: &self.1.1,
            }
        }))
    }
}

impl DataRead for Overlay<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        match self.rows.get(key) {
            Some(row) => Ok(row.clone()),
            None => self.under.get(key),
        }
    }

    fn range(&self, span: Span<'_>, direction: Direction) -> Result<Rows<'_>> {
        let mut all = BTreeMap::new();
        let mut under = self.under.range(span, Direction::Forward)?;
        while let Some(row) = under.next()? {
            all.insert(row.key.to_vec(), row.value.to_vec());
        }
        let is_empty = match span {
            (Bound::Included(a), Bound::Included(b)) => a > b,
            (Bound::Included(a) | Bound::Excluded(a), Bound::Included(b) | Bound::Excluded(b)) => {
                a >= b
            }
            _ => false,
        };
        if !is_empty {
            for (key, value) in self.rows.range::<[u8], _>(span) {
                match value {
                    Some(value) => drop(all.insert(key.clone(), value.clone())),
                    None => drop(all.remove(key)),
                }
            }
        }
        let mut rows: Vec<_> = all.into_iter().collect();
        if direction == Direction::Backward {
            rows.reverse();
        }
        Ok(Box::new(Listed(rows.into_iter(), Default::default())))
    }
}

impl DataWrite for Overlay<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.rows.insert(key.to_vec(), Some(value.to_vec()));
        self.written.push((key.to_vec(), Some(value.to_vec())));
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) -> Result<()> {
        self.rows.insert(key.to_vec(), None);
        self.written.push((key.to_vec(), None));
        Ok(())
    }
}

/// Runs both writers, compares their writes and results, and applies the writes.
fn compare(
    data: &mut dyn DataWrite,
    native: impl FnOnce(&mut dyn DataWrite) -> Result<()>,
    wasm: impl FnOnce(&mut dyn DataWrite) -> Result<()>,
) -> Result<()> {
    let (written, outcome) = {
        let mut one = Overlay::new(&*data);
        let from_native = native(&mut one);
        let mut other = Overlay::new(&*data);
        let from_wasm = wasm(&mut other);
        match (&from_native, &from_wasm) {
            (Ok(()), Ok(())) => assert_eq!(one.written, other.written, "rows"),
            (Err(_), Err(_)) => {}
            _ => panic!("natively {from_native:?}, as a module {from_wasm:?}"),
        }
        (one.written, from_native)
    };
    outcome?;
    for (key, value) in written {
        match value {
            Some(value) => data.put(&key, &value)?,
            None => data.remove(&key)?,
        }
    }
    Ok(())
}

impl<M: StoreCode> StateMachine for Both<M> {
    type Command = BothCommand<M::Command>;
    type Refusal = M::Refusal;
    type Payload<'a> = (M::Payload<'a>, WasmPayload<'a>);

    fn logic(&self) -> &Logic {
        self.native.logic()
    }

    fn decode<'a>(&self, payload: &'a [u8]) -> std::result::Result<Self::Payload<'a>, Invalid> {
        let (one, other) = (self.native.decode(payload), self.wasm.decode(payload));
        match (one, other) {
            (Ok(one), Ok(other @ WasmPayload::Valid(_))) => Ok((one, other)),
            // Both refuse. The reasons may differ, since one may contain a length that does not fit
            // in 32 bits.
            (Err(one), Err(_)) => Err(one),
            (one, other) => panic!("natively {:?}, as a module {other:?}", one.map(drop)),
        }
    }

    fn decode_own<'a>(&self, payload: &'a [u8]) -> std::result::Result<Self::Payload<'a>, Invalid> {
        let one = self.native.decode_own(payload)?;
        Ok((one, self.wasm.decode_own(payload)?))
    }

    fn prepare(
        &self,
        command: &Self::Command,
        data: &dyn DataRead,
        history: &dyn History,
    ) -> std::result::Result<Vec<u8>, MachineError<M::Refusal>> {
        let one = self.native.prepare(&command.native, data, history);
        let other = self.wasm.prepare(&command.wasm, data, history);
        match (&one, &other) {
            (Ok(one), Ok(other)) => assert_eq!(one, other),
            (
                Err(MachineError::Refused(one)),
                Err(MachineError::Refused(WasmRefusal::Refused { message })),
            ) => assert_eq!(&readable_start(one.to_string().as_bytes(), 400), message),
            _ => panic!(
                "{:?}: natively {one:?}, as a module {other:?}",
                command.wasm
            ),
        }
        one
    }

    fn apply(
        &self,
        op: &OpView<'_>,
        payload: Self::Payload<'_>,
        data: &mut dyn DataWrite,
        history: &dyn History,
    ) -> Result<()> {
        let (one, other) = payload;
        compare(
            data,
            |data| self.native.apply(op, one, data, history),
            |data| self.wasm.apply(op, other, data, history),
        )
    }

    fn settle(&self, kind: OpKind, op: &OpView<'_>, data: &mut dyn DataWrite) -> Result<()> {
        compare(
            data,
            |data| self.native.settle(kind, op, data),
            |data| self.wasm.settle(kind, op, data),
        )
    }

    fn run(
        &self,
        kind: OpKind,
        op: &OpView<'_>,
        payload: Option<Self::Payload<'_>>,
        data: &mut dyn DataWrite,
        history: &dyn History,
    ) -> Result<()> {
        let (one, other) = payload.unzip();
        compare(
            data,
            |data| self.native.run(kind, op, one, data, history),
            |data| self.wasm.run(kind, op, other, data, history),
        )
    }

    fn elements(
        &self,
        schema: SchemaVersion,
        row: Row<'_>,
        history: &dyn History,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<()> {
        let (mut one, mut other) = (Vec::new(), Vec::new());
        let mut keep = |key: &[u8], value: &[u8]| one.push((key.to_vec(), value.to_vec()));
        let from_native = self.native.elements(schema, row, history, &mut keep);
        let mut keep = |key: &[u8], value: &[u8]| other.push((key.to_vec(), value.to_vec()));
        let from_wasm = self.wasm.elements(schema, row, history, &mut keep);
        assert_eq!(
            from_native.is_ok(),
            from_wasm.is_ok(),
            "{from_native:?} {from_wasm:?}"
        );
        assert_eq!(one, other);
        one.iter().for_each(|(key, value)| each(key, value));
        from_native
    }

    fn elements_of(
        &self,
        schema: SchemaVersion,
        rows: &mut dyn RowCursor,
        history: &dyn History,
        each: &mut dyn FnMut(usize, &[u8], &[u8]),
    ) -> Result<()> {
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push((row.key.to_vec(), row.value.to_vec()));
        }
        let listed = || Listed(all.clone().into_iter(), Default::default());
        let (mut one, mut other) = (Vec::new(), Vec::new());
        self.native
            .elements_of(schema, &mut listed(), history, &mut |row, key, value| {
                one.push((row, key.to_vec(), value.to_vec()));
            })?;
        self.wasm
            .elements_of(schema, &mut listed(), history, &mut |row, key, value| {
                other.push((row, key.to_vec(), value.to_vec()));
            })?;
        assert_eq!(one, other);
        one.iter()
            .for_each(|(row, key, value)| each(*row, key, value));
        Ok(())
    }

    fn describe(&self, payload: &[u8]) -> String {
        let (one, other) = (self.native.describe(payload), self.wasm.describe(payload));
        assert_eq!(readable_start(one.as_bytes(), 400), other);
        one
    }

    fn methods(&self) -> &[MethodEntry<Self>] {
        &self.methods
    }
}
